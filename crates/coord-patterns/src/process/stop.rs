//! How a process is asked to stop: kindly first, and then not.

use coord_bus::CancellationToken;

/// Two requests to stop a process, or many: give the same one to each.
///
/// A request stands: a process that is run after it does not start.
///
/// ```
/// use coord_patterns::process::Stop;
///
/// let stop = Stop::default();
/// stop.graceful.cancel();     // the first Ctrl-C …
/// stop.immediate.cancel();    // … and the second
/// ```
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Cancelled, it sends the process's stop signal, SIGTERM by default, to the process group, and
    /// SIGKILL once the process's grace is over and something of the group still lives.
    pub graceful: CancellationToken,
    /// Cancelled, it sends SIGKILL to the process group at once.
    pub immediate: CancellationToken,
}

impl Stop {
    /// Whether anybody has asked.
    pub fn is_requested(&self) -> bool {
        self.graceful.is_cancelled() || self.immediate.is_cancelled()
    }
}
