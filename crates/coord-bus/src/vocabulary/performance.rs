//! How a program performs: reports at intervals, and alerts when something is beyond its limit.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Severity, seconds};

/// How a program performed since the report before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PerformanceReport {
    /// When it was made.
    pub at: Timestamp,
    /// The time that its counts are of, in seconds: since the last report that was published.
    #[serde(with = "seconds")]
    pub measured: Duration,
    /// Events accepted by all topics.
    pub published: u64,
    /// Deliveries made.
    pub delivered: u64,
    /// Deliveries that overflow took from subscribers.
    pub dropped: u64,
    /// Events accepted per second.
    pub per_second: f64,
    /// How many events the slowest subscriber is behind now.
    pub lag: u64,
    /// The topic on which it is; `None` where nobody is behind.
    pub lagging: Option<String>,
    /// The program's resident memory now, in bytes.
    pub memory_bytes: u64,
    /// Its processor time of late, in percent of one core.
    pub cpu_percent: f32,
    /// Runs of workflows that go on now.
    pub active_runs: usize,
    /// Runs that completed.
    pub completed_runs: u64,
    /// Runs that ended in another way.
    pub other_runs: u64,
    /// Errors that were detected.
    pub errors: u64,
    /// Alerts that are open now.
    pub alerts: usize,
}

impl PerformanceReport {
    /// A report of nothing, at this time.
    pub fn new(at: Timestamp) -> Self {
        Self {
            at,
            measured: Duration::ZERO,
            published: 0,
            delivered: 0,
            dropped: 0,
            per_second: 0.0,
            lag: 0,
            lagging: None,
            memory_bytes: 0,
            cpu_percent: 0.0,
            active_runs: 0,
            completed_runs: 0,
            other_runs: 0,
            errors: 0,
            alerts: 0,
        }
    }
}

/// Something is beyond its limit, or within it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PerformanceAlert {
    /// What the alert is called; one that closes is called as it was when it opened.
    pub alert: String,
    /// Whether it opens or closes. Each alert opens, closes, opens, … in this order.
    pub state: AlertState,
    /// How bad it is.
    pub severity: Severity,
    /// What was measured; `None` where it closes because nothing is measured any more.
    pub value: Option<f64>,
    /// The limit that it was beyond.
    pub limit: f64,
    /// When.
    pub at: Timestamp,
}

/// Whether an alert opens or closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertState {
    /// Something is beyond its limit.
    Opened,
    /// It is within it again.
    Closed,
}

impl fmt::Display for AlertState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
        })
    }
}
