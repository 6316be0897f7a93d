//! From a topic's batches into another topic: the task of
//! [`EventStreamOptimizer::optimize_into`](crate::EventStreamOptimizer::optimize_into).

use std::future::poll_fn;
use std::pin::{Pin, pin};

use coord_bus::time::{Clock, SystemClock};
use coord_bus::vocabulary::{ERROR_DETECTED, ErrorDetected, Severity};
use coord_bus::{Delivery, Envelope, Event, Failure, Publisher, catch};
use futures_core::Stream;

use crate::Batches;
use crate::routes::Route;

/// Where events go, and those that cannot.
pub(crate) struct Sink<E> {
    pub(crate) events: Publisher<E>,
    pub(crate) errors: Publisher<ErrorDetected>,
}

pub(crate) async fn pump<E: Event + Clone>(
    mut batches: Batches<E>,
    sink: Sink<E>,
    stopped: impl Future<Output = ()>,
    _route: Route,
) {
    let mut stopped = pin!(stopped);
    let mut stopping = false;
    loop {
        let batch = poll_fn(|cx| {
            if !stopping && stopped.as_mut().poll(cx).is_ready() {
                stopping = true;
                batches.close();
            }
            Pin::new(&mut batches).poll_next(cx)
        });
        let Some(batch) = batch.await else {
            return;
        };
        for event in batch {
            let sending = async { sink.events.publish_with(passed_on(&event)).await };
            match catch(sending).await {
                Ok(Ok(())) => {}
                // Nobody is there to be told.
                Ok(Err(refused)) if refused.is_closed() => return,
                Ok(Err(refused)) => sink.tell(&event, &Failure::from(refused.reason)),
                Err(panic) => sink.tell(&event, &Failure::panicked(&*panic)),
            }
        }
    }
}

impl<E: Event> Sink<E> {
    /// Says that an event was not published, unless that would come back.
    fn tell(&self, event: &Delivery<E>, failure: &Failure) {
        let (from, to) = (event.meta().topic(), self.events.topic());
        if [from, to].contains(&ERROR_DETECTED.name()) {
            return;
        }
        // Nobody may wait here: a full topic loses it.
        let _ = self.errors.try_publish(ErrorDetected {
            source: format!("optimize {from} into {to}"),
            kind: "unpublished".to_owned(),
            message: format!("{} did not get there: {failure}", event.meta().id()),
            severity: Severity::Error,
            at: SystemClock.now(),
        });
    }
}

/// The event once more, with what was said of it: its cause is the one that it was.
fn passed_on<E: Clone>(event: &Delivery<E>) -> Envelope<E> {
    let envelope = Envelope::new(E::clone(event));
    let Some(details) = event.meta().details() else {
        return envelope;
    };
    let mut envelope = envelope.causation_id(event.meta().id());
    if let Some(id) = &details.correlation_id {
        envelope = envelope.correlation_id(id);
    }
    if let Some(time) = details.time {
        envelope = envelope.time(time);
    }
    if let Some(source) = &details.source {
        envelope = envelope.source(source);
    }
    let headers = details.headers.iter();
    headers.fold(envelope, |envelope, (name, value)| {
        envelope.header(name, value)
    })
}
