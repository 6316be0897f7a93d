//! Ctrl-C and its like: the first ends the run with grace, the second at once, the third also what is
//! being undone.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

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

/// The signals that end a run: Ctrl-C, a polite request, a terminal that was closed, Ctrl-\. The
/// processes have groups of their own, so none of these reaches them but through this program.
const ENDING: [SignalKind; 4] = [
    SignalKind::interrupt(),
    SignalKind::terminate(),
    SignalKind::hangup(),
    SignalKind::quit(),
];

pub(crate) struct Signals([Signal; 4]);

impl Signals {
    /// Takes them over from the system, which would end the program. Within the runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let [interrupt, terminate, hangup, quit] = ENDING.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?, quit?]))
    }

    /// Turns signals into requests, for as long as this is polled.
    pub(crate) async fn watch(mut self, interrupts: &Interrupts) -> Infallible {
        for request in [&interrupts.end, &interrupts.kill, &interrupts.abandon] {
            poll_fn(|cx| {
                let mut signals = self.0.iter_mut();
                if signals.any(|signal| signal.poll_recv(cx).is_ready()) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            request.cancel();
        }
        std::future::pending().await
    }
}
