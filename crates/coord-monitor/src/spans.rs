//! Spans of `tracing`: one for each event that is handled, each run and each step, joined by
//! correlation id. Nothing where the feature `tracing` is off.

#[cfg(feature = "tracing")]
pub(crate) use on::{Spans, of_event};

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Spans, of_event};

/// What a handler's future is polled in.
#[cfg(feature = "tracing")]
pub(crate) type Span = tracing::Span;
#[cfg(not(feature = "tracing"))]
pub(crate) type Span = off::NoSpan;

#[cfg(feature = "tracing")]
mod on {
    use std::collections::HashMap;

    use coord_bus::vocabulary::{Transition, WorkflowEvent};
    use coord_bus::{Meta, Received};
    use tracing::{Span, field::Empty, info_span};

    use crate::MAX_ACTIVE_RUNS;

    /// The most spans of steps at once; steps beyond have none.
    const STEPS_MAX: usize = MAX_ACTIVE_RUNS;

    /// A span for the handling of an event, named as OpenTelemetry does.
    pub(crate) fn of_event(event: Meta<'_>) -> Span {
        let span = info_span!(
            target: "coord::process",
            "process",
            otel.name = Empty,
            messaging.system = "coord",
            messaging.destination.name = event.topic(),
            messaging.message.id = Empty,
            correlation_id = event.correlation_id(),
            causation_id = event.causation_id(),
        );
        if !span.is_disabled() {
            span.record("otel.name", format!("process {}", event.topic()));
            span.record("messaging.message.id", &*event.id());
        }
        span
    }

    /// The spans of runs and steps that go on.
    #[derive(Debug, Default)]
    pub(crate) struct Spans {
        runs: HashMap<(String, String), Span>,
        steps: HashMap<(String, String, String), Span>,
    }

    impl Spans {
        /// A span begins and ends when this is told so, which is shortly after it was so.
        pub(crate) fn observe(&mut self, event: &Received<'_, WorkflowEvent>) {
            let run = (event.workflow.clone(), event.run.clone());
            let correlation_id = event.meta().correlation_id().unwrap_or(&event.run);
            if let Some(step) = event.transition.step() {
                let key = (run.0.clone(), run.1.clone(), step.to_owned());
                if !matches!(event.transition, Transition::StepStarted { .. }) {
                    self.end_of_step(&key, &event.transition);
                } else if self.steps.len() < STEPS_MAX {
                    let within = self.runs.get(&run).and_then(Span::id);
                    let span = info_span!(
                        target: "coord::workflow",
                        parent: within,
                        "step",
                        otel.name = format!("step {step}"),
                        workflow = event.workflow,
                        run = event.run,
                        step,
                        correlation_id,
                        outcome = Empty,
                    );
                    self.steps.insert(key, span);
                }
                return;
            }
            match &event.transition {
                Transition::RunStarted { .. } if self.runs.len() < MAX_ACTIVE_RUNS => {
                    let span = info_span!(
                        target: "coord::workflow",
                        parent: None,
                        "run",
                        otel.name = format!("run {}", event.workflow),
                        workflow = event.workflow,
                        run = event.run,
                        correlation_id,
                        outcome = Empty,
                    );
                    self.runs.insert(run, span);
                }
                Transition::RunSuspended => self.end_of_run(&run, "suspended"),
                Transition::RunFinished { outcome, .. } => self.end_of_run(&run, outcome),
                _ => {}
            }
        }

        fn end_of_run(&mut self, run: &(String, String), outcome: &str) {
            self.steps
                .retain(|(workflow, of, _), _| (workflow, of) != (&run.0, &run.1));
            if let Some(span) = self.runs.remove(run) {
                span.record("outcome", outcome);
            }
        }

        fn end_of_step(&mut self, key: &(String, String, String), transition: &Transition) {
            let outcome = match transition {
                Transition::StepCompleted { .. } => "completed",
                Transition::StepFailed { .. } => "failed",
                Transition::StepRetrying { .. } => "retrying",
                Transition::StepExhausted { .. } => "exhausted",
                Transition::StepCancelled { .. } => "cancelled",
                Transition::StepSkipped { .. } => "skipped",
                _ => return,
            };
            if let Some(span) = self.steps.remove(key) {
                span.record("outcome", outcome);
            }
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use coord_bus::vocabulary::WorkflowEvent;
    use coord_bus::{Meta, Received};

    #[derive(Debug)]
    pub(crate) struct NoSpan;

    impl NoSpan {
        pub(crate) fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
            work()
        }
    }

    pub(crate) fn of_event(_: Meta<'_>) -> NoSpan {
        NoSpan
    }

    #[derive(Debug, Default)]
    pub(crate) struct Spans {}

    impl Spans {
        pub(crate) fn observe(&mut self, _: &Received<'_, WorkflowEvent>) {}
    }
}
