//! What failed on a flow's way, told to `error-detected`.

use std::sync::Arc;

use coord_bus::Publisher;
use coord_bus::time::Clock;
use coord_bus::vocabulary::{ERROR_DETECTED, ErrorDetected, Severity};

use crate::choreographer::Flows;
use crate::course::Course;

/// Tells of a flow's failures.
#[derive(Debug, Clone)]
pub(crate) struct Failures {
    pub(crate) errors: Publisher<ErrorDetected>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) flows: Flows,
}

impl Failures {
    /// Tells that something failed, unless the report would come back to the flow.
    pub(crate) fn tell(&self, course: &Course, kind: &str, message: String) {
        if self.flows.are_joined(ERROR_DETECTED.name(), &course.from) {
            return;
        }
        // Nobody may wait here: a full topic loses the event, and the count stays.
        let _ = self.errors.try_publish(ErrorDetected {
            source: format!("flow/{}", course.name),
            kind: kind.to_owned(),
            message,
            severity: Severity::Error,
            at: self.clock.now(),
        });
    }
}
