//! How a process is asked to stop: kindly first, and then not.

use coord_bus::CancellationToken;

/// Two requests to stop a process, or many: give the same one to each.
///
/// A request stands: a process that is run after it does not start. Clones are the same two requests: whoever
/// is to stop the process by hand has one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use coord_bus::vocabulary::PROCESS_OUTPUT;
/// use coord_bus::{BusExt, LocalBus};
/// use coord_patterns::process::{ProcessRunner, ProcessSpec, Stop};
///
/// let bus = LocalBus::new();
/// let mut output = bus.subscribe(&PROCESS_OUTPUT)?;
/// let deaf = ProcessSpec::shell("deaf", "trap '' TERM; echo up; while :; do sleep 1; done");
///
/// let stop = Stop::default();
/// let hand = stop.clone();
/// let by_hand = async {
///     output.recv().await;         // it is up
///     hand.graceful.cancel();      // the first Ctrl-C: SIGTERM, and SIGKILL after its grace …
///     hand.immediate.cancel();     // … and the second: SIGKILL at once
/// };
/// let runner = ProcessRunner::new(&bus)?;
/// let (exit, ()) = tokio::join!(runner.run(&deaf, &stop), by_hand);
/// assert_eq!(exit?.signal, Some(9));
/// # Ok(())
/// # }
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
