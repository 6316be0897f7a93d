//! Receiving: a [`Subscriber`] reads its topic event by event, borrowed where that is enough.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::link::{FrameSource, LinkFrame};
use crate::log::{Chunk, Cursor, Hand, Kept, More, Reader, Sieve};
use crate::publish::block_on;
use crate::received::{Batch, Received};
use crate::topic::Codec;
use crate::{Delivery, Event, Ledger, TryReceiveError, time};

/// Receives every event published to one topic since it subscribed, in the topic's order.
///
/// [`recv`](Self::recv) lends each event; as a [`Stream`], a subscriber hands out owned
/// [`Delivery`]s, which share the event rather than clone it.
///
/// # Lagging
///
/// With [`Overflow::Block`](crate::Overflow::Block), a subscriber that does not receive makes
/// publishers wait. With any other it does not get some events instead, and the first event after
/// a loss says how many: [`Received::lag`].
///
/// # Closing
///
/// When the topic is closed, what has been accepted is still received; then comes `None`.
/// [`close`](Self::close) does the same for one subscriber. Dropping it is how to unsubscribe at
/// once.
pub struct Subscriber<E> {
    hand: Hand<E>,
    gap: Gap,
    source: Source<E>,
}

enum Source<E> {
    Log(Reader<E>),
    /// Of which only the newest event is wanted.
    Latest(Reader<E>),
    /// Of which not all events are wanted.
    Sieve(Arc<str>, Arc<Sieve<E>>),
    Link {
        topic: Arc<str>,
        frames: Box<dyn FrameSource>,
        codec: Codec<E>,
    },
}

/// What is missing just before one event.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gap {
    before: u64,
    pub(crate) lag: u64,
    pub(crate) undecodable: u64,
    /// The sequence of the last one that could not be decoded.
    undecodable_up_to: u64,
}

impl Gap {
    pub(crate) fn of(before: u64, lag: u64) -> Self {
        Self {
            before,
            lag,
            undecodable: 0,
            undecodable_up_to: 0,
        }
    }
}

impl<E> Subscriber<E> {
    pub(crate) fn of_log(reader: Reader<E>, cursor: Arc<Cursor>, latest: bool) -> Self {
        let source = match latest {
            true => Source::Latest(reader),
            false => Source::Log(reader),
        };
        Self::new(cursor, source)
    }

