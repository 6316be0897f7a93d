//! How a run came to its end here, and what that is for who asks.

use std::sync::Arc;

use coord_bus::EventLogError;

use crate::outcome::Outcome;
use crate::{RunId, WorkflowError};

/// How a run came to its end, or that it did not.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Finished(Arc<Outcome>),
    /// It is kept as it was.
    Suspended,
    /// Somebody else drives it now.
    TakenOver,
    /// Somebody else may drive it, as it is not known to be this orchestrator's any more.
    LeaseLost,
    /// What happens in it cannot be kept.
    Unrecorded(Arc<EventLogError>),
    /// Its orchestrator has gone.
    Aborted,
    /// What drove it has panicked.
    Panicked,
    /// The run that this step of it is to run cannot be gone on with.
    Child {
        step: String,
        child: RunId,
        source: Arc<WorkflowError>,
    },
}

impl End {
    pub(crate) fn unrecorded(error: EventLogError) -> Self {
        Self::Unrecorded(Arc::new(error))
    }

    /// The outcome, or why there is none.
    pub(crate) fn outcome(self, run: &RunId) -> Result<Arc<Outcome>, WorkflowError> {
        let run = run.to_string();
        Err(match self {
            Self::Finished(outcome) => return Ok(outcome),
            Self::Suspended => WorkflowError::Suspended { run },
            Self::Aborted => WorkflowError::Aborted { run },
            Self::Panicked => WorkflowError::Panicked { run },
            Self::TakenOver => WorkflowError::TakenOver { run },
            Self::LeaseLost => WorkflowError::LeaseLost { run },
            Self::Unrecorded(source) => WorkflowError::Journal { run, source },
            Self::Child {
                step,
                child,
                source,
            } => WorkflowError::Child {
                run,
                step,
                child: child.to_string(),
                source,
            },
        })
    }

    /// Why something that the run was told is not kept.
    pub(crate) fn into_error(self, run: &RunId) -> WorkflowError {
        match self.outcome(run) {
            Err(error) => error,
            Ok(_) => WorkflowError::RunFinished {
                run: run.to_string(),
            },
        }
    }
}
