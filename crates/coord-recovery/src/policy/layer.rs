//! The layers of a policy, and how they print.

use std::fmt;
use std::time::Duration;

use coord_bus::BoxFuture;

use super::worth::Decide;
use super::{Bulkhead, CircuitBreaker, Hedge, PolicyError, RateLimit, Retry};

pub(super) enum Layer<T, E> {
    Retry(Retry<E>),
    Hedge(Hedge<E>),
    Timeout(Duration),
    Breaker(CircuitBreaker, Option<Count<T, E>>),
    Bulkhead(Bulkhead),
    RateLimit(RateLimit),
    Fallback(Fallback<T, E>),
}

pub(super) type Count<T, E> =
    Box<dyn Fn(Result<&T, &PolicyError<E>>) -> Option<bool> + Send + Sync>;

pub(super) struct Fallback<T, E> {
    /// Of any error, where nothing is said.
    pub(super) fallback_if: Option<Decide<E>>,
    pub(super) instead: Instead<T, E>,
}

pub(super) enum Instead<T, E> {
    Value(Box<dyn Fn() -> T + Send + Sync>),
    Run(Run<T, E>),
}

pub(super) type Run<T, E> =
    Box<dyn Fn(PolicyError<E>) -> BoxFuture<'static, Result<T, PolicyError<E>>> + Send + Sync>;

impl<T, E> Fallback<T, E> {
    pub(super) fn is_for(&self, error: &PolicyError<E>) -> bool {
        (self.fallback_if.as_ref()).is_none_or(|fallback_if| fallback_if(error))
    }
}

impl<T, E> Layer<T, E> {
    /// What it is called in what is told.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Retry(_) => "retry",
            Self::Hedge(_) => "hedge",
            Self::Timeout(_) => "timeout",
            Self::Breaker(breaker, _) => breaker.name(),
            Self::Bulkhead(_) => "bulkhead",
            Self::RateLimit(_) => "rate_limit",
            Self::Fallback(_) => "fallback",
        }
    }

    /// A fallback after which there is no error.
    pub(super) fn ends_errors(&self) -> bool {
        matches!(
            self,
            Self::Fallback(Fallback {
                fallback_if: None,
                instead: Instead::Value(_),
            })
        )
    }
}

impl<T, E> fmt::Display for Layer<T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(retry) => {
                write!(formatter, "retry({} attempts", retry.max_attempts)?;
                if retry.budget.is_some() {
                    formatter.write_str(", with a budget")?;
                }
                formatter.write_str(")")
            }
            Self::Hedge(hedge) => write!(formatter, "{hedge}"),
            Self::Timeout(after) => write!(formatter, "timeout({after:?})"),
            Self::Breaker(breaker, _) => write!(formatter, "circuit_breaker({})", breaker.name()),
            Self::Bulkhead(bulkhead) => {
                write!(formatter, "bulkhead({}", bulkhead.limit())?;
                if let Some(wait) = bulkhead.max_wait() {
                    write!(formatter, ", waits {wait:?}")?;
                }
                formatter.write_str(")")
            }
            Self::RateLimit(limit) => {
                write!(formatter, "rate_limit({limit}")?;
                if let Some(wait) = limit.max_wait() {
                    write!(formatter, ", waits {wait:?}")?;
                }
                formatter.write_str(")")
            }
            Self::Fallback(_) => formatter.write_str("fallback"),
        }
    }
}
