//! The events that the crates of this workspace share, with their topics.
//!
//! Each event says of itself when it happened (`at`, by a [`Clock`](crate::time::Clock)) and
//! serialises to flat JSON, so that it reads well as a line of a log.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Topic;

/// How processes start and end.
pub const PROCESS_LIFECYCLE: Topic<ProcessLifecycle> = Topic::new("process-lifecycle");
/// What processes print, line by line.
pub const PROCESS_OUTPUT: Topic<ProcessOutput> = Topic::new("process-output");
/// How workflows and their steps get on.
pub const WORKFLOW_EVENTS: Topic<WorkflowEvent> = Topic::new("workflow-events");
/// Errors that somebody should know of.
pub const ERROR_DETECTED: Topic<ErrorDetected> = Topic::new("error-detected");

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

    /// Whether it exited with code 0.
    pub fn is_success(self) -> bool {
        self.code == Some(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(formatter, "exit code {code}"),
            (None, Some(signal)) => write!(formatter, "killed by signal {signal}"),
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
    /// Where it printed it.
    pub stream: OutputStream,
    /// The line, without its end: valid UTF-8, with no control characters but tabs, and no escape
    /// sequences but colours.
    pub line: String,
    /// Whether the line goes on in the next event, because it was too long for one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
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

/// A workflow or one of its steps got on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowEvent {
    /// The workflow's name.
    pub workflow: String,
    /// The id of this run of it.
    pub run: String,
    /// When.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub transition: Transition,
}

/// What happened to a workflow or a step. Attempts are counted from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "transition", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Transition {
    /// A run began.
    RunStarted {
        /// How many steps it has.
        steps: usize,
    },
    /// An attempt at a step began.
    StepStarted {
        /// The step.
        step: String,
        /// Which attempt.
        attempt: u32,
    },
    /// An attempt failed, and another follows.
    StepRetrying {
        /// The step.
        step: String,
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        error: String,
        /// How long until the next attempt, in seconds.
        #[serde(with = "seconds")]
        wait: Duration,
    },
    /// A step is done.
    StepCompleted {
        /// The step.
        step: String,
        /// The attempt that succeeded.
        attempt: u32,
        /// How long that attempt took, in seconds.
        #[serde(with = "seconds")]
        duration: Duration,
    },
    /// A step has failed for good.
    StepFailed {
        /// The step.
        step: String,
        /// The last attempt.
        attempt: u32,
        /// Why.
        error: String,
        /// How long that attempt took, in seconds.
        #[serde(with = "seconds")]
        duration: Duration,
        /// Whether the step is optional, so that the failure harms nobody.
        optional: bool,
    },
    /// A step does not run, because of its condition or because something that it needs did not.
    StepSkipped {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
    /// A step was stopped, or kept from starting, because the run ends.
    StepCancelled {
        /// The step.
        step: String,
    },
    /// What a step did is being undone.
    CompensationStarted {
        /// The step.
        step: String,
    },
    /// What a step did has been undone.
    CompensationCompleted {
        /// The step.
        step: String,
    },
    /// What a step did could not be undone.
    CompensationFailed {
        /// The step.
        step: String,
        /// Why.
        error: String,
    },
    /// A run has ended.
    RunFinished {
        /// How: `completed`, `failed`, `cancelled` or `timed-out`.
        outcome: String,
        /// How long it took, in seconds.
        #[serde(with = "seconds")]
        duration: Duration,
    },
}

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

/// Durations as seconds: what people and other languages read without a table.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(de::Error::custom)
    }
}
