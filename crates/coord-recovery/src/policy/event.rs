//! What a policy tells those that listen.

use std::time::Duration;

use super::PolicyError;

/// What a policy has done, by Polly's names. A call that goes well tells nothing.
#[derive(Debug)]
#[non_exhaustive]
pub struct PolicyEvent<'e, E> {
    /// The policy; Polly's `pipeline.name`.
    pub policy: &'e str,
    /// The part of it, such as `retry`, or the name of the circuit breaker; Polly's `strategy.name`.
    pub strategy: &'e str,
    /// What was called, as far as the caller has said; Polly's `operation.key`.
    pub operation: Option<&'e str>,
    /// Which attempt it was, from 0; Polly's `attempt.number`.
    pub attempt: u32,
    /// What it has done.
    pub action: PolicyAction,
    /// The error that made it do so. `None` where there is none: a [`Hedge`](PolicyAction::Hedge) for an operation
    /// that is slow.
    pub error: Option<&'e PolicyError<E>>,
}

/// What a policy does when a call does not go well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyAction {
    /// It tries again after a wait.
    Retry {
        /// The wait.
        wait: Duration,
    },
    /// It begins another attempt beside those under way.
    Hedge {
        /// Which one it begins, from 1, as the first is 0.
        hedged: u32,
    },
    /// It would try again, or beside the attempts under way, and its budget is used up.
    BudgetExhausted,
    /// It has dropped the call.
    Timeout,
    /// It gives something else instead.
    Fallback,
    /// A circuit breaker, a bulkhead or a rate limit has not let the call through.
    Rejected,
}

impl PolicyAction {
    /// `on_retry`, `on_hedging`, `on_retry_budget_exhausted`, `on_timeout`, `on_fallback`, `on_rejected`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Retry { .. } => "on_retry",
            Self::Hedge { .. } => "on_hedging",
            Self::BudgetExhausted => "on_retry_budget_exhausted",
            Self::Timeout => "on_timeout",
            Self::Fallback => "on_fallback",
            Self::Rejected => "on_rejected",
        }
    }
}

impl<E> PolicyEvent<'_, E> {
    #[cfg(feature = "tracing")]
    pub(super) fn trace(&self) {
        let wait = match self.action {
            PolicyAction::Retry { wait } => Some(wait),
            _ => None,
        };
        tracing::warn!(
            pipeline.name = self.policy,
            strategy.name = self.strategy,
            operation.key = self.operation,
            attempt.number = self.attempt,
            error.kind = self.error.map(PolicyError::kind),
            wait = wait.map(tracing::field::debug),
            "{}",
            self.action.name()
        );
    }
}
