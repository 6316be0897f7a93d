//! Where what is in a flow came from: an event of one of its sources.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use coord_bus::time::Instant;
use coord_bus::{
    BoxFuture, Bus, BusExt, DeadLetter, Delivery, Envelope, Event, Failure, Fault, Meta, Publisher,
    Topic,
};

use crate::stage::Label;

/// How often an event has been round a loop: a header that flows carry on.
pub(crate) const HOPS: &str = "coord-hops";

/// The event that an item came from. Its place is enough as long as the source has the event still
/// at hand; `kept` is the event itself.
#[derive(Clone)]
pub struct Origin {
    /// Which source of the flow.
    pub(crate) source: usize,
    pub(crate) sequence: u64,
    /// Where it may outlive the source's hand, or says something of itself.
    pub(crate) kept: Option<Arc<dyn Original>>,
}

impl Origin {
    /// What was made of it, with what it says of the whole that both belong to.
    #[inline]
    pub(crate) fn envelope<U>(&self, event: U) -> Envelope<U> {
        let envelope = Envelope::new(event);
        match &self.kept {
            None => envelope,
            Some(kept) => caused_by(envelope, kept.meta()),
        }
    }

    /// How often it has been round a loop.
    pub(crate) fn hops(&self) -> u32 {
        let header = self
            .kept
            .as_ref()
            .and_then(|kept| kept.meta().header(HOPS)?.parse().ok());
        header.unwrap_or(0)
    }
}

#[inline(never)]
fn caused_by<U>(envelope: Envelope<U>, cause: Meta<'_>) -> Envelope<U> {
    if cause.details().is_none() {
        return envelope;
    }
    let mut envelope = envelope.causation_id(cause.id());
    if let Some(id) = cause.correlation_id() {
        envelope = envelope.correlation_id(id);
    }
    with_hops(envelope, cause)
}

/// With the count of its cause, so that no way round a loop is without it.
fn with_hops<U>(envelope: Envelope<U>, cause: Meta<'_>) -> Envelope<U> {
    match cause.header(HOPS) {
        Some(hops) => envelope.header(HOPS, hops),
        None => envelope,
    }
}

/// What is told of a failure.
pub struct Told<'a> {
    pub(crate) bus: &'a dyn Bus,
    pub(crate) flow: &'a Arc<str>,
    pub(crate) stage: Label,
    pub(crate) attempts: u32,
    pub(crate) failure: &'a Failure,
}

/// An event of a source, whatever its type.
pub trait Original: Send + Sync {
    fn meta(&self) -> Meta<'_>;

    /// When the flow took it.
    fn taken(&self) -> Instant;

    /// Tells that it came to nothing whoever listens. Nobody waits for that.
    fn tell_fault(&self, told: &Told<'_>);

    /// Makes it a dead letter, waiting for room. Whether it has become one.
    fn become_dead_letter<'a>(&'a self, told: Told<'_>) -> BoxFuture<'a, bool>;

    /// Makes it a dead letter if there is room.
    fn try_become_dead_letter(&self, told: &Told<'_>) -> bool;
}

/// Where events of a source go that come to nothing.
pub(crate) struct Outlets<E> {
    topic: Topic<E>,
    dead_letters: Option<Publisher<DeadLetter<E>>>,
    /// Opened when there is the first: most flows never have one.
    faults: OnceLock<Option<Publisher<Fault<E>>>>,
}

impl<E: Event> Outlets<E> {
    pub(crate) fn new(topic: Topic<E>, dead_letters: Option<Publisher<DeadLetter<E>>>) -> Self {
        Self {
            topic,
            dead_letters,
            faults: OnceLock::new(),
        }
    }

    /// An event that was taken now.
    pub(crate) fn taken(self: &Arc<Self>, delivery: Delivery<E>) -> Arc<dyn Original> {
        Arc::new(Taken {
            delivery,
            outlets: Arc::clone(self),
            at: Instant::now(),
        })
    }
}

/// An event of a source.
struct Taken<E> {
    delivery: Delivery<E>,
    outlets: Arc<Outlets<E>>,
    at: Instant,
}

impl<E: Event> Original for Taken<E> {
    fn meta(&self) -> Meta<'_> {
        self.delivery.meta()
    }

    fn taken(&self) -> Instant {
        self.at
    }

    fn tell_fault(&self, told: &Told<'_>) {
        let outlets = &self.outlets;
        let open = || told.bus.publisher(&outlets.topic.faults()).ok();
        let Some(faults) = outlets.faults.get_or_init(open) else {
            return;
        };
        if faults.is_heard() {
            let mut fault = Envelope::new(Fault::new(
                self.delivery.clone(),
                Arc::clone(told.flow),
                told.stage.to_string(),
                told.attempts,
                told.failure,
            ));
            self.meta().cause().mark(&mut fault);
            let fault = with_hops(fault, self.meta());
            // News: a full topic loses it, and so does what panics when it is sent.
            let publish = || faults.try_publish_with(fault).is_ok();
            let _ = catch_unwind(AssertUnwindSafe(publish));
        }
    }

    fn become_dead_letter<'a>(&'a self, told: Told<'_>) -> BoxFuture<'a, bool> {
        let letter = self.dead_letter(&told);
        Box::pin(async move {
            match &self.outlets.dead_letters {
                Some(dead_letters) => dead_letters.publish_with(letter).await.is_ok(),
                None => false,
            }
        })
    }

    fn try_become_dead_letter(&self, told: &Told<'_>) -> bool {
        let letter = self.dead_letter(told);
        let Some(dead_letters) = &self.outlets.dead_letters else {
            return false;
        };
        let publish = || dead_letters.try_publish_with(letter).is_ok();
        catch_unwind(AssertUnwindSafe(publish)).unwrap_or(false)
    }
}

impl<E: Event> Taken<E> {
    fn dead_letter(&self, told: &Told<'_>) -> Envelope<DeadLetter<E>> {
        let event = self.delivery.clone();
        let handler = format!("flow {}, {}", told.flow, told.stage);
        let letter = DeadLetter::new(event, handler, told.attempts, told.failure);
        let mut letter = Envelope::new(letter);
        self.meta().cause().mark(&mut letter);
        with_hops(letter, self.meta())
    }
}
