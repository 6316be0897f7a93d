//! What is received: an event that is lent ([`Received`]), one that is owned ([`Delivery`]), and
//! several that are lent at once ([`Batch`]).

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Deref;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::log::{Chunk, Kept, Lent, OnceLock, Reader};
use crate::subscribe::Gap;
use crate::{Details, Envelope, Meta, Subscriber};

/// An event lent by a [`Subscriber`] until it receives the next. Derefs to the event.
pub struct Received<'a, E> {
    envelope: &'a Envelope<E>,
    subscriber: &'a Subscriber<E>,
}

impl<'a, E> Received<'a, E> {
    #[inline]
    pub(crate) fn new(envelope: &'a Envelope<E>, subscriber: &'a Subscriber<E>) -> Self {
        Self {
            envelope,
            subscriber,
        }
    }

    /// The event, for as long as the subscriber lends it.
    pub fn event(&self) -> &'a E {
        &self.envelope.event
    }

    /// What is known of the event besides.
    pub fn meta(&self) -> Meta<'a> {
        Meta {
            topic: self.subscriber.shared_topic(),
            sequence: self.subscriber.sequence(),
            details: self.envelope.details(),
        }
    }

    /// How many events just before this one the subscriber did not get, because its overflow
    /// dropped them or newer ones took their place.
    pub fn lag(&self) -> u64 {
        self.subscriber.gap().lag
    }

    /// How many events just before this one could not be decoded as `E`: published by a program
    /// that knows the topic differently. Always 0 within one process.
    pub fn undecodable(&self) -> u64 {
        self.subscriber.gap().undecodable
    }

    /// The same event, owned: it outlives the subscriber, and costs a reference count.
    pub fn into_delivery(self) -> Delivery<E> {
        let subscriber = self.subscriber;
        let (chunk, index) = subscriber.last();
        Delivery::at(
            Arc::clone(subscriber.shared_topic()),
            Arc::clone(chunk),
            index,
            subscriber.sequence(),
            subscriber.gap(),
        )
    }
}

impl<E> Deref for Received<'_, E> {
    type Target = E;

    fn deref(&self) -> &E {
        self.event()
    }
}

impl<E: fmt::Debug> fmt::Debug for Received<'_, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

/// A received event, owned. Derefs to the event, which is shared with the other subscribers.
///
/// Keeping one keeps the chunk alive that it was published in: at most 128 events.
pub struct Delivery<E> {
    topic: Arc<str>,
    chunk: Chunk<E>,
    index: usize,
    sequence: u64,
    gap: Gap,
}

impl<E> Delivery<E> {
    #[cfg(feature = "test-util")]
    pub(crate) fn of(
        topic: Arc<str>,
        chunk: Chunk<E>,
        index: usize,
        sequence: u64,
        lag: u64,
    ) -> Self {
        Self::at(topic, chunk, index, sequence, Gap::of(sequence, lag))
    }

    /// The event at a place of a chunk.
    pub(crate) fn at(
        topic: Arc<str>,
        chunk: Chunk<E>,
        index: usize,
        sequence: u64,
        gap: Gap,
    ) -> Self {
        Self {
            topic,
            chunk,
            index,
            sequence,
            gap,
        }
    }

    /// An event that shares its chunk with no other.
    pub(crate) fn alone(
        topic: Arc<str>,
        event: E,
        details: Option<Box<Details>>,
        sequence: u64,
    ) -> Self {
        let kept = Kept::new(event, details, sequence);
        Self {
            topic,
            chunk: kept.chunk,
            index: kept.index,
            sequence,
            gap: Gap::default(),
        }
    }

    /// The topic's name.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    fn envelope(&self) -> &Envelope<E> {
        let place = self.chunk[self.index].get();
        place.expect("what was received is there for good")
    }

    /// What is known of the event besides.
    pub fn meta(&self) -> Meta<'_> {
        Meta {
            topic: &self.topic,
            sequence: self.sequence,
            details: self.envelope().details(),
        }
    }

    /// As [`Received::lag`].
    pub fn lag(&self) -> u64 {
        self.gap.lag
    }

    /// As [`Received::undecodable`].
    pub fn undecodable(&self) -> u64 {
        self.gap.undecodable
    }
}

impl<E> Deref for Delivery<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.envelope().event
    }
}

impl<E> Clone for Delivery<E> {
    fn clone(&self) -> Self {
        Self {
            topic: Arc::clone(&self.topic),
            chunk: Arc::clone(&self.chunk),
            ..*self
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for Delivery<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

/// Events that a [`Subscriber`] lends, in order: see [`Subscriber::recv_many`].
#[must_use = "what is not iterated over is still to be received"]
pub struct Batch<'a, E> {
    events: slice::Iter<'a, OnceLock<Envelope<E>>>,
    lent: Lent<'a, E>,
    /// Told when everything that is known of has been received.
    reader: Option<&'a Reader<E>>,
}

impl<'a, E> Batch<'a, E> {
    pub(crate) fn of(lent: Lent<'a, E>, reader: Option<&'a Reader<E>>) -> Self {
        Self {
            events: lent.events.iter(),
            lent,
            reader,
        }
    }
}

impl<'a, E> Iterator for Batch<'a, E> {
    type Item = &'a E;

    #[inline]
    fn next(&mut self) -> Option<&'a E> {
        // Filled places are filled.
        self.events.next()?.get().map(Envelope::event)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.events.size_hint()
    }
}

impl<E> ExactSizeIterator for Batch<'_, E> {}
impl<E> FusedIterator for Batch<'_, E> {}

impl<E> Drop for Batch<'_, E> {
    fn drop(&mut self) {
        let lent = &mut self.lent;
        let received = lent.events.len() - self.events.len();
        *lent.index += received;
        let position = lent.first + *lent.index as u64;
        lent.cursor.position.store(position, Ordering::Release);
        if self.events.len() == 0
            && let Some(reader) = self.reader
        {
            reader.caught_up(lent.first);
        }
    }
}

impl<E> fmt::Debug for Batch<'_, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Batch")
            .field("left", &self.events.len())
            .finish_non_exhaustive()
    }
}
