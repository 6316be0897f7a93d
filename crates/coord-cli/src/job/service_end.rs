//! Why a service is not up: in words, and the exit code of its process.

use coordination::ServiceExit;
use coordination::patterns::service::ServiceError;
use coordination::recovery::{ChildEnd, ChildError, GaveUp, GiveUpReason};
use coordination::workflow::{RunView, Status, StepError};

use crate::spoken::Spoken;

/// A service that has failed for good.
#[derive(Debug, Clone)]
pub(crate) struct FailedService {
    pub(crate) id: String,
    pub(crate) why: String,
    /// The exit code of its last process, if it ended by itself.
    pub(crate) code: Option<i32>,
}

impl FailedService {
    /// One that had been ready.
    pub(crate) fn given_up(gave_up: GaveUp) -> Self {
        Self {
            why: why(&gave_up),
            code: code(&gave_up.error),
            id: gave_up.child,
        }
    }

    /// The one for which a run had failed before it was taken up: that is kept in words, as is why it was cancelled, and why
    /// a step failed.
    pub(super) fn before(run: &RunView) -> Option<Self> {
        if run.ending == Some(Status::Cancelled) || run.failed_step().is_some() {
            return None;
        }
        let (id, why) = run.error.as_deref()?.split_once(": ")?;
        Some(Self {
            id: id.to_owned(),
            why: why.to_owned(),
            code: None,
        })
    }

    /// Why the run has failed.
    pub(crate) fn of_run(&self) -> String {
        format!("{}: {}", self.id, self.why)
    }

    /// One that did not come up.
    pub(crate) fn not_up(id: &str, error: &StepError) -> Self {
        Self {
            id: id.to_owned(),
            why: error.to_string(),
            code: exit_code(error),
        }
    }
}

/// A service came to an end before it was ready.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct NeverReady {
    why: String,
    code: Option<i32>,
}

impl NeverReady {
    pub(super) fn of(end: &ChildEnd) -> Self {
        let (why, code) = match end {
            ChildEnd::Completed => ("it ended before it was ready".to_owned(), Some(0)),
            ChildEnd::Failed { error } => (said(error), code(error)),
            ChildEnd::GaveUp(gave_up) => (why(gave_up), code(&gave_up.error)),
            end => (end.to_string(), None),
        };
        Self { why, code }
    }

    /// It was not to become ready.
    pub(super) fn unwanted(why: &str) -> Self {
        let why = why.to_owned();
        Self { why, code: None }
    }
}

/// A service that a step needs did not come up again.
#[derive(Debug, thiserror::Error)]
#[error("its service `{}` did not come up again: {}", .0.id, .0.why)]
pub(super) struct NotUp(pub(super) FailedService);

/// The exit code of the service for which a step failed, its own or one that it needs.
pub(super) fn exit_code(error: &StepError) -> Option<i32> {
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(NeverReady { code, .. }), _) => *code,
        (_, Some(NotUp(service))) => service.code,
        _ => None,
    }
}

fn code(error: &ChildError) -> Option<i32> {
    let exit: &ServiceExit = error.downcast_ref()?;
    exit.0.code
}

/// Why a service was given up.
fn why(gave_up: &GaveUp) -> String {
    let error = said(&gave_up.error);
    match gave_up.reason {
        // One that may not be restarted at all.
        GiveUpReason::Permanent | GiveUpReason::TooManyRestarts { restarts: 0, .. } => error,
        reason => format!("{error}; {reason}"),
    }
}

/// What went wrong with a service, where its name and what it printed stand beside.
fn said(error: &ChildError) -> String {
    match error.downcast_ref() {
        Some(ServiceError::NotReady { after, answer, .. }) => {
            format!("not ready within {}: {answer}", Spoken(*after))
        }
        Some(ServiceError::Unhealthy { answer, .. }) => format!("is not well: {answer}"),
        _ => error.to_string(),
    }
}
