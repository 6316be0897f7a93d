//! `coord` in a terminal of its own: a pty, real keys, and the screen as a terminal shows it.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use coordination::bus::time::Instant;
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

use crate::coord::PATIENCE;

/// How many lines above the screen are kept: more than `coord` keeps of a process.
const HISTORY: usize = 12_000;

pub(crate) const DOWN: &str = "\u{1b}[B";
pub(crate) const PAGE_UP: &str = "\u{1b}[5~";
pub(crate) const END: &str = "\u{1b}[F";
pub(crate) const ENTER: &str = "\r";
pub(crate) const CONTROL_C: &str = "\u{3}";
pub(crate) const CONTROL_Z: &str = "\u{1a}";

/// A terminal in which `coord` runs.
pub(crate) struct Terminal {
    pty: Arc<Pty>,
    shown: Arc<Shown>,
    reader: Option<JoinHandle<()>>,
    child: Child,
}

struct Shown {
    parser: Mutex<Parser>,
    more: Condvar,
}

type Parser = vt100::Parser<Clipboard>;

/// What was put into the terminal's clipboard last, in base64.
#[derive(Default)]
pub(crate) struct Clipboard(Option<String>);

impl vt100::Callbacks for Clipboard {
    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, kind: &[u8], data: &[u8]) {
        assert_eq!(kind, b"c");
        self.0 = Some(String::from_utf8(data.to_vec()).unwrap());
    }
}

impl Shown {
    fn parser(&self) -> MutexGuard<'_, Parser> {
        self.parser.lock().unwrap()
    }
}

fn size(rows: u16, columns: u16) -> (NonZeroU16, NonZeroU16) {
    (
        NonZeroU16::new(rows).unwrap(),
        NonZeroU16::new(columns).unwrap(),
    )
}

/// A `coord` to be run in a folder, with a terminal's usual environment.
pub(crate) fn coord(folder: &Path) -> Command {
    command(folder, env!("CARGO_BIN_EXE_coord"))
}

/// Any program there, as that.
pub(crate) fn command(folder: &Path, program: &str) -> Command {
    Command::new(program)
        .current_dir(folder)
        .env("TERM", "xterm-256color")
        .env("LC_ALL", "C.UTF-8")
        .env("XDG_STATE_HOME", folder.join("state"))
        .env_remove("NO_COLOR")
        .env_remove("CI")
        .env_remove("GITHUB_ACTIONS")
}

