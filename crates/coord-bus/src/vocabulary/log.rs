//! What is written down, and what somebody is told at once.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Severity;

/// Something for the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEvent {
    /// When it happened.
    pub at: Timestamp,
    /// How much it matters.
    pub level: LogLevel,
    /// Who says it: a process, a step, a module.
    pub source: String,
    /// What is said, in one line.
    pub message: String,
}

/// How much an entry of a log matters, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// For who follows each step of a program.
    Trace,
    /// For who looks for a fault in a program.
    Debug,
    /// For who runs a program.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something failed.
    Error,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

/// Something that a person should be told at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// When it happened.
    pub at: Timestamp,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, in a few words.
    pub title: String,
    /// What happened.
    pub message: String,
}
