//! Where a flow begins: a subscriber of a topic, whose events are lent to the first stages.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use coord_bus::{
    BusError, BusExt, Delivery, Event, Overflow, Received, SubscribeOptions, Subscriber, Topic,
    TryReceiveError,
};

use super::{AnySource, Handed, Label, Opening, Part, Pulled, Stage, Way};
use crate::course::{Counts, SourceControl, add};
use crate::origin::{Origin, Original, Outlets};

/// Whether a flow goes on with an event that is lent to it.
pub trait Keeps<E>: Send + 'static {
    /// Whether it does.
    fn keeps(&mut self, event: &E, way: &Way) -> bool;
}

/// It goes on with all.
#[derive(Debug)]
pub struct All;

impl<E> Keeps<E> for All {
    #[inline]
    fn keeps(&mut self, _: &E, _: &Way) -> bool {
        true
    }
}

/// One filter after another.
pub(crate) struct And<K, F> {
    pub(crate) before: K,
    pub(crate) label: Label,
    pub(crate) keeps: F,
}

impl<E, K: Keeps<E>, F: FnMut(&E) -> bool + Send + 'static> Keeps<E> for And<K, F> {
    #[inline]
    fn keeps(&mut self, event: &E, way: &Way) -> bool {
        self.before.keeps(event, way) && way.watch(Some(self.label), None, || (self.keeps)(event))
    }
}

/// What a source gives out for an event.
pub(crate) trait Make<E>: Send + 'static {
    /// What comes out.
    type Out: Send + 'static;

    /// Makes it, of the event or of a share in it.
    fn make(
        &mut self,
        event: &E,
        share: impl FnOnce() -> Delivery<E>,
        way: &Way,
    ) -> Option<Self::Out>;
}

/// What a function makes of an event that is lent to it.
pub(crate) struct ByRef<F, U> {
    label: Label,
    make: F,
    out: PhantomData<fn() -> U>,
}

impl<F, U> ByRef<F, U> {
    pub(crate) fn new(label: Label, make: F) -> Self {
        Self {
            label,
            make,
            out: PhantomData,
        }
    }
}

impl<E, F, U> Make<E> for ByRef<F, U>
where
    F: FnMut(&E) -> Option<U> + Send + 'static,
    U: Send + 'static,
{
    type Out = U;

    #[inline]
    fn make(&mut self, event: &E, _: impl FnOnce() -> Delivery<E>, way: &Way) -> Option<U> {
        way.watch(Some(self.label), None, || (self.make)(event))
    }
}

/// The event itself, shared with the topic's other subscribers.
#[derive(Debug)]
pub(crate) struct Shared;

impl<E: Event> Make<E> for Shared {
    type Out = Delivery<E>;

    fn make(&mut self, _: &E, share: impl FnOnce() -> Delivery<E>, _: &Way) -> Option<Delivery<E>> {
        Some(share())
    }
}

/// The first stage of a flow.
pub(crate) struct Source<E, K, M> {
    topic: Topic<E>,
    overflow: Overflow,
    keeps: K,
    make: M,
    open: Option<Open<E>>,
}

/// A source that is open.
struct Open<E> {
    /// `None` where it waits to adopt one.
    subscriber: Option<Subscriber<E>>,
    control: Arc<SourceControl>,
    outlets: Arc<Outlets<E>>,
    number: usize,
    keep: bool,
}

impl<E, K, M> Source<E, K, M> {
    pub(crate) fn new(topic: Topic<E>, overflow: Overflow, keeps: K, make: M) -> Self {
        Self {
            topic,
            overflow,
            keeps,
            make,
            open: None,
        }
    }
}

impl<E: Event> Open<E> {
    /// Tells of what came last and cannot be decoded, and takes it.
    #[inline]
    fn tell_undecodable(&self, way: &Way) {
        let undecodable = self.subscriber.as_ref().and_then(Subscriber::undecodable);
        if let Some((events, last)) = undecodable
            && last > self.control.taken()
        {
            // Some of these may be retained ones, or have been told of already.
            let events = events.min(last - self.control.taken());
            way.undecodable(&self.control, events, last + 1);
            self.control.take(last);
        }
    }

