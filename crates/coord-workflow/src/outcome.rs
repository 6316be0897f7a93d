//! How a run ended, and how each of its steps did.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::course::{Course, Phase};
use crate::handle::Step;
use crate::plan::{Definition, Output, Plan};
use crate::{Parent, RunId, RunState, RunView, StepError, Workflow};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed-out",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum StepState<'o> {
    /// It is done.
    Completed,
    /// Its last attempt failed, or its condition.
    Failed(&'o StepError),
    /// It was not to run.
    Skipped(SkipReason<'o>),
    /// It was stopped, or never started, because the run ended.
    Cancelled,
}

impl StepState<'_> {
    /// In a word: `completed`, `failed`, `skipped` or `cancelled`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a step did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason<'o> {
    /// Its condition said so.
    Condition,
    /// The step of this id, whose output it takes, has none.
    MissingInput(&'o str),
    /// It needs any of some steps, and all of them ended without having completed.
    NoneCompleted,
    /// Somebody said so, with [`Command::Skip`](crate::Command::Skip).
    Asked,
}

impl fmt::Display for SkipReason<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition => formatter.write_str("its condition is false"),
            Self::MissingInput(id) => write!(formatter, "`{id}`, whose output it takes, has none"),
            Self::NoneCompleted => {
                formatter.write_str("none of the steps that it needs any of has completed")
            }
            Self::Asked => formatter.write_str("somebody said that it is to be skipped"),
        }
    }
}

/// What came of undoing a step.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Compensation<'o> {
    /// It was undone.
    Completed,
    /// It was not: this went wrong, in the last attempt at it.
    Failed(&'o StepError),
}

/// What came of one step. Lent by the [`Outcome`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StepReport<'o> {
    /// Its id.
    pub id: &'o str,
    /// How it ended.
    pub state: StepState<'o>,
    /// Whether its failure harms the run.
    pub optional: bool,
    /// How many attempts at it were begun.
    pub attempts: u32,
    /// When its first attempt began, counted from the beginning of the run, if one did.
    pub started: Option<Duration>,
    /// How long it took from then on, waits between attempts included; zero if none began.
    pub duration: Duration,
    /// What came of undoing it, if that was tried.
    pub compensation: Option<Compensation<'o>>,
}

/// How a run ended, and how each of its steps did.
///
/// It keeps the workflow that was run, and the outputs of its steps.
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
    /// Whose handles find its outputs, …
    identity: u64,
    /// … and the plan that these are of, where that is not the one that was run.
    asked_by: Option<Arc<Plan>>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) child_of: Option<Parent>,
    pub(crate) course: Course,
}

impl Outcome {
    /// That of a run that has come to its end.
    pub(crate) fn of(
        definition: Definition<'_>,
        run: RunId,
        started_at: Timestamp,
        child_of: Option<Parent>,
        course: Course,
    ) -> Self {
        Self {
            workflow: definition.plan.name.to_string(),
            run,
            status: course.status(),
            started_at,
            duration: Duration::from_nanos(course.duration()),
            identity: definition.identity,
            asked_by: None,
            plan: Arc::clone(definition.plan),
            child_of,
            course,
        }
    }

    /// The same, whose outputs are found by the handles of another build of the workflow.
    pub(crate) fn asked_for_by(&self, build: &Workflow) -> Self {
        Self {
            identity: build.identity,
            asked_by: Some(Arc::clone(&build.plan)),
            ..self.clone()
        }
    }

    /// Whether everything that had to be done is done.
    pub fn is_completed(&self) -> bool {
        self.status == Status::Completed
    }

    /// Why it failed, or was cancelled, if somebody [said why](crate::Command::Cancel): that of the first of its steps
    /// that failed is a line, ``step `charge` failed: …``, of which [`failures`](Self::failures) says all; or what was
    /// said as somebody [failed](crate::Run::fail) it.
    pub fn error(&self) -> Option<&str> {
        self.course.error().map(|why| &**why)
    }

