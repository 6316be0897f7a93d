//! What can go wrong with a step, and with asking for a run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::{BusError, panic_message};

/// Why a step failed: any error of the step's own, or what the orchestrator found.
///
/// A step's function returns any error that is `Send + Sync + 'static`; `?` turns it into this.
/// Like `anyhow::Error` it is not itself a [`std::error::Error`], so that it can be made from
/// every one of them; [`cause`](Self::cause) is.
#[derive(Clone)]
pub struct StepError {
    cause: Arc<dyn std::error::Error + Send + Sync>,
    permanent: bool,
}

/// What the orchestrator itself finds wrong with an attempt at a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// It took too long.
    #[error("it was not done after {0:?}, its timeout")]
    TimedOut(Duration),
    /// It panicked.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// The run was cancelled while it was going on.
    #[error("it was cancelled")]
    Cancelled,
    /// It said no more than this.
    #[error("{0}")]
    Failed(String),
    /// A condition answered neither true nor false.
    #[error("its condition answered {0}, which is neither true nor false")]
    NotABoolean(String),
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for StepError {
    fn from(cause: E) -> Self {
        Self {
            cause: Arc::new(cause),
            permanent: false,
        }
    }
}

impl StepError {
    /// An error that is only a message.
    pub fn message(message: impl Into<String>) -> Self {
        AttemptError::Failed(message.into()).into()
    }

    /// The same error, not to be retried: another attempt would fail in the same way.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.permanent = true;
        self
    }

    /// Whether it is not to be retried.
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// The error itself.
    pub fn cause(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.cause
    }

    /// The error itself, if it is of this type.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.cause.downcast_ref()
    }

    pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        AttemptError::Panicked(panic_message(panic).to_owned()).into()
    }
}

/// The error, and after colons what caused it.
impl fmt::Display for StepError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.cause)?;
        let mut source = self.cause.source();
        while let Some(cause) = source {
            write!(formatter, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for StepError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.cause, formatter)
    }
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
