//! How a pattern does: what it says of itself, and what it counts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::MAX_COUNTERS;

/// How a pattern does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PatternState {
    /// It is not enabled.
    #[default]
    Disabled,
    /// It is being started.
    Starting,
    /// It does its work.
    Running,
    /// It goes on, and something is not as it should be.
    Degraded {
        /// What.
        reason: String,
    },
    /// It cannot do its work any more. It is to be disabled, and perhaps enabled again.
    Failed {
        /// Why.
        reason: String,
    },
    /// It is being stopped.
    Stopping,
}

impl fmt::Display for PatternState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => formatter.pad("disabled"),
            Self::Starting => formatter.pad("starting"),
            Self::Running => formatter.pad("running"),
            Self::Degraded { reason } => write!(formatter, "degraded: {reason}"),
            Self::Failed { reason } => write!(formatter, "failed: {reason}"),
            Self::Stopping => formatter.pad("stopping"),
        }
    }
}

/// What a pattern shares with its handles.
#[derive(Debug, Default)]
pub(super) struct Status {
    state: Mutex<PatternState>,
    counters: Mutex<BTreeMap<&'static str, Arc<AtomicU64>>>,
}

impl Status {
    pub(super) fn state(&self) -> PatternState {
        locked(&self.state).clone()
    }

    pub(super) fn set(&self, state: PatternState) {
        *locked(&self.state) = state;
    }

    /// What a pattern says of itself; it is not heard where it does not run.
    pub(super) fn say(&self, said: PatternState) {
        let mut state = locked(&self.state);
        if !matches!(*state, PatternState::Disabled | PatternState::Stopping) {
            *state = said;
        }
    }

    /// It has started, and may have said more of itself by now.
    pub(super) fn started(&self) {
        let mut state = locked(&self.state);
        if *state == PatternState::Starting {
            *state = PatternState::Running;
        }
    }

    pub(super) fn counter(&self, name: &'static str) -> Arc<AtomicU64> {
        let mut counters = locked(&self.counters);
        if counters.len() >= MAX_COUNTERS && !counters.contains_key(name) {
            return Arc::default();
        }
        Arc::clone(counters.entry(name).or_default())
    }

    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        let counters = locked(&self.counters);
        let counts = counters.iter();
        counts
            .map(|(name, count)| ((*name).to_owned(), count.load(Ordering::Relaxed)))
            .collect()
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
