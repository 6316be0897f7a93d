//! How a run ended, and how each of its steps did.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use coord_bus::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::handle::Step;
use crate::plan::Output;
use crate::{RunId, StepError};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Status {
    /// Every step that had to be done is done.
    Completed,
    /// A step that had to be done failed.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// It took longer than the workflow's timeout.
    TimedOut,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed-out",
        })
    }
}

/// How a step ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StepState {
    /// It is done.
    Completed,
    /// Its last attempt failed.
    Failed(StepError),
    /// It was not to run.
    Skipped(SkipReason),
    /// It was stopped, or never started, because the run ended.
    Cancelled,
}

/// Why a step did not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its condition said so.
    #[error("its condition is false")]
    Condition,
    /// A step whose output it takes has none.
    #[error("`{0}`, whose output it takes, has none")]
    MissingInput(String),
}

/// What came of undoing a step.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Compensation {
    /// It was undone.
    Completed,
    /// It was not: this went wrong, in the last attempt at it.
    Failed(StepError),
}

/// What came of one step.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepReport {
    /// Its id.
    pub id: String,
    /// How it ended.
    pub state: StepState,
    /// Whether its failure harms the run.
    pub optional: bool,
    /// How many attempts at it were begun.
    pub attempts: u32,
    /// When it began, counted from the beginning of the run, if it did.
    pub started: Option<Duration>,
    /// How long it took, waits between attempts included.
    pub duration: Duration,
    /// What came of undoing it, if that was tried.
    pub compensation: Option<Compensation>,
}

/// How a run ended, and how each of its steps did.
#[derive(Clone)]
pub struct Outcome {
    /// The workflow's name.
    pub workflow: String,
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub status: Status,
    /// When it began, by the orchestrator's clock.
    pub started_at: Timestamp,
    /// How long it took, compensation included.
    pub duration: Duration,
    /// Its steps, in the workflow's order.
    pub steps: Vec<StepReport>,
    pub(crate) identity: u64,
    pub(crate) outputs: Arc<[OnceLock<Output>]>,
}

impl Outcome {
    /// Whether everything that had to be done is done.
    pub fn is_completed(&self) -> bool {
        self.status == Status::Completed
    }

    /// The report of the step of this id.
    pub fn step(&self, id: &str) -> Option<&StepReport> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// The output of a step, if it completed.
    pub fn output<T: Send + Sync + 'static>(&self, step: &Step<T>) -> Option<Arc<T>> {
        let output = self.outputs.get(step.index_in(self.identity)?)?.get()?;
        Arc::clone(output).downcast().ok()
    }

    /// The output of the step of this id in a workflow made from data, if it completed.
    pub fn value_of(&self, id: &str) -> Option<Arc<Value>> {
        let index = self.steps.iter().position(|step| step.id == id)?;
        Arc::clone(self.outputs.get(index)?.get()?).downcast().ok()
    }

    /// The steps whose failure made the run fail: none where it did not.
    pub fn failures(&self) -> impl Iterator<Item = (&StepReport, &StepError)> {
        self.steps.iter().filter_map(|step| match &step.state {
            StepState::Failed(error) if !step.optional => Some((step, error)),
            _ => None,
        })
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Outcome")
            .field("workflow", &self.workflow)
            .field("run", &self.run)
            .field("status", &self.status)
            .field("duration", &self.duration)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}
