//! What a circuit breaker tells those that listen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::BreakerState;

/// What has happened at a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum BreakerEvent {
    /// It is in another state.
    Transition {
        /// The state before.
        from: BreakerState,
        /// The state now.
        to: BreakerState,
    },
    /// The share of failed calls has reached its threshold; told once in each state.
    FailureRateExceeded {
        /// The share.
        percent: f64,
    },
    /// The share of slow calls has reached its threshold; told once in each state.
    SlowCallRateExceeded {
        /// The share.
        percent: f64,
    },
    /// A call was not permitted. One that is forced open does not tell.
    NotPermitted,
    /// A call succeeded.
    Success {
        /// How long it took.
        took: Duration,
    },
    /// A call failed.
    Failure {
        /// How long it took.
        took: Duration,
    },
    /// A call was not counted, whatever came of it: it was to be ignored, or the breaker has gone into
    /// another state since it permitted it.
    Ignored,
    /// It was reset by hand, and is closed.
    Reset {
        /// The state before.
        from: BreakerState,
    },
}

impl BreakerEvent {
    /// Polly's name of it, or where Polly has none resilience4j's: `on_circuit_opened`,
    /// `on_circuit_half_opened`, `on_circuit_closed`, `on_state_transition` into another state,
    /// `on_failure_rate_exceeded`, `on_slow_call_rate_exceeded`, `on_call_not_permitted`,
    /// `on_success`, `on_error`, `on_ignored_error`, `on_reset`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Transition { to, .. } => match to {
                BreakerState::Open => "on_circuit_opened",
                BreakerState::HalfOpen => "on_circuit_half_opened",
                BreakerState::Closed => "on_circuit_closed",
                _ => "on_state_transition",
            },
            Self::FailureRateExceeded { .. } => "on_failure_rate_exceeded",
            Self::SlowCallRateExceeded { .. } => "on_slow_call_rate_exceeded",
            Self::NotPermitted => "on_call_not_permitted",
            Self::Success { .. } => "on_success",
            Self::Failure { .. } => "on_error",
            Self::Ignored => "on_ignored_error",
            Self::Reset { .. } => "on_reset",
        }
    }

    /// Transitions; the rest is for listeners, as it comes with each call.
    #[cfg(feature = "tracing")]
    pub(super) fn trace(&self, breaker: &str) {
        let Self::Transition { from, to } = self else {
            return;
        };
        let name = self.name();
        if *to == BreakerState::Open {
            tracing::error!(strategy.name = breaker, %from, %to, "{name}");
        } else {
            tracing::warn!(strategy.name = breaker, %from, %to, "{name}");
        }
    }
}

/// The most listeners of one breaker.
pub const MAX_LISTENERS: usize = 64;

type Listener = Arc<dyn Fn(&BreakerEvent) + Send + Sync>;

#[derive(Default)]
pub(super) struct Listeners {
    is_listening: AtomicBool,
    list: Mutex<Vec<Listener>>,
}

impl Listeners {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        !self.is_listening.load(Ordering::Relaxed)
    }

    /// Whether there was room.
    pub(super) fn add(&self, listener: Listener) -> bool {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let is_room = list.len() < MAX_LISTENERS;
        if is_room {
            list.push(listener);
            self.is_listening.store(true, Ordering::Relaxed);
        }
        is_room
    }

    pub(super) fn tell(&self, event: &BreakerEvent) {
        if self.is_empty() {
            return;
        }
        // Outside the lock, so that a listener may ask the breaker for whatever it wants.
        let list = self
            .list
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for listener in list {
            listener(event);
        }
    }
}
