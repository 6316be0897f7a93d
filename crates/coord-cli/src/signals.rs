//! Ctrl-C and SIGTERM: the first ends the run with grace, the second at once, the third also what
//! is being undone.

use std::convert::Infallible;
use std::io;

use coordination::bus::CancellationToken;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What each signal in a row asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupts {
    /// The first: no step starts any more, those that run get SIGTERM.
    pub(crate) end: CancellationToken,
    /// The second: the steps that run are killed.
    pub(crate) kill: CancellationToken,
    /// The third: what is being undone is killed, too.
    pub(crate) abandon: CancellationToken,
}

/// The signals that end a run.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes them over from the system, which would end the program. Within the runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Turns signals into requests, for as long as this is polled.
    pub(crate) async fn watch(mut self, interrupts: &Interrupts) -> Infallible {
        for request in [&interrupts.end, &interrupts.kill, &interrupts.abandon] {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            request.cancel();
        }
        std::future::pending().await
    }
}
