//! The terminal: taken over, given back whatever happens, and taken over again.

use std::io::{self, BufWriter, Stdout, Write, stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::backend::CrosstermBackend;

type Backend = CrosstermBackend<BufWriter<Stdout>>;

/// Whether the terminal is taken over now: a panic in any thread gives it back.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, taken over. Dropped, it is given back.
pub(super) struct Terminal {
    inner: ratatui::Terminal<Backend>,
}

impl Terminal {
    /// Takes the terminal over.
    pub(super) fn take() -> io::Result<Self> {
        give_back_on_panic();
        take()?;
        let backend = CrosstermBackend::new(BufWriter::new(stdout()));
        match ratatui::Terminal::new(backend) {
            Ok(inner) => Ok(Self { inner }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws a frame: what is different from the one before.
    pub(super) fn draw(&mut self, frame: impl FnOnce(&mut ratatui::Frame<'_>)) -> io::Result<()> {
        self.inner.draw(frame).map(drop)
    }

    /// Gives the terminal back while something is done, and takes it over again.
    pub(super) fn meanwhile(&mut self, something: impl FnOnce()) -> io::Result<()> {
        give_back();
        something();
        take()?;
        self.inner.clear()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::Release);
    let entered = execute!(stdout(), EnterAlternateScreen);
    if entered.is_err() {
        give_back();
    }
    entered
}

fn give_back() {
    if TAKEN.swap(false, Ordering::AcqRel) {
        // Nobody is left to tell: the terminal may be gone.
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = stdout().flush();
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