    /// There is nothing more up to this limit, or at all.
    #[cold]
    fn exhaust(&mut self, limit: u64, is_closed: bool, overflow: Overflow, way: &Way) {
        self.tell_undecodable(way);
        if let (Overflow::DropNewest, Some(subscriber)) = (overflow, &self.subscriber) {
            let lost = subscriber.ledger().dropped.newest;
            match self.control.lost_last(lost, limit) {
                0 => {}
                lag => way.lost(&self.control, lag),
            }
        }
        self.control.exhaust(limit, is_closed);
        self.end(way);
    }

    /// It has come to this limit. Where that is for good it lets go of its subscriber, which held up
    /// who publishes: in a loop, the flow itself.
    #[cold]
    fn end(&mut self, way: &Way) {
        if way.course.is_over() && self.control.is_drained() {
            self.subscriber = None;
        }
    }
}

/// Tells of what is missing before an event, since the last one that was taken.
#[cold]
fn tell_missing<E>(received: &Received<'_, E>, taken: u64, control: &SourceControl, way: &Way) {
    let sequence = received.meta().sequence();
    // Some of these may be retained ones, or have been told of already.
    let before = sequence.saturating_sub(taken + 1);
    match received.lag().min(before) {
        0 => {}
        lag => way.lost(control, lag),
    }
    match received.undecodable().min(before) {
        0 => {}
        events => way.undecodable(control, events, sequence),
    }
}

/// What was taken and not counted yet. It is, when this goes, by a panic too: once for many events
/// that are filtered out.
struct Tally<'a> {
    counts: &'a Counts,
    control: &'a SourceControl,
    /// The sequence of the last one.
    taken: u64,
    received: u64,
    filtered: u64,
}

impl Drop for Tally<'_> {
    #[inline]
    fn drop(&mut self) {
        add(&self.counts.received, self.received);
        if self.filtered > 0 {
            add(&self.counts.filtered, self.filtered);
        }
        self.control.take(self.taken);
    }
}

impl<E: Event, K: Keeps<E>, M: Make<E>> Stage for Source<E, K, M> {
    type Out = M::Out;
    const HOLDS: bool = false;

    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>, way: &Way) -> Poll<Pulled<M::Out>> {
        let (keeps, make) = (&mut self.keeps, &mut self.make);
        let Some(open) = &mut self.open else {
            return Poll::Ready(Pulled::End);
        };
        let Some(subscriber) = &mut open.subscriber else {
            return Poll::Ready(Pulled::End);
        };
        let control = &*open.control;
        let mut tally = Tally {
            counts: &way.course.counts,
            control,
            taken: control.taken(),
            received: 0,
            filtered: 0,
        };
        loop {
            // Looked at before the subscriber is: what had been published before a stop is then
            // found.
            let limit = control.limit();
            if tally.taken >= limit {
                // Nothing more, or nothing for now.
                if way.course.is_paused() {
                    return Poll::Pending;
                }
                // Nor has it gone on since.
                if control.limit() == limit {
                    drop(tally);
                    open.end(way);
                    return Poll::Ready(Pulled::End);
                }
                continue;
            }
            let received = match Pin::new(&mut subscriber.recv()).poll(cx) {
                Poll::Ready(Some(received)) => received,
                Poll::Ready(None) => {
                    drop(tally);
                    open.exhaust(limit, true, self.overflow, way);
                    return Poll::Ready(Pulled::End);
                }
                Poll::Pending if limit == u64::MAX => {
                    drop(tally);
                    open.tell_undecodable(way);
                    return Poll::Pending;
                }
                // There is nothing, or its task has had its turn.
                Poll::Pending => match subscriber.try_recv() {
                    Ok(received) => received,
                    Err(error) => {
                        drop(tally);
                        let is_closed = error == TryReceiveError::Closed;
                        open.exhaust(limit, is_closed, self.overflow, way);
                        return Poll::Ready(Pulled::End);
                    }
                },
            };
            let event = received.event();
            let sequence = received.meta().sequence();
            // Nothing is missing where one follows the other.
            if sequence != tally.taken + 1 {
                if control.is_retained(sequence) {
                    continue;
                }
                tell_missing(&received, tally.taken, control, way);
            }
            tally.received += 1;
            tally.taken = sequence;
            let place = Origin {
                source: open.number,
                sequence,
                kept: None,
            };
            let is_kept = || keeps.keeps(event, way);
            if !way.watch(None, Some(&place), is_kept) {
                tally.filtered += 1;
                continue;
            }
            let is_told_of = received.meta().details().is_some();
            let mut origin = place;
            let mut delivery = None;
            let made = way.watch(None, Some(&origin), || {
                let share = || {
                    let shared = received.into_delivery();
                    delivery = Some(shared.clone());
                    shared
                };
                make.make(event, share, way)
            });
            let Some(item) = made else {
                tally.filtered += 1;
                continue;
            };
            if open.keep || is_told_of {
                let delivery = delivery.or_else(|| subscriber.last_delivery(origin.sequence));
                origin.kept = delivery.map(|delivery| open.outlets.taken(delivery));
            }
            return Poll::Ready(Pulled::Item(item, origin));
        }
    }

    fn poll_progress(&mut self, _: &mut Context<'_>, _: &Way) {}

    fn is_closed(&self) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| open.control.is_closed())
    }

    fn visit(&mut self, visitor: &mut dyn FnMut(Part<'_>)) {
        visitor(Part::Source(self));
    }
}

