//! The graph of a run: what came of each step, and the colours of that.

use serde::Serialize;

use super::{Graph, GraphStep};
use crate::{Compensation, Outcome, StepReport, StepState};

/// What came of a step, in the [`Graph`] of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GraphState {
    /// It is done.
    Completed,
    /// It failed.
    Failed,
    /// It was not to run.
    Skipped,
    /// It was stopped, or never began, because the run ended.
    Cancelled,
    /// It was done, and then undone.
    Undone,
    /// It was done, and could not be undone.
    NotUndone,
}

/// Those of GitHub's labels, pale enough for black text on them.
pub(super) struct Colours {
    pub(super) fill: &'static str,
    pub(super) line: &'static str,
}

impl GraphState {
    /// In a word, as it is called in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Undone => "undone",
            Self::NotUndone => "not-undone",
        }
    }

    /// The class of Mermaid: its names have no `-`.
    pub(super) fn class(self) -> String {
        self.name().replace('-', "_")
    }

    pub(super) fn colours(self) -> Colours {
        let (fill, line) = match self {
            Self::Completed => ("#dafbe1", "#1a7f37"),
            Self::Failed => ("#ffebe9", "#cf222e"),
            Self::Skipped => ("#f6f8fa", "#8c959f"),
            Self::Cancelled => ("#eaeef2", "#57606a"),
            Self::Undone => ("#fff8c5", "#9a6700"),
            Self::NotUndone => ("#ffd8b5", "#bc4c00"),
        };
        Colours { fill, line }
    }

    fn of(step: &StepReport<'_>) -> Self {
        match (step.compensation, step.state) {
            (Some(Compensation::Completed), _) => Self::Undone,
            (Some(Compensation::Failed(_)), _) => Self::NotUndone,
            (None, StepState::Completed) => Self::Completed,
            (None, StepState::Failed(_)) => Self::Failed,
            (None, StepState::Skipped(_)) => Self::Skipped,
            (None, StepState::Cancelled) => Self::Cancelled,
        }
    }
}

impl Outcome {
    /// What needs what in the workflow, with what came of each step and how long it took.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use coord_bus::LocalBus;
    /// use coord_workflow::{StepError, Workflow, WorkflowOrchestrator};
    ///
    /// let mut workflow = Workflow::builder("release");
    /// let tag = workflow.step("tag").run(async || Ok::<_, StepError>(()));
    /// workflow
    ///     .step("publish")
    ///     .after(&tag)
    ///     .run(async || Err::<(), _>(StepError::message("offline")));
    /// let workflow = workflow.build()?;
    ///
    /// let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// let graph = orchestrator.execute_workflow(&workflow, ()).await?.graph();
    /// assert!(graph.to_string().contains("[failed]  after tag"));
    /// assert!(graph.to_mermaid().contains(":::failed"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn graph(&self) -> Graph {
        let steps = self.plan.steps.iter().zip(self.steps());
        let steps = steps.map(|(planned, report)| {
            let step = GraphStep::planned(planned).state(GraphState::of(&report));
            match report.started {
                Some(_) => step.duration(report.duration).attempts(report.attempts),
                None => step,
            }
        });
        Graph::new(&self.workflow, steps.collect())
    }
}