impl Terminal {
    pub(crate) fn start(command: Command, rows: u16, columns: u16) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let child = command.spawn(pts).unwrap();
        let pty = Arc::new(pty);
        let (height, width) = size(rows, columns);
        let shown = Arc::new(Shown {
            parser: Mutex::new(vt100::Parser::new_with_callbacks(
                height,
                width,
                HISTORY,
                Clipboard::default(),
            )),
            more: Condvar::new(),
        });
        let reader = {
            let (pty, shown) = (Arc::clone(&pty), Arc::clone(&shown));
            std::thread::spawn(move || {
                let mut bytes = [0; 64 * 1024];
                // The other side is closed when nobody has it open any more.
                while let Ok(read @ 1..) = (&*pty).read(&mut bytes) {
                    shown.parser().process(&bytes[..read]);
                    shown.more.notify_all();
                }
            })
        };
        Self {
            pty,
            shown,
            reader: Some(reader),
            child,
        }
    }

    /// Shows something that another program has written to the terminal.
    pub(crate) fn spoil(&self, bytes: &str) {
        self.shown.parser().process(bytes.as_bytes());
    }

    pub(crate) fn keys(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let (height, width) = size(rows, columns);
        self.shown.parser().set_size(height, width);
        self.pty.resize(Size::new(rows, columns)).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// What is shown, a line each, without the spaces at their ends.
    pub(crate) fn screen(&self) -> String {
        let parser = self.shown.parser();
        text(parser.screen())
    }

    /// Waits until what is shown is as wanted.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.until_screen(what, |screen| wanted(&text(screen)))
    }

    #[track_caller]
    pub(crate) fn until_screen(
        &self,
        what: &str,
        wanted: impl Fn(&vt100::Screen) -> bool,
    ) -> String {
        let parser = self.shown.parser();
        let is_not_yet = |parser: &mut Parser| !wanted(parser.screen());
        let (parser, timeout) = self
            .shown
            .more
            .wait_timeout_while(parser, PATIENCE, is_not_yet)
            .unwrap();
        let shown = text(parser.screen());
        assert!(!timeout.timed_out(), "{what} is not shown:\n{shown}");
        shown
    }

    /// Waits until a text is shown.
    #[track_caller]
    pub(crate) fn shows(&self, wanted: &str) -> String {
        self.shows_all([wanted])
    }

    /// Waits until all these texts are shown.
    #[track_caller]
    pub(crate) fn shows_all<const N: usize>(&self, wanted: [&str; N]) -> String {
        let what = format!("{wanted:?}");
        self.until(&what, |screen| {
            wanted.iter().all(|text| screen.contains(text))
        })
    }

    /// Whether the terminal is as a shell wants it: lines are edited and keys echoed, and the
    /// screen is the one with the history.
    pub(crate) fn is_restored(&self) -> bool {
        let modes = tcgetattr(&*self.pty).unwrap().local_modes;
        let screen_is_back = !self.shown.parser().screen().alternate_screen();
        let cursor_is_back = !self.shown.parser().screen().hide_cursor();
        modes.contains(LocalModes::ICANON | LocalModes::ECHO) && screen_is_back && cursor_is_back
    }

    /// The oldest that is to be seen of what went up from the screen.
    pub(crate) fn oldest(&self) -> String {
        let mut parser = self.shown.parser();
        parser.screen_mut().set_scrollback(HISTORY);
        let oldest = text(parser.screen());
        parser.screen_mut().set_scrollback(0);
        oldest
    }

    /// What is in its clipboard, in base64.
    pub(crate) fn clipboard(&self) -> Option<String> {
        self.shown.parser().callbacks().0.clone()
    }

    pub(crate) fn parser(&self) -> MutexGuard<'_, Parser> {
        self.shown.parser()
    }

    /// How it ended, once it has; `None`: it does not.
    fn ended(&mut self) -> Option<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::yield_now();
        }
        None
    }

    /// Waits for the end, and says what is left on the screen.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let Some(status) = self.ended() else {
            panic!("it does not end:\n{}", self.screen());
        };
        self.reader.take().unwrap().join().unwrap();
        (status, self.screen())
    }
}

impl Drop for Terminal {
    /// Ends it with all that it runs: at once, but not so hard that something is left.
    fn drop(&mut self) {
        for signal in [Signal::CONT, Signal::TERM, Signal::TERM, Signal::TERM] {
            if matches!(self.child.try_wait(), Ok(None)) {
                self.signal(signal);
                std::thread::yield_now();
            }
        }
        if self.ended().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn text(screen: &vt100::Screen) -> String {
    let (_, columns) = screen.size();
    let rows = screen.rows(0, columns.get());
    let rows: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
    rows.join("\n")
}

/// The same screen whenever and wherever it was taken: numbers, which are of times, processes and
/// loads, are 0, and space is a single one of it.
pub(crate) fn timeless(screen: &str) -> String {
    let mut timeless = String::new();
    for line in screen.lines() {
        let mut last = None;
        for character in line.chars() {
            let character = match character {
                '0'..='9' => '0',
                '▁'..='█' => ' ',
                character => character,
            };
            let repeats = matches!(character, '0' | ' ' | '─') && last == Some(character);
            if !repeats {
                timeless.push(character);
            }
            last = Some(character);
        }
        timeless.truncate(timeless.trim_end_matches(' ').len());
        timeless.push('\n');
    }
    // Loads are known only after a while.
    for unit in ["0 kB", "0 MB", "0.0 MB"] {
        timeless = timeless.replace(&format!("cpu 0 % · {unit}"), "cpu 0 % · 0 kB");
        timeless = timeless.replace(&format!(", 0 %, {unit}"), "");
        timeless = timeless.replace(&format!("mem {unit}"), "mem 0 kB");
    }
    timeless
}
