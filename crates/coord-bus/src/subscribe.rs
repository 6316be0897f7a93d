//! Receiving: a [`Subscriber`] reads its topic event by event, borrowed where that is enough.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;
use serde::{Deserialize, Serialize};

use crate::link::{FrameSource, LinkFrame};
use crate::log::{Advance, Chunk, Cursor, Reader};
use crate::topic::Codec;
use crate::{Envelope, Event, Meta, TryReceiveError};

/// What happens to a subscriber that falls a topic's capacity behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Overflow {
    /// Publishers wait for it: it loses nothing.
    #[default]
    Block,
    /// It loses the oldest events it has not received, and learns how many from
    /// [`Received::lag`]. It never slows a publisher or another subscriber.
    DropOldest,
}

impl Overflow {
    pub(crate) fn is_lossless(self) -> bool {
        self == Self::Block
    }
}

/// How to subscribe, where the defaults are not what is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscribeOptions {
    /// What happens when it falls behind; [`Overflow::Block`] by default.
    pub overflow: Overflow,
}

impl From<Overflow> for SubscribeOptions {
    fn from(overflow: Overflow) -> Self {
        Self { overflow }
    }
}

/// Receives every event published to one topic since it subscribed, in the topic's order.
///
/// [`recv`](Self::recv) lends each event; as a [`Stream`], a subscriber hands out owned
/// [`Delivery`]s, which share the event rather than clone it.
///
/// # Lagging
///
/// With [`Overflow::Block`], a subscriber that does not receive makes publishers wait. With
/// [`Overflow::DropOldest`] it loses events instead, and the first event after a loss says how
/// many: [`Received::lag`].
///
/// # Closing
///
/// When the topic is closed, what has been accepted is still received; then comes `None`.
/// Dropping the subscriber is how to unsubscribe.
pub struct Subscriber<E> {
    /// Events at hand, `chunk[index..filled]` of them to be received yet.
    chunk: Chunk<E>,
    index: usize,
    filled: usize,
    /// The sequence of the chunk's first event.
    first: u64,
    gap: Gap,
    cursor: Arc<Cursor>,
    source: Source<E>,
}

enum Source<E> {
    Log(Reader<E>),
    Link {
        topic: Arc<str>,
        frames: Box<dyn FrameSource>,
        codec: Codec<E>,
    },
}

/// What is missing just before one event.
#[derive(Debug, Clone, Copy, Default)]
struct Gap {
    before: u64,
    lag: u64,
    undecodable: u64,
}

impl<E> Subscriber<E> {
    pub(crate) fn of_log(reader: Reader<E>, cursor: Arc<Cursor>) -> Self {
        Self::new(cursor, Source::Log(reader))
    }

    pub(crate) fn of_link(topic: Arc<str>, frames: Box<dyn FrameSource>, codec: Codec<E>) -> Self {
        let source = Source::Link {
            topic,
            frames,
            codec,
        };
        Self::new(Arc::new(Cursor::at(0)), source)
    }

    fn new(cursor: Arc<Cursor>, source: Source<E>) -> Self {
        Self {
            chunk: Chunk::default(),
            index: 0,
            filled: 0,
            first: 0,
            gap: Gap::default(),
            cursor,
            source,
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        match &self.source {
            Source::Log(reader) => reader.topic(),
            Source::Link { topic, .. } => topic,
        }
    }

    /// The next event, or `None` once the topic is closed and everything has been received.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing has been received and nothing is lost.
    #[inline]
    pub async fn recv(&mut self) -> Option<Received<'_, E>> {
        if self.index == self.filled && !poll_fn(|cx| self.poll_chunk(cx)).await {
            return None;
        }
        self.take()
    }

