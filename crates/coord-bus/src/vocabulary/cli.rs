//! What a person types, and what comes of it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::seconds;

/// A command that a person gave got on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CliCommand {
    /// The command: `deploy`, `remote add`.
    pub command: String,
    /// Which time it is given, counted from 1 by who runs it.
    pub run: u64,
    /// When.
    pub at: Timestamp,
    /// How far it has got.
    #[serde(flatten)]
    pub state: CliState,
}

/// How far a command has got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CliState {
    /// It began.
    Started,
    /// It is done.
    Completed {
        /// How long it took, in seconds.
        #[serde(with = "seconds")]
        duration: Duration,
    },
    /// It failed.
    Failed {
        /// Why.
        error: String,
        /// How long it took, in seconds.
        #[serde(with = "seconds")]
        duration: Duration,
    },
    /// It was cancelled.
    Cancelled {
        /// How long it took, in seconds.
        #[serde(with = "seconds")]
        duration: Duration,
    },
}

/// Somebody looked at a line that a person types, or has typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CliParse {
    /// When.
    pub at: Timestamp,
    /// The line, as far as it is there.
    pub line: String,
    /// The command that it gives, as far as it is known: `remote add`.
    pub command: String,
    /// What is wrong with it; nothing, if it can be run.
    pub faults: Vec<CliFault>,
}

/// Something is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CliFault {
    /// Where it begins in the line, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What is wrong.
    pub message: String,
    /// What may have been meant, the likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<String>,
}