    /// The run as a view of it, as there are of those that go on.
    pub fn view(&self) -> RunView {
        RunView {
            run: self.run.clone(),
            workflow: self.workflow.clone(),
            started_at: self.started_at,
            state: RunState::Finished(self.status),
            duration: Some(self.duration),
            times_out_at: None,
            timed_from: self.course.timed_from.map(Duration::from_nanos),
            ending: None,
            is_paused: false,
            paused_by: None,
            is_up: false,
            error: self.error().map(str::to_owned),
            failed_step: self.course.failed_step(),
            driven_by: None,
            parent: self.child_of.clone(),
            steps: RunView::steps_of(&self.run, &self.plan, &self.course),
        }
    }

    /// What came of each step, in the workflow's order.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = StepReport<'_>> {
        (0..self.plan.steps.len()).map(|step| self.report(step))
    }

    /// What came of the step of this id.
    pub fn step(&self, id: &str) -> Option<StepReport<'_>> {
        self.index_of(id).map(|step| self.report(step))
    }

    /// The output of a step, if it completed.
    pub fn output<T: Send + Sync + 'static>(&self, step: &Step<T>) -> Option<Arc<T>> {
        let output = self.erased_output(step.index_in(self.identity)?)?;
        output.downcast().ok()
    }

    /// The output of the step of this id in a workflow made from data, if it completed.
    pub fn value_of(&self, id: &str) -> Option<Arc<Value>> {
        let output = self.course.outputs().get(self.index_of(id)?)?.clone()?;
        output.downcast().ok()
    }

    /// The steps whose failure made the run fail: none where it did not.
    pub fn failures(&self) -> impl Iterator<Item = (StepReport<'_>, &StepError)> {
        self.steps().filter_map(|step| match step.state {
            StepState::Failed(error) if !step.optional => Some((step, error)),
            _ => None,
        })
    }

    fn index_of(&self, id: &str) -> Option<usize> {
        self.plan.steps.iter().position(|step| &*step.id == id)
    }

    /// The output of a step of the build that asks.
    pub(crate) fn erased_output(&self, step: usize) -> Option<Output> {
        self.course.outputs().get(self.place_of(step)?)?.clone()
    }

    /// Where a step of the build that asks is here: the order of steps is no part of what they are.
    pub(crate) fn place_of(&self, step: usize) -> Option<usize> {
        match &self.asked_by {
            Some(plan) => self.index_of(&plan.steps.get(step)?.id),
            None => Some(step),
        }
    }

    pub(crate) fn report(&self, step: usize) -> StepReport<'_> {
        report(&self.plan, &self.course, step)
    }
}

/// What the course of a run says of one of its steps.
pub(crate) fn report<'o>(plan: &'o Plan, course: &'o Course, step: usize) -> StepReport<'o> {
    let (planned, record) = (&plan.steps[step], course.step(step));
    let error = record.error.as_deref();
    let state = match (record.phase, error) {
        (Phase::Completed | Phase::Undone | Phase::NotUndone, _) => StepState::Completed,
        (Phase::Failed, Some(error)) => StepState::Failed(error),
        (Phase::Skipped, _) => {
            let reason = course.ruled_out(plan, step);
            StepState::Skipped(reason.unwrap_or(SkipReason::Condition))
        }
        _ => StepState::Cancelled,
    };
    let compensation = match (record.phase, error) {
        (Phase::Undone, _) => Some(Compensation::Completed),
        (Phase::NotUndone, Some(error)) => Some(Compensation::Failed(error)),
        _ => None,
    };
    let took = record.ended.saturating_sub(record.started);
    let has_begun = record.begun() > 0;
    StepReport {
        id: &planned.id,
        state,
        optional: planned.optional,
        attempts: record.begun(),
        started: has_begun.then(|| Duration::from_nanos(record.started)),
        duration: Duration::from_nanos(if has_begun { took } else { 0 }),
        compensation,
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
            .field("steps", &self.steps().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
