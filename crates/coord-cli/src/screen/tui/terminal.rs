//! The terminal: taken over, given back whatever happens, and taken over again.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write, stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use coordination::patterns::process::ProcessRunner;
use crossterm::clipboard::CopyToClipboard;
use crossterm::cursor::{MoveTo, Show};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use ratatui::backend::CrosstermBackend;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};

use super::doubtful::Doubtful;

type Backend = CrosstermBackend<BufWriter<Stdout>>;

/// Whether the terminal is taken over now: a panic in any thread gives it back.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether the screen is the one without a history. It is left once: to leave it again would put the
/// cursor back to where it was when it was entered.
static ON_SCREEN: AtomicBool = AtomicBool::new(false);

/// The terminal, taken over. Dropped, it is given back.
pub(super) struct Terminal {
    inner: ratatui::Terminal<Backend>,
    doubtful: Doubtful,
    mark: WatchdogMark,
}

/// Marks the watchdog for as long as the screen is there: it leaves that if `coord` is killed.
#[derive(Clone)]
struct WatchdogMark(Option<ProcessRunner>);

impl WatchdogMark {
    /// Of a terminal that the watchdog finds: that of the session.
    fn of(runner: Option<&ProcessRunner>) -> Self {
        let is_found = tcgetpgrp(stdout()) != Err(Errno::NOTTY);
        Self(runner.filter(|_| is_found).cloned())
    }

    fn set(&self, is_on_screen: bool) {
        if let Some(runner) = &self.0 {
            runner.mark(is_on_screen);
        }
    }
}

impl Terminal {
    /// Takes the terminal over.
    pub(super) fn take(runner: Option<&ProcessRunner>) -> io::Result<Self> {
        give_back_on_panic();
        let mark = WatchdogMark::of(runner);
        mark.set(true);
        let taken = take().and_then(|()| empty());
        taken
            .map(|inner| Self {
                inner,
                doubtful: Doubtful::default(),
                mark: mark.clone(),
            })
            .inspect_err(|_| {
                give_back();
                mark.set(false);
            })
    }

    /// Draws a frame: what is different from the one before.
    pub(super) fn draw(&mut self, frame: impl FnOnce(&mut ratatui::Frame<'_>)) -> io::Result<()> {
        self.inner.autoresize()?;
        frame(&mut self.inner.get_frame());
        for row in self.doubtful.changed(self.inner.current_buffer_mut()) {
            let clear = Clear(ClearType::CurrentLine);
            queue!(self.inner.backend_mut(), MoveTo(0, row), clear)?;
        }
        self.inner.apply_buffer().map(drop)
    }

    /// Has the next frame drawn on an empty screen: of what is there, something may be another's.
    pub(super) fn redraw(&mut self) -> io::Result<()> {
        queue!(self.inner.backend_mut(), Clear(ClearType::All))?;
        // To have it cleared by this would ask the terminal where its cursor is, and wait for the answer.
        self.inner = empty()?;
        Ok(())
    }

    /// Asks the terminal to put a text into its clipboard (OSC 52). It does not say whether it did.
    pub(super) fn copy(&mut self, text: String) -> io::Result<()> {
        execute!(
            self.inner.backend_mut(),
            CopyToClipboard::to_clipboard_from(text)
        )
    }

    /// Gives the terminal back while something is done, and takes it over again.
    pub(super) fn meanwhile(&mut self, something: impl FnOnce()) -> io::Result<()> {
        let is_on_screen = ON_SCREEN.load(Ordering::Acquire);
        give_back();
        self.mark.set(false);
        something();
        take_keys()?;
        match is_on_screen {
            true => self.enter(),
            false => Ok(()),
        }
    }

    /// Shows the screen with the history, where what is written is kept. Keys still come here.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        ON_SCREEN.store(false, Ordering::Release);
        execute!(self.inner.backend_mut(), LeaveAlternateScreen, Show)?;
        self.mark.set(false);
        Ok(())
    }

    /// Shows the other one again.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        self.mark.set(true);
        enter()?;
        // Of what it drew before nothing is left.
        self.inner = empty()?;
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
        self.mark.set(false);
    }
}

/// Gives the terminal back of a `coord` that was killed while its screen was on it, and says this there: from
/// its watchdog. The modes of lines and keys are set back by the shell.
pub(crate) fn give_back_after(says: &str) -> io::Result<()> {
    // By this name it is that of the session: one that was closed, and may be another's by now, is not found.
    // And who does not read it holds up nothing.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut terminal = File::from(open("/dev/tty", flags, Mode::empty())?);
    // Where nobody may write there but who is in front, the watchdog would be stopped.
    if tcgetattr(&terminal)?
        .local_modes
        .contains(LocalModes::TOSTOP)
    {
        return Ok(());
    }
    let mut text = Vec::new();
    queue!(text, LeaveAlternateScreen, Show, DisableBracketedPaste)?;
    write!(text, "\r{says}\r\n")?;
    terminal.write_all(&text)
}

/// An empty screen.
fn empty() -> io::Result<ratatui::Terminal<Backend>> {
    ratatui::Terminal::new(CrosstermBackend::new(BufWriter::new(stdout())))
}

fn take() -> io::Result<()> {
    take_keys()?;
    let entered = enter();
    if entered.is_err() {
        give_back();
    }
    entered
}

fn take_keys() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::Release);
    // What is pasted comes as a whole then, and not as keys.
    execute!(stdout(), EnableBracketedPaste)
}

fn enter() -> io::Result<()> {
    ON_SCREEN.store(true, Ordering::Release);
    execute!(stdout(), EnterAlternateScreen)
}

fn give_back() {
    if TAKEN.swap(false, Ordering::AcqRel) {
        // Nobody is left to tell: the terminal may be gone.
        if ON_SCREEN.swap(false, Ordering::AcqRel) {
            let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        }
        let _ = execute!(stdout(), DisableBracketedPaste);
        let _ = disable_raw_mode();
    }
}

/// What a panic says would be lost with the screen, and the shell after it be unusable.
fn give_back_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use pty_process::blocking::{Command, open};
    use rustix::termios::{LocalModes, tcgetattr};

    use super::*;

    /// Set in the process that panics, which is this test once more.
    const PANICS: &str = "COORD_TEST_PANICS";

    #[test]
    fn a_panic_gives_the_terminal_back_and_is_told_there() {
        if std::env::var_os(PANICS).is_some() {
            let _terminal = Terminal::take(None).expect("there is a terminal");
            panic!("something unforeseen");
        }
        let (mut pty, pts) = open().expect("a terminal");
        let this = std::env::current_exe().expect("a path");
        let name = "a_panic_gives_the_terminal_back_and_is_told_there";
        let command = Command::new(this).args(["--nocapture", name]);
        let mut child = command.env(PANICS, "1").spawn(pts).expect("it starts");
        let mut shown = Vec::new();
        // At its end the terminal has nobody on its other side, which is an error.
        let _ = pty.read_to_end(&mut shown);
        let code = child.wait().expect("it ends").code();
        let shown = String::from_utf8_lossy(&shown);
        assert_ne!(code, Some(0), "{shown}");
        let left = shown.find("\u{1b}[?1049l").expect("the screen is left");
        let told = shown.find("something unforeseen").expect("it is told");
        assert!(left < told, "{shown}");
        let modes = tcgetattr(&pty).expect("its modes").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO));
    }
}
