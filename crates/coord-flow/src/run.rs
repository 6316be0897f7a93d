//! The task of a flow: takes an event, sends it through the stages, publishes what comes out.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use coord_bus::{
    BoxFuture, Envelope, Event, Meta, Publisher, Received, Refused, Subscriber, panic_message,
};
use tokio::select;
use tokio::task::coop::consume_budget;

use crate::course::{Course, add};
use crate::failure::Failures;
use crate::report::FlowState;

/// All stages of a flow: what becomes of an event, if anything.
pub(crate) type Stages<E, U> = Box<dyn FnMut(&E) -> Option<U> + Send>;

/// A flow whose topics are open.
pub(crate) trait Run: Send {
    /// Runs it to its end.
    fn run(self: Box<Self>, course: Arc<Course>, failures: Failures) -> BoxFuture<'static, ()>;
}

impl<E: Event, U: Event> Run for (Subscriber<E>, Stages<E, U>, Publisher<U>) {
    fn run(self: Box<Self>, course: Arc<Course>, failures: Failures) -> BoxFuture<'static, ()> {
        let (source, stages, sink) = *self;
        let way = Way {
            stages,
            sink,
            course,
            failures,
        };
        Box::pin(way.run(source))
    }
}

/// What an event goes through.
struct Way<E, U> {
    stages: Stages<E, U>,
    sink: Publisher<U>,
    course: Arc<Course>,
    failures: Failures,
}

/// Whether the flow goes on.
#[derive(PartialEq, Eq)]
enum Sink {
    Open,
    Closed,
}

impl<E: Event, U: Event> Way<E, U> {
    async fn run(mut self, source: Subscriber<E>) {
        let end = self.follow(source).await;
        self.course.end(end);
    }

    async fn follow(&mut self, mut source: Subscriber<E>) -> FlowState {
        let course = Arc::clone(&self.course);
        loop {
            let received = select! {
                // While there are events, the other is not even looked at: `is_drained` is.
                biased;
                received = source.recv() => received,
                () = course.stop.cancelled() => break,
            };
            let Some(received) = received else {
                return FlowState::SourceClosed;
            };
            if self.handle(received).await == Sink::Closed {
                return FlowState::SinkClosed;
            }
            if course.is_drained() {
                return FlowState::Drained;
            }
        }
        while !course.is_drained() {
            consume_budget().await;
            let Ok(received) = source.try_recv() else {
                break;
            };
            if self.handle(received).await == Sink::Closed {
                return FlowState::SinkClosed;
            }
        }
        FlowState::Drained
    }

    /// Sees one event to its end.
    async fn handle(&mut self, received: Received<'_, E>) -> Sink {
        let counts = &self.course.counts;
        let (meta, sequence) = (received.meta(), received.meta().sequence());
        let undecodable = received.undecodable();
        add(&counts.received, 1 + undecodable);
        if undecodable > 0 {
            add(&counts.failed, undecodable);
            let message = format!(
                "{undecodable} events before {} cannot be decoded",
                meta.id()
            );
            self.failures.tell(&self.course, "undecodable", message);
        }
        let mut sink = Sink::Open;
        // A stage that is broken by a panic breaks nothing but itself.
        let stages = AssertUnwindSafe(|| (self.stages)(received.event()));
        match catch_unwind(stages) {
            Ok(None) => add(&counts.filtered, 1),
            Ok(Some(event)) => {
                let envelope = caused_by(event, meta);
                match self.sink.publish_with(envelope).await {
                    Ok(()) => add(&counts.published, 1),
                    Err(refused) => {
                        add(&counts.failed, 1);
                        sink = self.refused(&refused);
                    }
                }
            }
            Err(panic) => {
                add(&counts.failed, 1);
                let message = format!("{}, at {}", panic_message(&*panic), meta.id());
                self.failures.tell(&self.course, "panic", message);
            }
        }
        self.course.settle(sequence);
        sink
    }

    #[cold]
    fn refused(&self, refused: &Refused<Envelope<U>>) -> Sink {
        let mut message = refused.to_string();
        let mut cause = refused.reason.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        self.failures.tell(&self.course, "unpublished", message);
        if refused.is_closed() {
            return Sink::Closed;
        }
        Sink::Open
    }
}

/// The event, with what its cause says of the whole that both belong to.
fn caused_by<U>(event: U, cause: Meta<'_>) -> Envelope<U> {
    let envelope = Envelope::new(event);
    let correlation = cause.correlation_id();
    let says_something = correlation.is_some()
        || cause.causation_id().is_some()
        || cause.source().is_some()
        || cause.time().is_some();
    if !says_something {
        return envelope;
    }
    let envelope = envelope.causation_id(cause.id());
    match correlation {
        Some(id) => envelope.correlation_id(id),
        None => envelope,
    }
}
