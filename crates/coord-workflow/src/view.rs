//! What is to be seen of a run: where it is, where each step is, and what that waits for.

mod children;
mod not_run;
mod progress;
mod why;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::course::{Course, Phase};
use crate::plan::Plan;
use crate::waits::Wait;
use crate::{Command, Parent, RunId, Status, WorkflowError};
pub use children::{Children, ItemRun};
pub use progress::Progress;
pub(crate) use why::Holding;
pub use why::{Holder, Holders, Why};

/// A run, as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunView {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// When it began, by the clock of who started it.
    pub started_at: Timestamp,
    /// Where it is.
    pub state: RunState,
    /// How long it took, once it has finished, in seconds.
    #[serde(serialize_with = "seconds")]
    pub duration: Option<Duration>,
    /// When it was last [retried](crate::WorkflowOrchestrator::retry_run), or continued with another
    /// round of attempts, counted from its beginning, in seconds: its time limit counts from then on.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub timed_from: Option<Duration>,
    /// When its time limit is over, counted from its beginning, in seconds; if it has one, and that counts: not of
    /// one that is paused for a step, is ending, or stays up. As who drives it has it, or did last.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub times_out_at: Option<Duration>,
    /// How it is going to end, where that is known and it has not: no step begins any more, and what had completed
    /// is being undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Status>,
    /// Whether it is to be [continued](crate::Command::Continue): it was told to pause, so no step
    /// begins, or a run that it is within was, or it is paused for the steps that are
    /// [exhausted](Self::exhausted). Never while it is [ending](Self::ending).
    pub is_paused: bool,
    /// Which run was told to pause, so that no step begins: it, or one that it is within.
    #[serde(skip)]
    pub(crate) paused_by: Option<RunId>,
    /// Whether every step is over, and it stays up for [something](crate::Spec::stay).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_up: bool,
    /// Why it failed, or is going to: of the first of its steps that failed, in a line; or as somebody
    /// [said](crate::Run::fail). Or why it was cancelled, where somebody [said why](crate::Command::Cancel).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The step of which the error is, if it is that of one.
    #[serde(skip)]
    pub(crate) failed_step: Option<usize>,
    /// Who drives it, if somebody does.
    pub driven_by: Option<String>,
    /// The step of another run that it is the work of, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// Its steps, in the workflow's order.
    pub steps: Vec<StepView>,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RunState {
    /// Somebody drives it: there is an orchestrator that says so, by its lease. It says so also of a run that it has
    /// left as it is, as the journal failed or as nobody waited for its start, until it goes or takes the run up
    /// [again](crate::WorkflowOrchestrator::resume_run).
    Running,
    /// It has not finished, and nobody drives it: it is to be resumed.
    Interrupted,
    /// It has finished.
    #[serde(untagged)]
    Finished(Status),
}

impl fmt::Display for RunState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => formatter.write_str("running"),
            Self::Interrupted => formatter.write_str("interrupted"),
            Self::Finished(status) => status.fmt(formatter),
        }
    }
}

