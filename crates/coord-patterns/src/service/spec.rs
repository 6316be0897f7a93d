//! What a service is: a process, and how to ask whether it is well.

use super::Probe;
use crate::process::ProcessSpec;

/// A process that is to stay, and how to ask whether it is well.
///
/// ```
/// # #[cfg(feature = "http-probe")] {
/// use coord_patterns::process::ProcessSpec;
/// use coord_patterns::service::{Check, Probe, ServiceSpec};
///
/// let process = ProcessSpec::shell("api", "exec serve --port 8080");
/// let mut ready = Probe::new(Check::http("http://localhost:8080/health")?);
/// ready.failure_threshold = 6; // a minute until it is given up
/// let live = Probe::new(Check::tcp("localhost:8080")?);
///
/// let api = ServiceSpec::new(process).ready(ready).live(live);
/// assert_eq!(api.process.name, "api");
/// # }
/// # Ok::<(), coord_patterns::service::CheckError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServiceSpec {
    /// Its process, whose name is the service's.
    pub process: ProcessSpec,
    /// How to ask whether it can do its work yet. Without it, it can as soon as its process has
    /// started.
    pub ready: Option<Probe>,
    /// How to ask whether it still can. Without it, it can for as long as its process runs.
    pub live: Option<Probe>,
}

impl ServiceSpec {
    /// A service that is ready once its process runs, and well while it does.
    pub fn new(process: ProcessSpec) -> Self {
        Self {
            process,
            ready: None,
            live: None,
        }
    }

    /// Ready when this probe says so.
    #[must_use]
    pub fn ready(mut self, probe: Probe) -> Self {
        self.ready = Some(probe);
        self
    }

    /// Well for as long as this probe says so. [`Check::log`](super::Check::log) cannot, for a line
    /// is printed once: with that, the service is not run.
    #[must_use]
    pub fn live(mut self, probe: Probe) -> Self {
        self.live = Some(probe);
        self
    }
}
