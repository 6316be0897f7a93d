//! When a failed operation is tried again.

use std::fmt;
use std::time::Duration;

use coord_bus::{Backoff, Failure, Jitter};

use super::worth::Worth;
use super::{PolicyError, RetryBudget};

/// When a failed operation is tried again: how often, after which wait, and after which errors.
///
/// By default 3 attempts, the first one included, with waits of 500 ms that grow by half each time,
/// half of each left to chance; after any error, also that of a policy further inside, such as a
/// timeout. An operation that fails of a [`Failure`] is heard: it is not tried again after one that is
/// [permanent](Failure::permanent), and after exactly the wait for which one
/// [asks](Failure::retry_after).
///
/// ```
/// use std::time::Duration;
/// use coord_recovery::policy::{PolicyError, Retry};
///
/// struct TooBusy {
///     retry_after: Duration,
/// }
///
/// let retry = Retry::<TooBusy>::exponential().max_attempts(5).server_delay(|error| match error {
///     PolicyError::Operation(busy) => Some(busy.retry_after),
///     _ => None,
/// });
/// ```
pub struct Retry<E> {
    pub(super) max_attempts: u32,
    pub(super) backoff: Backoff,
    worth: Worth<E>,
    server_delay: Option<Delay<E>>,
    pub(super) budget: Option<RetryBudget>,
}

type Delay<E> = Box<dyn Fn(&PolicyError<E>) -> Option<Duration> + Send + Sync>;

/// How many attempts there are where nothing else is said, the first one included.
pub(super) const DEFAULT_MAX_ATTEMPTS: u32 = 3;

impl<E: 'static> Default for Retry<E> {
    fn default() -> Self {
        Self::exponential()
    }
}

impl<E: 'static> Retry<E> {
    /// 3 attempts, with a wait of 500 ms that grows by half each time, at most 60 s, give or take
    /// half of it.
    pub fn exponential() -> Self {
        let backoff = Backoff::exponential(Backoff::DEFAULT_INITIAL).factor(1.5);
        Self::with(backoff.jitter(Jitter::Proportional { share: 0.5 }))
    }

    /// 3 attempts, with the same wait each time.
    pub fn constant(wait: Duration) -> Self {
        Self::with(Backoff::constant(wait))
    }

    /// 3 attempts, with a wait that grows by `initial` each time, at most 60 s.
    pub fn linear(initial: Duration) -> Self {
        Self::with(Backoff::linear(initial))
    }

    /// 3 attempts, with any backoff: growth, longest wait and jitter.
    pub fn with(backoff: Backoff) -> Self {
        Self {
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            backoff,
            worth: Worth::default(),
            server_delay: None,
            budget: None,
        }
    }
}

impl<E> Retry<E> {
    /// With another number of attempts, the first one included; 0 counts as 1.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// Only after errors of which this is true, a permanent [`Failure`] or not.
    #[must_use]
    pub fn retry_if(
        mut self,
        retry_if: impl Fn(&PolicyError<E>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.worth.only_if(retry_if);
        self
    }

    /// After errors that say how long to wait, as a server does with `Retry-After`, exactly so long,
    /// whatever the backoff. A timeout further out bounds it.
    #[must_use]
    pub fn server_delay(
        mut self,
        server_delay: impl Fn(&PolicyError<E>) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.server_delay = Some(Box::new(server_delay));
        self
    }

    /// Only as far as this budget admits, which others may share.
    #[must_use]
    pub fn budget(mut self, budget: &RetryBudget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    pub(super) fn has_server_delay(&self) -> bool {
        self.server_delay.is_some()
    }

    /// The wait after this error, before which there was `previous`; nothing if it is the last.
    pub(super) fn wait_after(
        &self,
        error: &PolicyError<E>,
        attempt: u32,
        previous: Duration,
    ) -> Option<Duration> {
        if attempt >= self.max_attempts || !self.worth.is_after(error) {
            return None;
        }
        let from_server = (self.server_delay.as_ref()).and_then(|delay| delay(error));
        let failure = self.worth.failure(error);
        let said = from_server.or_else(|| failure.and_then(Failure::retry_delay));
        Some(said.unwrap_or_else(|| self.backoff.delay_after(attempt, previous)))
    }
}

impl<E> fmt::Debug for Retry<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Retry")
            .field("max_attempts", &self.max_attempts)
            .field("backoff", &self.backoff)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
