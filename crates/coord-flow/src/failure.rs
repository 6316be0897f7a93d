//! What failed on a flow's way: who is told, and where the event goes.

use std::ops::ControlFlow;
use std::sync::Arc;

use coord_bus::time::Clock;
use coord_bus::vocabulary::{ErrorDetected, Severity};
use coord_bus::{Publisher, catch};

use crate::choreographer::Flows;
use crate::course::{Course, add};
use crate::options::OnFailure;
use crate::origin::{Original, Told};
use crate::report::FlowState;
use crate::stage::Failed;

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
        let shape = course.shape();
        if self.flows.are_told(&shape.from) {
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

    /// Counts a failure and tells of it; where its event is to become a dead letter, with what.
    fn begin<'a>(
        &self,
        course: &'a Course,
        failed: &'a Failed,
        original: Option<&Arc<dyn Original>>,
    ) -> Told<'a> {
        add(&course.counts.failed, 1);
        let mut message = failed.failure.to_string();
        if let (Some(original), false) = (original, failed.kind == "unpublished") {
            message = format!(
                "{message}, in {}, at {}",
                failed.stage,
                original.meta().id()
            );
        }
        self.tell(course, failed.kind, message);
        let told = Told {
            bus: course.bus(),
            flow: &course.name,
            stage: failed.stage,
            attempts: failed.attempts,
            failure: &failed.failure,
        };
        if let Some(original) = original {
            original.tell_fault(&told);
        }
        told
    }

    /// Sees to it that what becomes of an item that failed is what is to.
    pub(crate) async fn see_to(
        &self,
        course: &Course,
        then: OnFailure,
        failed: Box<Failed>,
        original: Option<Arc<dyn Original>>,
    ) -> ControlFlow<FlowState> {
        let told = self.begin(course, &failed, original.as_ref());
        // What panics when it is sent becomes none.
        if let (OnFailure::DeadLetter, Some(original)) = (then, original)
            && let Ok(true) = catch(original.become_dead_letter(told)).await
        {
            add(&course.counts.dead, 1);
        }
        end_if(then)
    }

    /// The same, for nobody who may wait.
    pub(crate) fn see_to_now(
        &self,
        course: &Course,
        then: OnFailure,
        failed: &Failed,
        original: Option<&Arc<dyn Original>>,
    ) -> ControlFlow<FlowState> {
        let told = self.begin(course, failed, original);
        if let (OnFailure::DeadLetter, Some(original)) = (then, original)
            && original.try_become_dead_letter(&told)
        {
            add(&course.counts.dead, 1);
        }
        end_if(then)
    }
}

fn end_if(then: OnFailure) -> ControlFlow<FlowState> {
    match then {
        OnFailure::Stop => ControlFlow::Break(FlowState::Failed),
        OnFailure::DeadLetter | OnFailure::Skip => ControlFlow::Continue(()),
    }
}
