//! A run in a line. Of one that has finished, its last record says it all: so to list runs costs the same
//! however much is in them.

use std::time::Duration;

use coord_bus::{StoredRecord, Timestamp};
use serde::{Deserialize, Serialize};

use crate::course::Course;
use crate::outcome::Status;
use crate::records::cut;
use crate::view::seconds;
use crate::{RunId, RunState, RunView, StepPhase, records};

/// A run, as it was when it was looked at, without its steps: [`RunJournal::summary`](crate::RunJournal::summary).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// Where it is.
    pub state: RunState,
    /// How it is going to end, where that is known and it has not: no step begins any more, and what had completed
    /// is being undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Status>,
    /// Whether it is to be [continued](crate::Command::Continue).
    pub is_paused: bool,
    /// Whether every step is over, and it stays up for [something](crate::Spec::stay).
    pub is_up: bool,
    /// When it began, by the clock of who started it.
    pub started_at: Timestamp,
    /// How long it took, once it has finished, in seconds.
    #[serde(serialize_with = "seconds")]
    pub duration: Option<Duration>,
    /// Why it failed, or was cancelled, as far as somebody said why: as the [error](RunView::error) of a view. Of a run
    /// that an earlier version ended, why a step of it failed is not told here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many of its steps are done, and have not been undone.
    pub done: usize,
    /// How many steps it has.
    pub steps: usize,
    /// Who drives it, if somebody does.
    pub driven_by: Option<String>,
    /// The run that it is within, as the work of a step, if it is. Of one that has finished, and that an earlier version of
    /// this crate began, it is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
}

impl RunSummary {
    pub(crate) fn of(view: RunView) -> Self {
        let is_done = |phase| phase == StepPhase::Completed;
        Self {
            done: view.steps.iter().filter(|step| is_done(step.phase)).count(),
            steps: view.steps.len(),
            run: view.run,
            workflow: view.workflow,
            state: view.state,
            ending: view.ending,
            is_paused: view.is_paused,
            is_up: view.is_up,
            started_at: view.started_at,
            duration: view.duration,
            error: view.error,
            driven_by: view.driven_by,
            parent: view.parent.and_then(|parent| RunId::named(parent.run).ok()),
        }
    }

    /// By the last record of a run. `None`: it has not finished, or an earlier version wrote it.
    pub(crate) fn of_last(run: &RunId, last: &StoredRecord) -> Option<Self> {
        if last.record.kind != records::RUN_FINISHED {
            return None;
        }
        let finished: Finished = records::parse(&last.record.payload).ok()?;
        let kept = finished.summary?;
        Some(Self {
            run: run.clone(),
            workflow: kept.workflow,
            state: RunState::Finished(finished.status),
            ending: None,
            is_paused: false,
            is_up: false,
            started_at: kept.started_at,
            duration: Some(Duration::from_nanos(finished.at)),
            error: finished.failed.or(kept.error).map(String::from),
            done: kept.done,
            steps: kept.steps,
            driven_by: None,
            parent: None,
        })
    }
}

/// The last record of a run.
#[derive(Serialize, Deserialize)]
pub(crate) struct Finished {
    pub(crate) status: Status,
    pub(crate) at: u64,
    /// Why it failed, if that was no step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<Box<str>>,
    /// Missing in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<KeptSummary>,
}

/// What the last record of a run repeats, so that nothing else need be read to list it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeptSummary {
    workflow: String,
    started_at: Timestamp,
    done: usize,
    steps: usize,
    /// Why it was cancelled, if it was and somebody said so; or which step failed, and why.
    #[serde(default, alias = "cancelled", skip_serializing_if = "Option::is_none")]
    error: Option<Box<str>>,
}

impl KeptSummary {
    pub(crate) fn of(workflow: &str, started_at: Timestamp, course: &Course) -> Self {
        // Why it failed, if that was no step, the record says beside this.
        let is_failed = course.failed().is_some() && course.stopped() == Some(Status::Failed);
        let why = course.error().filter(|_| !is_failed);
        Self {
            workflow: workflow.to_owned(),
            started_at,
            done: course.done(),
            steps: course.steps().len(),
            error: why.map(|why| cut(why)),
        }
    }
}
