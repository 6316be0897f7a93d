//! What is to be seen of processes at a glance.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Severity, seconds};

/// How all that is watched does: a screen can draw it as it is.
///
/// Each says all that there is, so only the newest need be drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DashboardUpdate {
    /// Which dashboard, where there are several.
    pub dashboard: String,
    /// When.
    pub at: Timestamp,
    /// All in one line: `3 running, 1 exited, 2 alerts`.
    pub summary: String,
    /// What is watched, by name.
    pub rows: Vec<DashboardRow>,
    /// The alerts that are open, the oldest first.
    pub alerts: Vec<DashboardAlert>,
}

/// How one process does, with all that it has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DashboardRow {
    /// Its name.
    pub name: String,
    /// Its state in a word or two: `running`, `suspended`, `exit code 3`.
    pub state: String,
    /// Its id, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// What its probe was answered last, if it has one: whether that was good, and the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<(bool, String)>,
    /// How long it has run, in seconds.
    #[serde(with = "seconds")]
    pub uptime: Duration,
    /// How many processes there are: itself, its group, and what they have begun.
    pub processes: usize,
    /// How many of these are suspended.
    pub suspended: usize,
    /// How many have ended and were not taken note of by who began them.
    pub zombies: usize,
    /// The processor time that they take, in percent of one processor.
    pub cpu_percent: f32,
    /// The memory that they hold, in bytes.
    pub memory_bytes: u64,
    /// How often it was started again.
    pub restarts: u64,
    /// Why it was, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_reason: Option<String>,
    /// How many lines it has printed.
    pub lines: u64,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_line: Option<String>,
}

/// Something is not as it should be, and has been so for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DashboardAlert {
    /// Whose it is.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
    /// How bad it is.
    pub severity: Severity,
    /// What it is: `memory 600 MiB, above 500 MiB`.
    pub message: String,
}
