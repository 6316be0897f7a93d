//! What processes do: how they start and end, what they print, and whether they are well.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::SignalName;

/// A process changed its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessLifecycle {
    /// The name that it was given.
    pub process: String,
    /// When.
    pub at: Timestamp,
    /// Its new state.
    #[serde(flatten)]
    pub state: ProcessState,
}

/// The state of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProcessState {
    /// It runs, in a process group of its own whose id is `pid`.
    Started {
        /// Its process id.
        pid: u32,
    },
    /// It runs, was started elsewhere, and is watched from now on.
    Attached {
        /// Its process id.
        pid: u32,
    },
    /// It did not start.
    NotStarted {
        /// Why.
        error: String,
    },
    /// It is being asked to stop, by a signal to its whole group.
    Stopping {
        /// The signal's number.
        signal: i32,
    },
    /// It has ended, and nothing of its group is left.
    Exited(Exit),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Exit {
    /// Its exit code, if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The number of the signal that killed it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

impl Exit {
    /// It exited with this code.
    pub const fn code(code: i32) -> Self {
        Self {
            code: Some(code),
            signal: None,
        }
    }

    /// This signal killed it.
    pub const fn signal(signal: i32) -> Self {
        Self {
            code: None,
            signal: Some(signal),
        }
    }

    /// It has ended, and nobody here could learn how: its parent alone is told.
    pub const fn unknown() -> Self {
        Self {
            code: None,
            signal: None,
        }
    }

    /// Whether it exited with code 0.
    pub fn is_success(self) -> bool {
        self.code == Some(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(formatter, "exit code {code}"),
            (None, Some(signal)) => write!(formatter, "killed by {}", SignalName(signal)),
            (None, None) => formatter.write_str("ended in an unknown way"),
        }
    }
}

/// A process printed a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessOutput {
    /// The name that it was given.
    pub process: String,
    /// Its id, which tells a process from an earlier one of its name.
    pub pid: u32,
    /// Which attempt at what it is for the process is, as who started it said; from 1.
    #[serde(default = "first")]
    pub attempt: u32,
    /// Where it printed it.
    pub stream: OutputStream,
    /// The line, without its end: valid UTF-8, with no control characters but tabs, and no escape
    /// sequences but colours.
    pub line: String,
    /// Whether the line goes on in the next event, because it was too long for one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
}

fn first() -> u32 {
    1
}

/// One of the two streams that a process prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Somebody looked whether a process is well.
///
/// Published when the answer is another than the last time, so that a process that is well for
/// days says so once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessHealth {
    /// The name that the process was given.
    pub process: String,
    /// Its id.
    pub pid: u32,
    /// When.
    pub at: Timestamp,
    /// What was asked.
    pub probe: ProbeKind,
    /// Whether the answer was the one that was hoped for.
    pub healthy: bool,
    /// The answer in words: `HTTP 200`, `connection refused`.
    pub answer: String,
}

/// What a probe asks of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// Whether it can do its work yet.
    Readiness,
    /// Whether it still can, or should be restarted.
    Liveness,
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
        })
    }
}
