//! How often a step is tried, and how long it waits in between.

use std::num::NonZeroU32;
use std::time::Duration;

use coord_bus::Backoff;
use serde::{Deserialize, Serialize};

use crate::StepError;

/// How often a failing step is tried, and the wait between one attempt and the next.
///
/// The default is 3 attempts, 500 ms after the first failure and twice as long after each further
/// one, at most 60 s. An error that says how long to wait
/// ([`StepError::retry_after`](coord_bus::Failure::retry_after)) is waited for exactly so long instead.
///
/// ```
/// use std::time::Duration;
/// use coord_workflow::Retry;
///
/// let retry = Retry::exponential().initial(Duration::from_secs(1)).max_attempts(5);
/// assert_eq!(retry.backoff.delay(2), Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// How many attempts there are at most, the first one included.
    pub max_attempts: NonZeroU32,
    /// The wait between a failure and the next attempt.
    pub backoff: Backoff,
}

/// What becomes of a run when every attempt at one of its steps has failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnExhausted {
    /// The step has failed, and so has the run, unless the step is optional.
    #[default]
    Fail,
    /// The run is paused for the step: see
    /// [`StepBuilder::on_exhausted`](crate::StepBuilder::on_exhausted).
    Pause,
}

/// What becomes of the rest of a run when a step fails that is not optional.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Nothing further begins, and what runs is cancelled.
    #[default]
    FailFast,
    /// What needs the step does not begin; everything else comes to its end, unless a step fails that
    /// is [critical](crate::StepBuilder::critical).
    FinishBranches,
    /// Everything comes to its end, what needs the step as if that were optional, unless a step fails that
    /// is critical; and then the run has failed.
    FinishAll,
}

impl OnFailure {
    pub(crate) fn is_fail_fast(&self) -> bool {
        *self == Self::FailFast
    }

    /// As it is written in data, and a part of the fingerprint of every step.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FailFast => "fail-fast",
            Self::FinishBranches => "finish-branches",
            Self::FinishAll => "finish-all",
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::exponential()
    }
}

impl Retry {
    /// How often undoing a step is tried where nothing else is said: it matters more than most steps
    /// do, and nothing waits for it.
    pub(crate) const OF_COMPENSATION: Self = Self::exponential();

    /// How many attempts there are where nothing else is said, the first one included.
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 3;

    /// 3 attempts, with a wait of 500 ms that doubles each time, at most 60 s.
    pub const fn exponential() -> Self {
        Self::with(Backoff::exponential(Backoff::DEFAULT_INITIAL))
    }

    /// 3 attempts, with the same wait each time.
    pub const fn constant(wait: Duration) -> Self {
        Self::with(Backoff::constant(wait))
    }

    /// 3 attempts, with a wait that grows by `initial` each time, at most 60 s.
    pub const fn linear(initial: Duration) -> Self {
        Self::with(Backoff::linear(initial))
    }

    /// One attempt: the first failure is the last.
    pub const fn none() -> Self {
        Self::exponential().max_attempts(1)
    }

    const fn with(backoff: Backoff) -> Self {
        Self {
            max_attempts: NonZeroU32::MIN,
            backoff,
        }
        .max_attempts(Self::DEFAULT_MAX_ATTEMPTS)
    }

    /// The wait after an attempt that failed: as long as the error says, or else the backoff's.
    pub(crate) fn wait_after(&self, attempt: u32, error: &StepError) -> Duration {
        let said = error.retry_delay();
        said.unwrap_or_else(|| self.backoff.delay(attempt))
    }

    /// With another number of attempts, the first one included; 0 counts as 1.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = match NonZeroU32::new(attempts) {
            Some(attempts) => attempts,
            None => NonZeroU32::MIN,
        };
        self
    }

    /// With another first wait.
    #[must_use]
    pub const fn initial(mut self, wait: Duration) -> Self {
        self.backoff = self.backoff.initial(wait);
        self
    }

    /// With another longest wait.
    #[must_use]
    pub const fn max_delay(mut self, wait: Duration) -> Self {
        self.backoff = self.backoff.max(wait);
        self
    }
}
