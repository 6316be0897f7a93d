//! Spans of runs, steps and handled events.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use coord_bus::vocabulary::Transition;
use coord_bus::{BusExt, Delivery, Envelope, Failure};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::stage::{Stage, TICKS, completed, finished, pass, seconds, started};

/// A span that has ended.
#[derive(Debug, Clone, Default)]
struct Seen {
    name: &'static str,
    parent: Option<u64>,
    fields: BTreeMap<&'static str, String>,
    is_over: bool,
}

/// Keeps all spans, by the order in which they began.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Seen>>>);

impl Kept {
    fn spans(&self) -> Vec<Seen> {
        self.0.lock().expect("nobody panicked").clone()
    }
}

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("coord::")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut seen = Seen {
            name: span.metadata().name(),
            parent: span.parent().map(Id::into_u64),
            ..Seen::default()
        };
        span.record(&mut seen);
        let mut spans = self.0.lock().expect("nobody panicked");
        spans.push(seen);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut spans = self.0.lock().expect("nobody panicked");
        values.record(&mut spans[span.into_u64() as usize - 1]);
    }

    fn try_close(&self, span: Id) -> bool {
        self.0.lock().expect("nobody panicked")[span.into_u64() as usize - 1].is_over = true;
        true
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_is_a_span_within_that_of_its_run_and_both_end_when_they_do() {
    let kept = Kept::default();
    let _kept = tracing::subscriber::set_default(kept.clone());
    let stage = Stage::new();
    stage.tell(Transition::RunStarted { steps: 2 }).await;
    stage.tell(started("compile")).await;
    stage.tell(started("test")).await;
    stage.tell(completed("compile", seconds(1))).await;
    pass(seconds(1)).await;
    let [run, compile, test] = &kept.spans()[..] else {
        panic!("{:?}", kept.spans());
    };
    assert_eq!(
        (run.name, &*run.fields["otel.name"], run.parent),
        ("run", "run build", None)
    );
    assert_eq!(
        (compile.name, &*compile.fields["otel.name"]),
        ("step", "step compile")
    );
    assert_eq!((compile.parent, test.parent), (Some(1), Some(1)));
    for span in [run, compile, test] {
        assert_eq!(span.fields["correlation_id"], "1");
    }
    assert_eq!(compile.fields["outcome"], "completed");
    assert_eq!(
        (run.is_over, compile.is_over, test.is_over),
        (false, true, false)
    );
    stage.tell(finished("failed", seconds(1))).await;
    let spans = kept.spans();
    assert!(spans.iter().all(|span| span.is_over), "{spans:?}");
    assert_eq!(spans[0].fields["outcome"], "failed");
}

#[tokio::test(start_paused = true)]
async fn the_span_of_a_step_ends_with_it_however_that_is() {
    let kept = Kept::default();
    let _kept = tracing::subscriber::set_default(kept.clone());
    let stage = Stage::new();
    let (step, reason, error) = ("a".to_owned(), String::new(), String::new());
    let (attempt, duration) = (1, seconds(1));
    let ends = [
        completed("a", duration),
        Transition::StepFailed {
            step: step.clone(),
            attempt,
            error: error.clone(),
            duration,
            optional: false,
        },
        Transition::StepExhausted {
            step: step.clone(),
            attempt,
            error,
            duration,
        },
        Transition::StepCancelled { step: step.clone() },
        Transition::StepSkipped { step, reason },
    ];
    for end in ends {
        stage.tell(started("a")).await;
        stage.tell(end).await;
    }
    pass(seconds(1)).await;
    let spans = kept.spans();
    let outcomes = spans.iter().map(|span| &*span.fields["outcome"]);
    let outcomes: Vec<_> = outcomes.collect();
    let all = ["completed", "failed", "exhausted", "cancelled", "skipped"];
    assert_eq!(outcomes, all);
    assert!(spans.iter().all(|span| span.is_over), "{spans:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_measured_handler_handles_is_a_span_of_the_events_undertaking() {
    let kept = Kept::default();
    let _kept = tracing::subscriber::set_default(kept.clone());
    let stage = Stage::new();
    let latency = stage.monitor.latency("ticks");
    let handle = latency.handler(|tick: Delivery<u32>| async move {
        tracing::info_span!(target: "coord::test", "within");
        pass(seconds(1)).await;
        match *tick {
            1 => Ok(()),
            _ => Err(Failure::message("no").permanent()),
        }
    });
    let handler = stage.bus.on(&TICKS, handle).unwrap();
    let ticks = stage.bus.publisher(&TICKS).unwrap();
    let envelope = Envelope::new(1).correlation_id("order-17").id("tick-1");
    ticks.publish_with(envelope).await.unwrap();
    handler.drain(seconds(10)).await;
    let spans = kept.spans();
    let process = spans.iter().find(|span| span.name == "process").unwrap();
    assert_eq!(process.fields["otel.name"], "process ticks");
    assert_eq!(process.fields["correlation_id"], "order-17");
    assert_eq!(process.fields["messaging.destination.name"], "ticks");
    assert_eq!(process.fields["messaging.message.id"], "tick-1");
    assert!(process.is_over);
}
