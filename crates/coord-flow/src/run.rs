//! The task of a flow: takes an event, sends it through the stages, publishes what comes out.

use std::error::Error;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use coord_bus::{
    BoxFuture, Envelope, Event, Meta, Publisher, Received, Refused, Subscriber, TryReceiveError,
    WithCauses, panic_message,
};
use tokio::select;
use tokio::task::coop::consume_budget;

use crate::course::{Course, add};
use crate::failure::Failures;
use crate::report::FlowState;

/// All stages of a flow: what becomes of an event, if anything.
pub(crate) type Stages<E, U> = Box<dyn FnMut(&E) -> Option<U> + Send>;

/// The most events that are handled before others are let run: as many as a subscriber reads for
/// one unit of its task's budget.
const AT_ONCE_MAX: usize = 128;

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

impl<E: Event, U: Event> Way<E, U> {
    async fn run(mut self, mut source: Subscriber<E>) {
        let course = Arc::clone(&self.course);
        let end = loop {
            if let ControlFlow::Break(end) = self.go_on(&mut source, &course).await {
                break end;
            }
        };
        course.end(end);
    }

    /// Handles what is ready, and then waits for more, or lets others run.
    async fn go_on(
        &mut self,
        source: &mut Subscriber<E>,
        course: &Course,
    ) -> ControlFlow<FlowState> {
        // Looked at before the source is: what had been published before a stop is then found.
        let is_asked_to_stop = course.stop.is_cancelled();
        for _ in 0..AT_ONCE_MAX {
            if course.is_drained() {
                return ControlFlow::Break(FlowState::Drained);
            }
            match source.try_recv() {
                Ok(received) => self.handle(received).await?,
                Err(TryReceiveError::Closed) => {
                    return ControlFlow::Break(FlowState::SourceClosed);
                }
                Err(TryReceiveError::Empty) if is_asked_to_stop => {
                    return ControlFlow::Break(FlowState::Drained);
                }
                Err(TryReceiveError::Empty) => {
                    select! {
                        // First, so that nothing is handled that came after the stop.
                        biased;
                        () = course.stop.cancelled() => {}
                        received = source.recv() => if let Some(received) = received {
                            self.handle(received).await?;
                        },
                    }
                    return ControlFlow::Continue(());
                }
            }
        }
        consume_budget().await;
        ControlFlow::Continue(())
    }

    /// Sees one event to its end.
    async fn handle(&mut self, received: Received<'_, E>) -> ControlFlow<FlowState> {
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
        let mut then = ControlFlow::Continue(());
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
                        then = self.refused(&refused);
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
        then
    }

    #[cold]
    fn refused(&self, refused: &Refused<Envelope<U>>) -> ControlFlow<FlowState> {
        let message = match refused.reason.source() {
            Some(cause) => format!("{refused}: {}", WithCauses(cause)),
            None => refused.to_string(),
        };
        self.failures.tell(&self.course, "unpublished", message);
        if refused.is_closed() {
            return ControlFlow::Break(FlowState::SinkClosed);
        }
        ControlFlow::Continue(())
    }
}

/// The event, with what its cause says of the whole that both belong to.
fn caused_by<U>(event: U, cause: Meta<'_>) -> Envelope<U> {
    let envelope = Envelope::new(event);
    if cause.details().is_none() {
        return envelope;
    }
    let envelope = envelope.causation_id(cause.id());
    match cause.correlation_id() {
        Some(id) => envelope.correlation_id(id),
        None => envelope,
    }
}
