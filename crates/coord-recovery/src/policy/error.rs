//! Why a call under a policy failed: the operation's own error, or what the policy made of it.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::Failure;

/// Why a call under a [`Policy`](super::Policy) failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError<E> {
    /// The operation failed; if there were several attempts, the last one.
    #[error(transparent)]
    Operation(E),
    /// It took longer than its timeout, and was dropped.
    #[error("it took longer than its timeout of {after:?}")]
    TimedOut {
        /// The timeout.
        after: Duration,
    },
    /// The circuit breaker did not permit it.
    #[error(transparent)]
    NotPermitted(#[from] NotPermitted),
    /// The bulkhead was full, and its queue too, or it waited there for too long.
    #[error(
        "the bulkhead is full: {limit} calls are under way, its limit{}; try again later, or raise it",
        Waited(*waited)
    )]
    BulkheadFull {
        /// How many calls there may be at once.
        limit: usize,
        /// How long it waited.
        waited: Duration,
    },
    /// The rate limit was reached.
    #[error("the rate limit of {limit} is reached: try again in {retry_after:?}")]
    RateLimited {
        /// The limit, in words.
        limit: Arc<str>,
        /// How long until there is room for one call.
        retry_after: Duration,
    },
    /// There was no policy for its key: see [`KeyedPolicy`](super::KeyedPolicy).
    #[error("there is no policy for its key: {why}")]
    NoPolicy {
        /// Why not.
        why: String,
    },
}

/// A circuit breaker did not permit a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker `{breaker}` is {state} and permits no call{}", RetryAfter(*retry_after))]
#[non_exhaustive]
pub struct NotPermitted {
    /// The breaker.
    pub breaker: Arc<str>,
    /// Its state: open, forced open, or half open with all probes under way.
    pub state: super::BreakerState,
    /// How long until it permits one again, as far as that is known.
    pub retry_after: Option<Duration>,
}

/// The same of who asks a breaker [by hand](super::CircuitBreaker::try_acquire), for as long as the
/// breaker is there; [`NotPermitted`] is made of it for whoever keeps it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker `{breaker}` is {state} and permits no call{}", RetryAfter(*retry_after))]
#[non_exhaustive]
pub struct Refused<'b> {
    /// The breaker.
    pub breaker: &'b Arc<str>,
    /// Its state: open, forced open, or half open with all probes under way.
    pub state: super::BreakerState,
    /// How long until it permits a call again, as far as that is known.
    pub retry_after: Option<Duration>,
}

impl From<Refused<'_>> for NotPermitted {
    fn from(refused: Refused<'_>) -> Self {
        Self {
            breaker: Arc::clone(refused.breaker),
            state: refused.state,
            retry_after: refused.retry_after,
        }
    }
}

impl<E> From<Refused<'_>> for PolicyError<E> {
    fn from(refused: Refused<'_>) -> Self {
        Self::NotPermitted(refused.into())
    }
}

struct Waited(Duration);

impl fmt::Display for Waited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return Ok(());
        }
        write!(formatter, ", and a wait of {:?} was not enough", self.0)
    }
}

struct RetryAfter(Option<Duration>);

impl fmt::Display for RetryAfter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(wait) => write!(formatter, ": try again in {wait:?}"),
            None => Ok(()),
        }
    }
}

impl<E> PolicyError<E> {
    /// The operation's own error, if it is that.
    pub fn operation(&self) -> Option<&E> {
        match self {
            Self::Operation(error) => Some(error),
            _ => None,
        }
    }

    /// When it may be tried again, where the policy that refused it knows.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotPermitted(refused) => refused.retry_after,
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// What it is, in kebab-case: `operation-failed`, `timed-out`, `circuit-open`,
    /// `bulkhead-full`, `rate-limited` or `no-policy`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Operation(_) => "operation-failed",
            Self::TimedOut { .. } => "timed-out",
            Self::NotPermitted(_) => "circuit-open",
            Self::BulkheadFull { .. } => "bulkhead-full",
            Self::RateLimited { .. } => "rate-limited",
            Self::NoPolicy { .. } => "no-policy",
        }
    }
}

impl<E> PolicyError<E> {
    /// What it says, with these words for the operation's own error.
    pub(crate) fn in_words(&self, operation: impl Fn(&E) -> String) -> String {
        match self {
            Self::Operation(error) => operation(error),
            _ => self.own().map(|own| own.to_string()).unwrap_or_default(),
        }
    }

    /// The same error if it is not the operation's own.
    fn own(&self) -> Option<PolicyError<Infallible>> {
        Some(match self {
            Self::Operation(_) => return None,
            Self::TimedOut { after } => PolicyError::TimedOut { after: *after },
            Self::NotPermitted(refused) => PolicyError::NotPermitted(refused.clone()),
            Self::BulkheadFull { limit, waited } => PolicyError::BulkheadFull {
                limit: *limit,
                waited: *waited,
            },
            Self::RateLimited { limit, retry_after } => PolicyError::RateLimited {
                limit: Arc::clone(limit),
                retry_after: *retry_after,
            },
            Self::NoPolicy { why } => PolicyError::NoPolicy { why: why.clone() },
        })
    }
}

impl<E: Into<Failure>> PolicyError<E> {
    /// As what handlers, steps and children fail of. The operation's own error stays what it was, and so
    /// whether it is permanent, and how long to wait; what a policy made of it is a
    /// `PolicyError<Infallible>`, with when it [may be tried again](Self::retry_after).
    ///
    /// An error of an operation that fails of a [`Failure`] needs this, as a `Failure` is itself no
    /// [`Error`](std::error::Error); what other operations fail of also goes by `?` alone.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use coord_bus::Failure;
    /// use coord_recovery::policy::{Policy, PolicyError};
    ///
    /// async fn handle(policy: &Policy<u32, Failure>) -> Result<u32, Failure> {
    ///     let ask = || async { Err(Failure::message("busy").retry_after(Duration::from_secs(30))) };
    ///     let answer = policy.run(ask).await.map_err(PolicyError::into_failure)?;
    ///     Ok(answer)
    /// }
    /// # let policy = Policy::builder("ask").build().unwrap();
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// assert_eq!(handle(&policy).await.unwrap_err().retry_delay(), Some(Duration::from_secs(30)));
    /// # });
    /// ```
    pub fn into_failure(self) -> Failure {
        let (own, retry_after) = (self.own(), self.retry_after());
        let failure = match self {
            Self::Operation(error) => error.into(),
            _ => own.map_or_else(|| Failure::message("it failed"), Into::into),
        };
        match retry_after {
            Some(wait) => failure.retry_after(wait),
            None => failure,
        }
    }
}