    pub(crate) fn of_sieve(sieve: Arc<Sieve<E>>) -> Self {
        Self::new(Arc::new(Cursor::at(0)), Source::Sieve(sieve.topic(), sieve))
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
            hand: Hand::new(cursor),
            gap: Gap::default(),
            source,
        }
    }

    /// The next event, or `None` once the topic is closed and everything has been received.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing has been received and nothing is lost.
    #[inline]
    pub fn recv(&mut self) -> Recv<'_, E> {
        Recv(Some(self))
    }

    /// [`recv`](Self::recv) for threads outside the async runtime: blocks the thread until there is an
    /// event, or none any more. On a runtime's own threads, use `recv`.
    ///
    /// # Panics
    ///
    /// On a thread that is just driving tasks of a tokio runtime, whether there is an event or not: it might wait for
    /// what only that thread can do. Those of `spawn_blocking` are not.
    pub fn recv_blocking(&mut self) -> Option<Received<'_, E>> {
        block_on(self.recv())
    }

    /// The next event, if there is one already.
    ///
    /// # Errors
    ///
    /// Says whether there may be one later.
    pub fn try_recv(&mut self) -> Result<Received<'_, E>, TryReceiveError> {
        match self.next(None) {
            More::Yes(received) => Ok(received),
            More::Closed => Err(TryReceiveError::Closed),
            More::Empty => Err(TryReceiveError::Empty),
        }
    }

    /// The next event, if there is one already; or else the waker is woken once there is.
    pub(crate) fn next(&mut self, waker: Option<&Waker>) -> More<Received<'_, E>> {
        if self.hand.is_at_end() {
            match self.more(waker) {
                More::Yes(()) => {}
                More::Closed => return More::Closed,
                More::Empty => return More::Empty,
            }
        }
        self.take().map_or(More::Empty, More::Yes)
    }

    /// The events that are there, at most a chunk of 128, or `None` once the topic is closed and
    /// everything has been received. Iterating over them costs less than [`recv`](Self::recv) for
    /// each; what has not been iterated over when they are dropped is still to be received.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use coord_bus::{Log, Overflow};
    /// # let log = Log::new("numbers", 1024);
    /// # let mut numbers = log.subscribe(Overflow::Block);
    /// # for number in [3, 4] { log.append(number.into()).await.unwrap(); }
    /// # drop(log);
    /// let mut sum = 0;
    /// while let Some(batch) = numbers.recv_many().await {
    ///     sum += batch.sum::<u32>();
    /// }
    /// # assert_eq!(sum, 7);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing has been received and nothing is lost.
    #[inline]
    pub async fn recv_many(&mut self) -> Option<Batch<'_, E>> {
        if self.hand.is_at_end() && !poll_fn(|cx| self.poll_more(cx)).await {
            return None;
        }
        let reader = match &self.source {
            Source::Log(reader) | Source::Latest(reader) => Some(reader),
            Source::Sieve(..) | Source::Link { .. } => None,
        };
        Some(Batch::of(self.hand.lend(), reader))
    }

    /// Takes nothing that is published from now on, and holds no publisher up any more. What was
    /// published before is still received, and then `None`.
    pub fn close(&mut self) {
        match &mut self.source {
            Source::Log(reader) | Source::Latest(reader) => reader.stop(),
            Source::Sieve(_, sieve) => sieve.stop(),
            Source::Link { frames, .. } => frames.close(),
        }
    }

    /// [`close`](Self::close)s it and hands what was published before to `each`, one after another,
    /// at most for `deadline`. What became of everything; what was left at the deadline is in
    /// flight there, and can still be received.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it is closed, and what `each` was at is not handed out again.
    pub async fn drain(
        &mut self,
        deadline: Duration,
        mut each: impl AsyncFnMut(Received<'_, E>),
    ) -> Ledger {
        self.close();
        let all = async {
            while let Some(received) = self.recv().await {
                each(received).await;
            }
        };
        // In time or not: the ledger says it.
        let _ = time::timeout(deadline, all).await;
        self.ledger()
    }

    /// What became of the events that it was to get.
    pub fn ledger(&self) -> Ledger {
        match &self.source {
            Source::Log(reader) | Source::Latest(reader) => reader.ledger(),
            Source::Sieve(_, sieve) => sieve.ledger(),
            Source::Link { frames, .. } => frames.ledger(),
        }
    }

    /// Gets more events. One unit of a task's budget for each time: a subscriber that always finds
    /// more still lets its neighbours run.
    #[inline(never)]
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        let more = match self.more(Some(cx.waker())) {
            More::Yes(()) => true,
            More::Closed => false,
            More::Empty => return Poll::Pending,
        };
        budget.made_progress();
        Poll::Ready(more)
    }

    pub(crate) fn poll_delivery(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery<E>>> {
        if self.hand.is_at_end() && !ready!(self.poll_more(cx)) {
            return Poll::Ready(None);
        }
        Poll::Ready(self.take().map(Received::into_delivery))
    }

    fn more(&mut self, waker: Option<&Waker>) -> More<()> {
        match &mut self.source {
            Source::Log(reader) => {
                let more = self.hand.more(reader, waker);
                if let More::Yes(missed) = more
                    && missed > 0
                {
                    self.gap = Gap::of(self.hand.position(), missed);
                }
                more.map(drop)
            }
            Source::Latest(reader) => {
                let more = self.hand.newest(reader, waker);
                if let More::Yes(missed) = more {
                    self.gap = Gap::of(self.hand.position(), missed);
                }
                more.map(drop)
            }
            Source::Sieve(_, sieve) => {
                self.hand.let_go();
                sieve.next(waker).map(|kept| {
                    self.gap = Gap::of(kept.sequence, kept.lag);
                    self.hand.hold(kept);
                })
            }
            Source::Link { frames, codec, .. } => {
                let mut cx = Context::from_waker(waker.unwrap_or(Waker::noop()));
                self.hand.let_go();
                // A gap may grow over several calls, until an event comes that can tell of it.
                if self.gap.before != 0 {
                    self.gap = Gap::default();
                }
                loop {
                    let Poll::Ready(next) = frames.poll_frame(&mut cx) else {
                        return More::Empty;
                    };
                    let Some(LinkFrame {
                        frame,
                        sequence,
                        lag,
                    }) = next
                    else {
                        return More::Closed;
                    };
                    self.gap.lag += lag;
                    match (codec.decode)(&frame.payload) {
                        Ok(event) => {
                            self.gap.before = sequence;
                            self.hand.hold(Kept::new(event, frame.details, sequence));
                            return More::Yes(());
                        }
                        Err(_) => {
                            self.gap.undecodable += 1;
                            self.gap.undecodable_up_to = sequence;
                        }
                    }
                }
            }
        }
    }

    /// Hands out the next event at hand. `None` does not happen: filled places are filled.
    #[inline]
    fn take(&mut self) -> Option<Received<'_, E>> {
        let index = self.hand.next_index()?;
        self.hand.pass(1);
        if self.hand.is_at_end()
            && let Source::Log(reader) | Source::Latest(reader) = &self.source
        {
            reader.caught_up(self.hand.first());
        }
        Some(Received::new(self.hand.envelope(index)?, self))
    }
}

