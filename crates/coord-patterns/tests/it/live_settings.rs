//! The example `live_settings`, run in a terminal: what it shows is what it is to show.
//!
//! With `UPDATE_GOLDEN` set, what is shown becomes what is expected.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

/// Far longer than anything here takes: only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(20);

struct Screen {
    pty: Arc<Pty>,
    printed: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    child: Child,
}

/// Cargo builds the examples of a package with its tests, and puts them beside them.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples/live_settings")
}

impl Screen {
    fn open(command: Command) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(5, 32)).unwrap();
        let [rows, columns] = [5, 32].map(NonZeroU16::try_from);
        let parser = vt100::Parser::new(rows.unwrap(), columns.unwrap(), 0);
        let child = command.env("TERM", "xterm-256color").spawn(pts).unwrap();
        let (tell, printed) = channel();
        let pty = Arc::new(pty);
        let reader = Arc::clone(&pty);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The other side is closed when nobody has it open any more.
            while let Ok(read @ 1..) = (&*reader).read(&mut bytes) {
                if tell.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            pty,
            printed,
            parser,
            child,
        }
    }

    fn resize(&mut self, rows: u16, columns: u16) {
        self.pty.resize(Size::new(rows, columns)).unwrap();
        let [rows, columns] = [rows, columns].map(NonZeroU16::try_from);
        self.parser
            .screen_mut()
            .set_size(rows.unwrap(), columns.unwrap());
    }

    /// Waits until a frame is drawn to its last word, and gives what is shown then.
    fn frame(&mut self, number: usize, last: &str) -> String {
        loop {
            let shown = self.parser.screen().contents();
            if shown.contains(last) && shown.contains(&format!("frame {number}")) {
                return format!("{shown}\n\n");
            }
            let printed = self.printed.recv_timeout(PATIENCE);
            self.parser.process(&printed.expect(&shown));
        }
    }

    /// The colours of the first letter.
    fn colors(&self) -> (vt100::Color, vt100::Color) {
        let cell = self.parser.screen().cell(1, 1).unwrap();
        (cell.fgcolor(), cell.bgcolor())
    }

    fn interrupt(mut self) {
        (&*self.pty).write_all(b"\x03").unwrap();
        // To the end of what it prints, so that it is not held up.
        while self.printed.recv_timeout(PATIENCE).is_ok() {}
        assert!(self.child.wait().unwrap().success());
    }
}

/// In one go, as an editor would: who reads finds the old or the new.
fn save(file: &Path, greeting: &str, theme: &str) {
    let new = file.with_extension("new");
    let text = format!("greeting = '{greeting}'\n[ui]\ntheme = '{theme}'\n");
    fs::write(&new, text).unwrap();
    fs::rename(&new, file).unwrap();
}

#[test]
fn what_changes_is_in_the_next_frame_whether_settings_theme_or_size() {
    let house = tempfile::tempdir().unwrap();
    let file = house.path().join("app.toml");
    save(&file, "good evening", "dark");
    let mut screen = Screen::open(Command::new(program()).arg(&file).env_remove("NO_COLOR"));
    let mut shown = screen.frame(1, "dark, 32 x 5");
    let white_on_black = (vt100::Color::Idx(15), vt100::Color::Idx(0));
    assert_eq!(screen.colors(), white_on_black);

    save(&file, "good morning", "light");
    shown += &screen.frame(2, "light, 32 x 5");
    let black_on_white = (vt100::Color::Idx(0), vt100::Color::Idx(15));
    assert_eq!(screen.colors(), black_on_white);

    screen.resize(4, 24);
    shown += &screen.frame(3, "light, 24 x 4");
    // One frame for each of them, and none for what has not changed.
    save(&file, "good morning", "light");
    save(&file, "good night", "light");
    shown += &screen.frame(4, "good night");
    screen.interrupt();

    let mut screen = Screen::open(Command::new(program()).arg(&file).env("NO_COLOR", "1"));
    shown += &screen.frame(1, "light, 32 x 5");
    let none = (vt100::Color::Default, vt100::Color::Default);
    assert_eq!(screen.colors(), none);
    screen.interrupt();

    // As it is where the test runs: what was built in another copy of the sources may be run here.
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let golden = package.join("tests/it/golden/live_settings.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(&golden).unwrap());
}
