//! How a run ended: what its summary tells and its exit code says.

use std::sync::Arc;
use std::time::Duration;

use coordination::monitor::PerformanceMetrics;
use coordination::workflow::Outcome;

use crate::job::{FailedHook, FailedService};

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Arc<Outcome>,
    /// Where the run is in a journal, the flag that names it: nothing for the usual one.
    pub(crate) kept: Option<String>,
    /// The service whose failure ended the run.
    pub(crate) service: Option<FailedService>,
    /// The hooks that failed.
    pub(crate) hooks: Vec<FailedHook>,
    /// How long it all took, until no service ran any more.
    pub(crate) took: Duration,
    /// What was measured, before the last parts came to rest.
    pub(crate) metrics: PerformanceMetrics,
}
