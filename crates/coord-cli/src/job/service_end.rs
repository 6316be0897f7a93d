//! Why a service is not up, in words.

use coordination::patterns::service::ServiceError;
use coordination::recovery::{ChildEnd, ChildError, GaveUp, GiveUpReason};

use crate::spoken::Spoken;

/// Why a service will not become ready, or is no longer.
pub(super) fn reason(end: &ChildEnd) -> String {
    match end {
        ChildEnd::Completed => "it ended before it was ready".to_owned(),
        ChildEnd::Failed { error } => said(error),
        ChildEnd::GaveUp(gave_up) => why(gave_up),
        end => end.to_string(),
    }
}

/// Why a service was given up.
pub(crate) fn why(gave_up: &GaveUp) -> String {
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