impl<E: Event, K: Keeps<E>, M: Make<E>> AnySource for Source<E, K, M> {
    fn topic(&self) -> &str {
        self.topic.name()
    }

    fn dead_letter_topic(&self) -> String {
        self.topic.dead_letters().name().to_owned()
    }

    fn fault_topic(&self) -> String {
        self.topic.faults().name().to_owned()
    }

    fn open(&mut self, opening: &mut Opening<'_>) -> Result<(), BusError> {
        let dead_letters = match opening.dead_letters {
            true => Some(opening.bus.publisher(&self.topic.dead_letters())?),
            false => None,
        };
        let name = self.topic.name();
        let mut handed = opening.handed.iter();
        let (control, subscriber) = match handed.position(|control| control.topic() == name) {
            Some(place) => {
                // Of the same name: whether it is of the same type, the bus knows.
                opening.bus.publisher(&self.topic)?;
                (opening.handed.remove(place), None)
            }
            None => {
                // Before it subscribes: what is published meanwhile is its own.
                let control = Arc::new(SourceControl::of(name, opening.bus));
                let options = SubscribeOptions::from(self.overflow);
                let options = options.named(format!("flow {}", opening.flow));
                let subscriber = opening.bus.subscribe_with(&self.topic, options)?;
                (control, Some(subscriber))
            }
        };
        self.open = Some(Open {
            subscriber,
            control: Arc::clone(&control),
            outlets: Arc::new(Outlets::new(self.topic.clone(), dead_letters)),
            number: opening.controls.len(),
            keep: opening.keep,
        });
        opening.controls.push(control);
        Ok(())
    }

    fn take(&mut self) -> Option<Handed> {
        let open = self.open.take()?;
        Some(Handed {
            control: open.control,
            subscriber: Box::new(open.subscriber?),
        })
    }

    fn adopt(&mut self, handed: &mut Vec<Handed>) {
        let Some(open) = &mut self.open else {
            return;
        };
        if open.subscriber.is_some() {
            return;
        }
        let mut all = handed.iter();
        let place = all.position(|handed| Arc::ptr_eq(&handed.control, &open.control));
        if let Some(place) = place {
            let subscriber = handed.swap_remove(place).subscriber;
            open.subscriber = subscriber.downcast().ok().map(|subscriber| *subscriber);
        }
    }

    fn original(&self, origin: &Origin) -> Option<Arc<dyn Original>> {
        let open = self.open.as_ref()?;
        if open.number != origin.source {
            return None;
        }
        let delivery = open.subscriber.as_ref()?.last_delivery(origin.sequence)?;
        Some(open.outlets.taken(delivery))
    }
}
