//! What can go wrong with a step, and with asking for a run.

use std::time::Duration;

use coord_bus::{BusError, Failure};

use crate::Faults;

/// Why a step failed: any error of the step's own, or an [`AttemptError`], or a
/// [`Panicked`](coord_bus::Panicked).
///
/// A step's function returns any error that is `Send + Sync + 'static`; `?` turns it into this. One
/// that is [permanent](Failure::permanent) is not retried.
pub type StepError = Failure;

/// What the orchestrator itself finds wrong with an attempt at a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// It took too long.
    #[error("it was not done after {0:?}, its timeout")]
    TimedOut(Duration),
    /// The run was cancelled while it was going on.
    #[error("it was cancelled")]
    Cancelled,
    /// A condition answered neither true nor false.
    #[error("its condition answered {0}, which is neither true nor false")]
    NotABoolean(String),
}

/// A run could not be started, or did not come to an end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkflowError {
    /// The orchestrator was shut down before.
    #[error("workflow `{workflow}` was not started: the orchestrator is shut down")]
    ShutDown {
        /// The workflow.
        workflow: String,
    },
    /// The workflow asks for resources that the orchestrator does not have.
    #[error("workflow `{workflow}` was not started: {faults}")]
    Resources {
        /// The workflow.
        workflow: String,
        /// Each of them.
        faults: Faults,
    },
    /// The orchestrator went away while the run was going on.
    #[error(
        "run `{run}` was aborted: its orchestrator was dropped; keep it, or use `shutdown`, to \
         let runs end"
    )]
    Aborted {
        /// The run.
        run: String,
    },
    /// The topic of workflow events could not be opened.
    #[error("the orchestrator cannot tell of its runs")]
    Bus(#[from] BusError),
}
