//! When another attempt is begun beside one that is slow or has failed.

use std::fmt;
use std::time::Duration;

use super::worth::Worth;
use super::{PolicyError, RetryBudget};

/// When another attempt is begun beside those under way, so that one that is slow by chance holds up nobody: after 2 s
/// by default, and one more attempt, as in Polly. The first to succeed is the outcome, and the others are dropped.
///
/// An attempt that fails has the next one begin at once, if there is one left, of which those who
/// [listen](super::PolicyBuilder::listen) are told. A failure is the outcome where it is not worth another attempt, as a
/// [permanent](coord_bus::Failure::permanent) one is not, and where it is that of the last attempt under way.
///
/// What is further in is done for each attempt, and what is further out for all of them together: a bulkhead further in has
/// to have room for two. A policy has one hedge at most.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use coord_bus::time::sleep;
/// use coord_recovery::policy::{Hedge, Policy};
///
/// let policy: Policy<&str, std::io::Error> = Policy::builder("read")
///     .timeout(Duration::from_secs(5))
///     .hedge(Hedge::after(Duration::from_millis(100)))
///     .build()?;
/// assert_eq!(policy.to_string(), "timeout(5s) → hedge(2 attempts, after 100ms) → call");
///
/// // The first replica that is asked does not answer.
/// let mut replicas = [Duration::MAX, Duration::from_millis(20)].into_iter();
/// let answer = policy.run(|| {
///     let takes = replicas.next().unwrap();
///     async move {
///         sleep(takes).await;
///         Ok("answer")
///     }
/// });
/// assert_eq!(answer.await?, "answer");
/// # Ok(())
/// # }
/// ```
pub struct Hedge<E> {
    delay: Option<Duration>,
    pub(super) max_attempts: u32,
    pub(super) worth: Worth<E>,
    pub(super) budget: Option<RetryBudget>,
}

impl<E: 'static> Default for Hedge<E> {
    fn default() -> Self {
        Self::after(Self::DEFAULT_DELAY)
    }
}

impl<E: 'static> Hedge<E> {
    /// One more attempt, when the first has taken this long; with 0, both at once.
    pub fn after(delay: Duration) -> Self {
        Self::with(Some(delay))
    }

    /// One more attempt, when the first has failed, and none for what is slow.
    pub fn after_failure() -> Self {
        Self::with(None)
    }

    fn with(delay: Option<Duration>) -> Self {
        Self {
            delay,
            max_attempts: Self::DEFAULT_MAX_ATTEMPTS,
            worth: Worth::default(),
            budget: None,
        }
    }
}

impl<E> Hedge<E> {
    /// How long an attempt takes before another is begun, where nothing else is said.
    pub const DEFAULT_DELAY: Duration = Duration::from_secs(2);
    /// How many attempts there are where nothing else is said, the first one included.
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 2;
    /// The most attempts there may be, the first one included, as in Polly.
    pub const MAX_ATTEMPTS: u32 = 11;

    /// With another number of attempts, the first one included: from 2 to [`MAX_ATTEMPTS`](Self::MAX_ATTEMPTS), each when the
    /// last has taken as long, or one has failed.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// After a failure, only where this is true of it, a permanent [`Failure`](coord_bus::Failure) or not. Any other is the
    /// outcome at once.
    #[must_use]
    pub fn hedge_if(
        mut self,
        hedge_if: impl Fn(&PolicyError<E>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.worth.only_if(hedge_if);
        self
    }

    /// Only as far as this budget admits, which others may share: a further attempt counts as a retry. Where it does not
    /// admit one, the call has no more.
    #[must_use]
    pub fn budget(mut self, budget: &RetryBudget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// How long an attempt takes before another is begun, if that is what it is for.
    pub(super) fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// Why it cannot work, if so.
    pub(super) fn fault(&self) -> Option<String> {
        let (attempts, max) = (self.max_attempts, Self::MAX_ATTEMPTS);
        (!(2..=max).contains(&attempts)).then(|| {
            format!("the attempts of a hedge have to be from 2 to {max}, the first one included, not {attempts}")
        })
    }
}

impl<E> fmt::Display for Hedge<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "hedge({} attempts, after ", self.max_attempts)?;
        match self.delay {
            Some(delay) => write!(formatter, "{delay:?}")?,
            None => formatter.write_str("a failure")?,
        }
        if self.budget.is_some() {
            formatter.write_str(", with a budget")?;
        }
        formatter.write_str(")")
    }
}

impl<E> fmt::Debug for Hedge<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hedge")
            .field("delay", &self.delay)
            .field("max_attempts", &self.max_attempts)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
