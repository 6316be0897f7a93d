//! How services get on: processes that are to stay, and be ready for others.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Exit, seconds};

/// A service changed its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceLifecycle {
    /// The name that it was given.
    pub service: String,
    /// When.
    pub at: Timestamp,
    /// Its new state.
    #[serde(flatten)]
    pub state: ServiceState,
}

/// The state of a service. What its process does besides is told in `process-lifecycle`, and that
/// it is restarted in `error-recovery`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ServiceState {
    /// Its process is being started.
    Starting,
    /// It can do its work.
    Ready {
        /// How long that took since it was started, in seconds.
        #[serde(with = "seconds")]
        duration: Duration,
    },
    /// It did not become ready in time, and is being stopped.
    NotReady {
        /// What its probe was answered last.
        answer: String,
    },
    /// It was ready once and does not answer any more, and is being stopped.
    Unhealthy {
        /// What its probe was answered last.
        answer: String,
    },
    /// It takes on nothing new, finishes what it has, and is stopped then.
    Draining,
    /// A service that it needs is not there any more, or not well.
    DependencyLost {
        /// That service.
        dependency: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A service that it needs is well again.
    DependencyBack {
        /// That service.
        dependency: String,
    },
    /// It failed: what it was running for cannot be done.
    Failed {
        /// Why.
        error: String,
    },
    /// Its process has ended, and nothing of its group is left; or, without a process, it has.
    Ended {
        /// How, if there was a process.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<Exit>,
        /// Whether it was asked to.
        asked: bool,
    },
}