/// A step of a [`RunView`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StepView {
    /// Its id.
    pub id: String,
    /// The steps that end before it begins, by their places.
    pub needs: Vec<usize>,
    /// The steps of which one completes before it begins, by their places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs_any: Vec<usize>,
    /// How many permits of which resources it takes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, u32>,
    /// Whether it takes one of the places that steps run in, as one that only waits does not.
    #[serde(skip)]
    pub(crate) takes_place: bool,
    /// Whether it may fail without harm.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Where it is.
    pub phase: StepPhase,
    /// How many attempts at it were begun.
    pub attempts: u32,
    /// When its first attempt began, counted from the beginning of the run, in seconds.
    #[serde(serialize_with = "seconds")]
    pub started: Option<Duration>,
    /// When it came to its end; or while it waits for another attempt, when that is made.
    #[serde(serialize_with = "seconds")]
    pub ended: Option<Duration>,
    /// How far it is, where its work is more than one and some of it is done, and not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Whether its work is more than one, items or rounds.
    #[serde(skip)]
    pub(crate) has_parts: bool,
    /// Whether it is being undone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_being_undone: bool,
    /// Why it failed, is exhausted, or could not be undone; why the last attempt failed, at it or at undoing it, while
    /// that is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why it was [skipped](StepPhase::Skipped); or why it never began, where the run ended before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_run: Option<String>,
    /// Why it could not be undone, in a run that was [retried](crate::WorkflowOrchestrator::retry_run) since, and does
    /// it again, or has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_undone: Option<String>,
    /// What it put out, where that is JSON.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "value")]
    pub output: Option<Arc<Value>>,
    /// The run of another workflow that is its work, that of its last attempt, if it is. Of a step that
    /// [repeats](crate::StepBuilder::repeat) one, that of the round under way, until it has ended: it is seen where
    /// [`children`](Self::children) are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child: Option<RunId>,
    /// The runs of another workflow that are its work at the items of its list and have not ended, in the order of
    /// those, if it runs one [for each](crate::StepBuilder::for_each). Those that another process drives for it are
    /// named in a view of a [journal](crate::RunJournal::view).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<ItemRun>,
    /// Whether that run, or one of those, is paused for a step that is [exhausted](crate::OnExhausted::Pause), of its
    /// own or of a run within it: it is the one to be continued. Meanwhile this step has no limit to its time, and
    /// the time of its own run does not count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub child_is_paused: bool,
    /// Whether it does not begin, as something that it needs has failed; the run goes on until the
    /// rest has come to its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_blocked: bool,
    /// The signal that it waits for, if that is what it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// The topic of the event that it waits for, if that is what it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// While it [sleeps](crate::StepBuilder::sleep): until when, counted from the beginning of the run, in
    /// seconds.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub sleeps_until: Option<Duration>,
    /// When the time of all attempts at it is [over](crate::StepBuilder::total_timeout), counted from the beginning
    /// of the run, in seconds; where that is limited, and counts.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub times_out_at: Option<Duration>,
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StepPhase {
    /// It has not begun.
    Waiting,
    /// An attempt at it is under way.
    Running,
    /// An attempt failed, and another will be made.
    Retrying,
    /// Every attempt has failed, and the run is paused for it.
    Exhausted,
    /// It is done.
    Completed,
    /// It is done, and has been undone.
    Undone,
    /// It is done, and could not be undone.
    NotUndone,
    /// It has failed for good.
    Failed,
    /// It was not to run.
    Skipped,
    /// It was stopped, or never began, because the run ended.
    Cancelled,
}

impl fmt::Display for StepPhase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Exhausted => "exhausted",
            Self::Completed => "completed",
            Self::Undone => "undone",
            Self::NotUndone => "not undone",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        })
    }
}

impl RunView {
    /// The step of this id.
    pub fn step(&self, id: &str) -> Option<&StepView> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// The step whose failure is the [error](Self::error) of the run, if it is that of a step: the first of those that
    /// failed and may not.
    pub fn failed_step(&self) -> Option<&StepView> {
        self.steps.get(self.failed_step?)
    }

    /// Whether the run may be told this.
    pub(crate) fn check(&self, command: &Command) -> Result<(), WorkflowError> {
        match command {
            Command::Skip { step } => self.check_skip(step),
            Command::Act(action) => self.check_act(&action.step),
            Command::Pause => self.check_pause(),
            _ => Ok(()),
        }
    }

    /// Whether there is something to pause.
    fn check_pause(&self) -> Result<(), WorkflowError> {
        match self.ending {
            None => Ok(()),
            Some(status) => Err(WorkflowError::Ending {
                run: self.run.to_string(),
                status,
            }),
        }
    }