impl<E> Subscriber<E> {
    /// The chunk in which the event stands that was handed out last, and where.
    pub(crate) fn last(&self) -> (&Chunk<E>, usize) {
        (self.hand.chunk(), self.hand.last_index())
    }

    /// The event of this sequence once more, owned, if it is the one that was handed out last and
    /// nothing was asked for since: for who finds out late that it has to be kept.
    pub fn last_delivery(&self, sequence: u64) -> Option<Delivery<E>> {
        let (chunk, index) = self.hand.last()?;
        if self.sequence() != sequence {
            return None;
        }
        let topic = Arc::clone(self.shared_topic());
        Some(Delivery::at(topic, chunk, index, sequence, self.gap()))
    }

    /// What has come since the last event that it received and could not be decoded, if anything:
    /// how many, and the sequence of the last of them. The next event that it receives tells of them
    /// again, as [`Received::undecodable`]; this is for who cannot wait for one. Always `None` within
    /// one process.
    pub fn undecodable(&self) -> Option<(u64, u64)> {
        let Gap {
            before,
            undecodable,
            undecodable_up_to,
            ..
        } = self.gap;
        (before == 0 && undecodable > 0).then_some((undecodable, undecodable_up_to))
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.shared_topic()
    }

    pub(crate) fn shared_topic(&self) -> &Arc<str> {
        match &self.source {
            Source::Log(reader) | Source::Latest(reader) => reader.topic(),
            Source::Sieve(topic, _) | Source::Link { topic, .. } => topic,
        }
    }

    /// The sequence of the event that was handed out last.
    pub(crate) fn sequence(&self) -> u64 {
        self.hand.position() - 1
    }

    pub(crate) fn gap(&self) -> Gap {
        if self.gap.before == self.sequence() {
            self.gap
        } else {
            Gap::default()
        }
    }
}

/// The future of [`Subscriber::recv`]. By hand, as an `async fn` is not inlined where it is awaited
/// in a large one, and then costs more than all the rest.
#[must_use = "an event is received when this is awaited"]
pub struct Recv<'a, E>(Option<&'a mut Subscriber<E>>);

impl<'a, E> Future for Recv<'a, E> {
    type Output = Option<Received<'a, E>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(subscriber) = self.0.take() else {
            panic!("polled after it was done");
        };
        if subscriber.hand.is_at_end() {
            match subscriber.poll_more(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(None),
                Poll::Pending => {
                    self.0 = Some(subscriber);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(subscriber.take())
    }
}

impl<E: Event> Stream for Subscriber<E> {
    type Item = Delivery<E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_delivery(cx)
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