    /// The next event, if there is one already.
    ///
    /// # Errors
    ///
    /// Says whether there may be one later.
    pub fn try_recv(&mut self) -> Result<Received<'_, E>, TryReceiveError> {
        if self.index < self.filled {
            return self.take().ok_or(TryReceiveError::Empty);
        }
        match self.poll_more(None) {
            Poll::Ready(true) => self.take().ok_or(TryReceiveError::Empty),
            Poll::Ready(false) => Err(TryReceiveError::Closed),
            Poll::Pending => Err(TryReceiveError::Empty),
        }
    }

    /// Gets the next chunk. One unit of a task's budget for each: a subscriber that always finds
    /// more still lets its neighbours run.
    #[inline(never)]
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        let more = self.poll_more(Some(cx.waker()));
        if more.is_ready() {
            budget.made_progress();
        }
        more
    }

    fn poll_more(&mut self, waker: Option<&Waker>) -> Poll<bool> {
        match &mut self.source {
            Source::Log(reader) => {
                let whole = self.index == self.chunk.len();
                if !whole {
                    let filled = (reader.filled() - self.first) as usize;
                    self.filled = filled.min(self.chunk.len());
                    if self.index < self.filled {
                        return Poll::Ready(true);
                    }
                }
                // What was read is let go of first: whoever has read everything keeps no event
                // alive.
                self.chunk = Chunk::default();
                self.index = 0;
                self.filled = 0;
                match reader.advance(whole, waker) {
                    Advance::Chunk {
                        chunk,
                        first,
                        start,
                        end,
                        missed,
                    } => {
                        self.chunk = chunk;
                        self.first = first;
                        self.index = (start - first) as usize;
                        self.filled = (end - first) as usize;
                        self.gap = Gap {
                            before: start,
                            lag: missed,
                            undecodable: 0,
                        };
                        Poll::Ready(true)
                    }
                    Advance::Empty => Poll::Pending,
                    Advance::Closed => Poll::Ready(false),
                }
            }
            Source::Link { frames, codec, .. } => {
                let mut cx = Context::from_waker(waker.unwrap_or(Waker::noop()));
                // A gap may grow over several calls, until an event comes that can tell of it.
                if self.gap.before != 0 {
                    self.gap = Gap::default();
                }
                loop {
                    let Some(LinkFrame {
                        frame,
                        sequence,
                        lag,
                    }) = ready!(frames.poll_frame(&mut cx))
                    else {
                        return Poll::Ready(false);
                    };
                    self.gap.lag += lag;
                    match (codec.decode)(&frame.payload) {
                        Ok(event) => {
                            self.chunk = Arc::new([OnceLock::from(Envelope {
                                event,
                                details: frame.details,
                            })]);
                            self.index = 0;
                            self.filled = 1;
                            self.first = sequence;
                            self.gap.before = sequence;
                            return Poll::Ready(true);
                        }
                        Err(_) => self.gap.undecodable += 1,
                    }
                }
            }
        }
    }

    /// Hands out the next event at hand. `None` does not happen: filled places are filled.
    #[inline]
    fn take(&mut self) -> Option<Received<'_, E>> {
        let index = self.index;
        self.index = index + 1;
        let position = self.first + self.index as u64;
        self.cursor.position.store(position, Ordering::Release);
        if self.index == self.filled
            && let Source::Log(reader) = &self.source
        {
            reader.caught_up(self.first);
        }
        Some(Received {
            envelope: self.chunk.get(index)?.get()?,
            subscriber: self,
        })
    }

    fn sequence(&self) -> u64 {
        self.first + self.index as u64 - 1
    }

    fn gap(&self) -> Gap {
        if self.gap.before == self.sequence() {
            self.gap
        } else {
            Gap::default()
        }
    }
}

impl<E: Event> Stream for Subscriber<E> {
    type Item = Delivery<E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.index == self.filled && !ready!(self.poll_chunk(cx)) {
            return Poll::Ready(None);
        }
        Poll::Ready(self.take().map(Received::into_delivery))
    }
}

// Nothing in a subscriber is pinned; events are only ever reached through a shared chunk.
impl<E> Unpin for Subscriber<E> {}

impl<E> fmt::Debug for Subscriber<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Subscriber")
            .field("topic", &self.topic())
            .finish_non_exhaustive()
    }
}

/// An event lent by a [`Subscriber`] until it receives the next. Derefs to the event.
pub struct Received<'a, E> {
    envelope: &'a Envelope<E>,
    subscriber: &'a Subscriber<E>,
}

impl<'a, E> Received<'a, E> {
    /// The event, for as long as the subscriber lends it.
    pub fn event(&self) -> &'a E {
        &self.envelope.event
    }

    /// What is known of the event besides.
    pub fn meta(&self) -> Meta<'a> {
        Meta {
            topic: self.subscriber.topic(),
            sequence: self.subscriber.sequence(),
            details: self.envelope.details(),
        }
    }

    /// How many events just before this one the subscriber's overflow dropped.
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
        Delivery {
            topic: match &subscriber.source {
                Source::Log(reader) => Arc::clone(reader.topic()),
                Source::Link { topic, .. } => Arc::clone(topic),
            },
            chunk: Arc::clone(&subscriber.chunk),
            index: subscriber.index - 1,
            sequence: subscriber.sequence(),
            gap: subscriber.gap(),
        }
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