    /// Whether something may be done with a step by who drives the run.
    fn check_act(&self, id: &str) -> Result<(), WorkflowError> {
        match self.state {
            _ if self.step(id).is_none() => Err(self.no_step(id)),
            RunState::Interrupted => Err(WorkflowError::NotDriven {
                run: self.run.to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn no_step(&self, id: &str) -> WorkflowError {
        let steps = self.steps.iter().map(|step| &*step.id);
        WorkflowError::no_step(&self.run, id, steps)
    }

    /// Whether a step may be skipped.
    fn check_skip(&self, id: &str) -> Result<(), WorkflowError> {
        let (run, step) = (self.run.to_string(), id.to_owned());
        let why = match self.step(id) {
            None => return Err(self.no_step(id)),
            Some(view) if view.phase.is_over() => Why::Over(view.phase),
            Some(view) if view.is_blocked => Why::Blocked(self.blocking(view)),
            Some(_) => return Ok(()),
        };
        Err(WorkflowError::NotSkipped { run, step, why })
    }

    /// Whether its time does not count, as somebody is to see to a step, of this run or of one within it.
    pub(crate) fn stands_still(&self) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| step.phase == StepPhase::Exhausted || step.child_is_paused)
    }

    /// The steps for which it is paused: every attempt at them has failed.
    pub fn exhausted(&self) -> impl Iterator<Item = &StepView> {
        let steps = self.steps.iter();
        steps.filter(|step| step.phase == StepPhase::Exhausted)
    }

    /// The steps that a step needs, and because of which it does not begin.
    fn blocking(&self, step: &StepView) -> Vec<String> {
        let needs = step.needs.iter().chain(&step.needs_any);
        let needs = needs.map(|need| &self.steps[*need]);
        let blocking = needs
            .filter(|need| need.is_blocked || (need.phase == StepPhase::Failed && !need.optional));
        blocking.map(|need| need.id.clone()).collect()
    }

    /// Of the steps of a run.
    pub(crate) fn steps_of(run: &RunId, plan: &Plan, course: &Course) -> Vec<StepView> {
        let steps = plan.steps.iter().zip(course.steps()).enumerate();
        let views = steps.map(|(place, (step, record))| {
            let time = |nanos| Some(Duration::from_nanos(nanos));
            let phase = StepPhase::of(record.phase);
            let has_end = !matches!(phase, StepPhase::Waiting | StepPhase::Running);
            let is_being_undone = course.undoing() == Some(place);
            let has_error = phase.has_error() || is_being_undone;
            let error = record.error.as_ref().filter(|_| has_error);
            let output = course.outputs().get(place).and_then(Option::as_ref);
            let child = |part| {
                // It may be to have all its attempts again, and none has begun.
                course.child(plan, run, (place, part), record.begun().max(1))
            };
            let paused = course.paused_parts(place);
            let mut paused = paused.map(|part| (part, child(Some(part))));
            StepView {
                id: step.id.to_string(),
                needs: step.needs.clone(),
                needs_any: step.needs_any.clone(),
                resources: step.resources.clone(),
                takes_place: step.takes_place(),
                optional: step.optional,
                phase,
                attempts: record.begun(),
                started: time(record.started).filter(|_| record.begun() > 0),
                ended: time(record.ended).filter(|_| has_end),
                progress: Progress::of(plan, course, place),
                has_parts: step.has_parts(),
                is_being_undone,
                error: error.map(ToString::to_string),
                not_run: not_run::reason(plan, course, place),
                not_undone: course.not_undone(place).map(ToString::to_string),
                output: output.and_then(|output| Arc::clone(output).downcast().ok()),
                child: match step.runs_workflow() && record.has_begun() {
                    true if step.runs_rounds() => paused.next().map(|(_, run)| run),
                    true if !step.runs_parts() => Some(child(None)),
                    _ => None,
                },
                children: paused
                    .map(|(item, run)| ItemRun {
                        is_paused: true,
                        ..ItemRun::new(item, run)
                    })
                    .collect(),
                child_is_paused: course.is_child_paused(place),
                is_blocked: record.is_blocked && !phase.is_over(),
                signal: step.signal().map(str::to_owned),
                event: step.topic().map(str::to_owned),
                sleeps_until: match step.wait {
                    Some(Wait::Sleep(wait)) if phase == StepPhase::Running && !wait.is_zero() => {
                        Some(Duration::from_nanos(record.started).saturating_add(wait))
                    }
                    _ => None,
                },
                times_out_at: None,
            }
        });
        views.collect()
    }
}

impl StepPhase {
    /// Whether the step has come to its end.
    pub fn is_over(self) -> bool {
        !matches!(
            self,
            Self::Waiting | Self::Running | Self::Retrying | Self::Exhausted
        )
    }

    fn has_error(self) -> bool {
        !matches!(self, Self::Completed | Self::Undone)
    }

    fn of(phase: Phase) -> Self {
        match phase {
            Phase::Waiting => Self::Waiting,
            Phase::Running => Self::Running,
            Phase::Pausing => Self::Retrying,
            Phase::Exhausted => Self::Exhausted,
            Phase::Completed => Self::Completed,
            Phase::Undone => Self::Undone,
            Phase::NotUndone => Self::NotUndone,
            Phase::Failed => Self::Failed,
            Phase::Skipped => Self::Skipped,
            Phase::Cancelled => Self::Cancelled,
        }
    }
}

#[expect(clippy::ref_option, reason = "so serde calls it")]
pub(crate) fn seconds<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration
        .map(|duration| duration.as_secs_f64())
        .serialize(serializer)
}

#[expect(clippy::ref_option, reason = "so serde calls it")]
fn value<S: serde::Serializer>(
    value: &Option<Arc<Value>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_deref().serialize(serializer)
}
