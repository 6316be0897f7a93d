//! How often and for how long a service is asked whether it is well.

use std::time::Duration;

use super::Check;

/// A question to a service, asked again and again. The names and their defaults are those of
/// Kubernetes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Probe {
    /// What is asked.
    pub check: Check,
    /// How long from one question to the next; 10 s by default, 1 ms at least. Until a service is
    /// ready it is asked sooner: see the [module](super#readiness).
    pub period: Duration,
    /// How long an answer may take, before it counts as a bad one; 1 s by default.
    pub timeout: Duration,
    /// How long the first question waits, from the start of the process, or from when it is ready;
    /// 0 by default.
    pub start_delay: Duration,
    /// How many good answers in a row make a service ready; 1 by default and at least. A service
    /// that is ready is well with each good answer.
    pub success_threshold: u32,
    /// How many bad answers in a row make a service unhealthy, and how many periods it has to
    /// become ready; 3 by default, 1 at least.
    pub failure_threshold: u32,
}

impl Probe {
    /// This check, with the defaults.
    pub fn new(check: Check) -> Self {
        Self {
            check,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            start_delay: Duration::ZERO,
            success_threshold: 1,
            failure_threshold: 3,
        }
    }

    /// The period, as it is kept.
    pub(super) fn pace(&self) -> Duration {
        self.period.max(Duration::from_millis(1))
    }

    /// How long a service has to become ready, from its start.
    pub(super) fn limit(&self) -> Duration {
        let periods = self.pace().saturating_mul(self.failure_threshold.max(1));
        self.start_delay.saturating_add(periods)
    }
}
