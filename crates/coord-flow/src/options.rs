//! What becomes of a flow's failures: [`OnFailure`].

use std::time::Duration;

use coord_bus::{Backoff, Failure};

/// What becomes of an event that a flow can make nothing of, when it has been tried as often as it
/// is to be ([`EventFlow::retry`](crate::EventFlow::retry)).
///
/// In each case it is counted, told to `error-detected`, and published as a
/// [`Fault`](coord_bus::Fault) to the source's [`faults`](coord_bus::Topic::faults).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnFailure {
    /// It becomes a dead letter of its topic, and the flow goes on.
    #[default]
    DeadLetter,
    /// The flow ends, as [`FlowState::Failed`](crate::FlowState::Failed); what its source has is
    /// left.
    Stop,
    /// That is all, and the flow goes on.
    Skip,
}

/// How often a stage tries something, and how long it waits in between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryOptions {
    pub(crate) max_attempts: u32,
    pub(crate) backoff: Backoff,
}

impl RetryOptions {
    /// Once.
    pub(crate) const NEVER: Self = Self {
        max_attempts: 1,
        backoff: Backoff::constant(Duration::ZERO),
    };

    /// How long to wait after this many failures, if there is to be another attempt.
    pub(crate) fn wait(&self, failures: u32, failure: &Failure) -> Option<Duration> {
        let is_over = failures >= self.max_attempts || failure.is_permanent();
        let wait = || self.backoff.delay(failures);
        (!is_over).then(|| failure.retry_delay().unwrap_or_else(wait))
    }
}

/// What a flow is besides its stages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlowOptions {
    pub(crate) on_failure: OnFailure,
    pub(crate) retry: RetryOptions,
    /// How often an event may go round the loop that the flow closes, if it may close one.
    pub(crate) hops_max: Option<u32>,
    /// Whether it is measured how long events take.
    pub(crate) timed: bool,
}

impl Default for FlowOptions {
    fn default() -> Self {
        Self {
            on_failure: OnFailure::default(),
            retry: RetryOptions::NEVER,
            hops_max: None,
            timed: false,
        }
    }
}
