//! How workflows and their steps get on.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::seconds;

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
    /// A part of a step is done: an item of its list, or a round.
    PartCompleted {
        /// The step.
        step: String,
        /// Which part, from 0.
        part: usize,
        /// How many there are, or may be.
        of: usize,
    },
    /// The work of a step is a run of another workflow, which goes on from now on.
    ChildStarted {
        /// The step.
        step: String,
        /// The id of the other run.
        child: String,
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
    /// Every attempt at a step has failed, and the run is paused for it: it is tried anew when the run is
    /// continued.
    StepExhausted {
        /// The step.
        step: String,
        /// The last attempt.
        attempt: u32,
        /// Why.
        error: String,
        /// How long that attempt took, in seconds.
        #[serde(with = "seconds")]
        duration: Duration,
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
    /// The hook of a step, or of the run, has failed: that changes nothing of what became of either.
    HookFailed {
        /// The step; none: it is the run's.
        step: Option<String>,
        /// Why.
        error: String,
    },
    /// Every step of a run is over, and it has not ended: it is up for as long as what it stays for.
    RunUp,
    /// A durable run is left as it is, and goes on when it is resumed: its orchestrator was shut down,
    /// or cannot drive it any more. What ran of it was stopped, and is not over.
    RunSuspended,
    /// A run has ended.
    RunFinished {
        /// How: `completed`, `failed`, `cancelled` or `timed-out`.
        outcome: String,
        /// How long it took, in seconds.
        #[serde(with = "seconds")]
        duration: Duration,
    },
}

impl Transition {
    /// The step that it is of; `None` where it is of the whole run.
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::StepStarted { step, .. }
            | Self::StepRetrying { step, .. }
            | Self::PartCompleted { step, .. }
            | Self::ChildStarted { step, .. }
            | Self::StepCompleted { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepExhausted { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::StepCancelled { step }
            | Self::CompensationStarted { step }
            | Self::CompensationCompleted { step }
            | Self::CompensationFailed { step, .. } => Some(step),
            Self::HookFailed { step, .. } => step.as_deref(),
            Self::RunStarted { .. }
            | Self::RunUp
            | Self::RunSuspended
            | Self::RunFinished { .. } => None,
        }
    }
}
