//! Errors that were detected, and what is done about them.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::seconds;

/// Somebody detected an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorDetected {
    /// Who: a task, a step, a process, a module.
    pub source: String,
    /// What kind of error it is, in kebab-case: `panic`, for one.
    pub kind: String,
    /// What went wrong.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
    /// When.
    pub at: Timestamp,
}

/// How bad something is, from harmless to fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth a note.
    Info,
    /// Something is not as it should be.
    Warning,
    /// Something failed.
    Error,
    /// The program cannot do what it is for.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        })
    }
}

/// Something is done about an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorRecovery {
    /// Whose error it is: the `source` of the [`ErrorDetected`].
    pub source: String,
    /// What is done, in kebab-case: `restart`, for one.
    pub strategy: String,
    /// When.
    pub at: Timestamp,
    /// How far it has got.
    #[serde(flatten)]
    pub progress: Recovery,
}

/// How far a recovery has got. Attempts are counted from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Recovery {
    /// An attempt follows.
    Attempting {
        /// Which.
        attempt: u32,
        /// How long until then, in seconds.
        #[serde(with = "seconds")]
        wait: Duration,
    },
    /// All is well again.
    Recovered {
        /// The attempt that did it.
        attempt: u32,
        /// How long it took since the error, in seconds.
        #[serde(with = "seconds")]
        duration: Duration,
    },
    /// No further attempt is made.
    GaveUp {
        /// How many attempts were made.
        attempts: u32,
        /// Why there is no other.
        reason: String,
    },
}
