//! What policies and circuit breakers tell as events of `tracing`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::Failure;
use coord_recovery::policy::{CircuitBreaker, Policy, Retry, SlidingWindow};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::stage::{pass, seconds};

/// An event: how bad it is, and its fields.
#[derive(Debug, Clone)]
struct Seen {
    level: Level,
    fields: BTreeMap<&'static str, String>,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Seen>>>);

impl Kept {
    /// What was told since the last time: each as its level and its message.
    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.0.lock().expect("nobody panicked"))
    }
}

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("coord_recovery")
    }

    fn event(&self, event: &Event<'_>) {
        let mut seen = Seen {
            level: *event.metadata().level(),
            fields: BTreeMap::new(),
        };
        event.record(&mut seen);
        self.0.lock().expect("nobody panicked").push(seen);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
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
async fn a_retry_is_a_warning_with_its_attempt_and_wait_and_a_success_is_silent() {
    let kept = Kept::default();
    let _kept = tracing::subscriber::set_default(kept.clone());
    let retry = Retry::constant(seconds(2)).max_attempts(3);
    let policy = Policy::builder("quotes").retry(retry).build().unwrap();
    let mut attempts = 0;
    let run = policy.run(|| {
        attempts += 1;
        let is_up = attempts == 2;
        async move { is_up.then_some(7).ok_or(Failure::message("down")) }
    });
    assert!(matches!(run.await, Ok(7)));
    let seen = kept.take();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].level, Level::WARN);
    let told = |field: &str| seen[0].fields[field].as_str();
    assert_eq!(told("message"), "on_retry");
    assert_eq!(told("pipeline.name"), "quotes");
    assert_eq!(told("strategy.name"), "retry");
    // From 0, as everywhere that has this field.
    assert_eq!(told("attempt.number"), "0");
    assert_eq!(told("error.kind"), "operation-failed");
    assert_eq!(told("wait"), "2s");

    let calm = policy.run(|| async { Ok(7) }).await;
    assert!(calm.is_ok() && kept.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_opens_is_an_error_and_its_way_back_are_warnings() {
    let kept = Kept::default();
    let _kept = tracing::subscriber::set_default(kept.clone());
    let breaker = CircuitBreaker::builder("db")
        .sliding_window(SlidingWindow::Count(2))
        .wait_duration_in_open_state(seconds(5))
        .permitted_number_of_calls_in_half_open_state(1)
        .build()
        .unwrap();
    for _ in 0..2 {
        breaker.try_acquire().unwrap().failure(Duration::ZERO);
    }
    // Refused, which comes with each call, and is not told.
    assert!(breaker.try_acquire().is_err());
    pass(seconds(5)).await;
    breaker.try_acquire().unwrap().success(Duration::ZERO);
    let seen: Vec<_> = kept
        .take()
        .into_iter()
        .map(|it| {
            let [from, to] = ["from", "to"].map(|field| it.fields[field].clone());
            assert_eq!(it.fields["strategy.name"], "db");
            (it.level, it.fields["message"].clone(), from, to)
        })
        .collect();
    let line = |level, message: &str, from: &str, to: &str| {
        (level, message.to_owned(), from.to_owned(), to.to_owned())
    };
    let expected = [
        line(Level::ERROR, "on_circuit_opened", "closed", "open"),
        line(Level::WARN, "on_circuit_half_opened", "open", "half open"),
        line(Level::WARN, "on_circuit_closed", "half open", "closed"),
    ];
    assert_eq!(seen, expected);
}
