//! Publishing: a [`Publisher`] resolves its topic once, and then puts events into it.

use std::fmt;
use std::future::{self, Future};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::{self, Thread};
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio::runtime::Handle;

use crate::handling::{self, Awaited, Patience};
use crate::link::{Frame, Link, LinkError};
use crate::log::Append;
use crate::topic::Codec;
use crate::{Drained, Envelope, Event, Log, Refusal, Refused, TopicStats, time};

/// How soon who waits for room on a thread of its own looks for some, and how often at the last.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(100);

/// Publishes events to one topic. Cheap to clone; clones publish to the same topic.
///
/// # Order
///
/// Events published one after another, by one task or with a happens-before between them, are
/// received in that order. All subscribers of a topic receive the same order.
pub struct Publisher<E> {
    topic: Arc<str>,
    entrance: Entrance<E>,
}

enum Entrance<E> {
    Log(Log<E>),
    Link {
        link: Arc<dyn Link>,
        codec: Codec<E>,
    },
}

impl<E: Event> Publisher<E> {
    pub(crate) fn to_log(log: Log<E>) -> Self {
        Self {
            topic: Arc::clone(log.topic()),
            entrance: Entrance::Log(log),
        }
    }

    pub(crate) fn to_link(topic: Arc<str>, link: Arc<dyn Link>, codec: Codec<E>) -> Self {
        Self {
            topic,
            entrance: Entrance::Link { link, codec },
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Publishes an event, waiting for room where a lossless subscriber has left none. Over a
    /// link, resolves once the other side has it.
    ///
    /// # Waiting for room
    ///
    /// Who waits is woken once a good part of the topic's [capacity](crate::Topic::capacity) is free, a quarter to a
    /// half of it, and not for each event that is received: a publisher and a subscriber that took turns would be
    /// much slower than either. So it may wait for a while though there is some room, and for good where the
    /// subscriber itself waits for what comes of this event before it receives the next. Whenever the future is polled
    /// it looks for itself: so within a [`timeout`](crate::time::timeout) it is published, if there is room, at the
    /// latest as that is over.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// # use coord_bus::{Bus, BusExt, LocalBus, Topic};
    /// use std::time::Duration;
    ///
    /// use coord_bus::time::timeout;
    ///
    /// const QUESTIONS: Topic<u32> = Topic::new("questions").capacity(100);
    /// let bus = LocalBus::new();
    /// let (publisher, mut questions) = (bus.publisher(&QUESTIONS)?, bus.subscribe(&QUESTIONS)?);
    /// # let answering = async { for _ in 0..10 { questions.recv().await; } std::future::pending::<()>().await };
    /// # let asking = async {
    /// for question in 0..110 {
    ///     let mut publishing = publisher.publish(question);
    ///     // It goes on within 10 ms of there being room for it.
    ///     while timeout(Duration::from_millis(10), &mut publishing).await.is_err() {}
    /// }
    /// # };
    /// # tokio::select! { () = answering => {}, () = asking => {} }
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// With a capacity of less than eight, who waits is woken for each event that is received.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the event is not published; over a link it may have been.
    ///
    /// # Errors
    ///
    /// When the topic is closed or its link fails; the event comes back.
    #[inline]
    pub fn publish(&self, event: E) -> Publish<'_, E, E> {
        self.start(Envelope::new(event), Envelope::into_event)
    }

    /// [`publish`](Self::publish), with details.
    ///
    /// # Errors
    ///
    /// When the topic is closed or its link fails; the envelope comes back.
    #[inline]
    pub fn publish_with(&self, envelope: Envelope<E>) -> Publish<'_, E, Envelope<E>> {
        self.start(envelope, |envelope| envelope)
    }

    #[inline]
    fn start<T>(
        &self,
        envelope: Envelope<E>,
        give_back: fn(Envelope<E>) -> T,
    ) -> Publish<'_, E, T> {
        let way = match &self.entrance {
            Entrance::Log(log) => Way::Log(log.append(envelope)),
            Entrance::Link { link, codec } => Way::Link {
                link: &**link,
                codec: *codec,
                envelope: Some(envelope),
                sending: Sending::NotYet,
            },
        };
        Publish {
            topic: &self.topic,
            way,
            give_back,
        }
    }

    /// Publishes an event if there is room for it now.
    ///
    /// # Errors
    ///
    /// When the topic is full or closed, or its link fails; the event comes back.
    pub fn try_publish(&self, event: E) -> Result<(), Refused<E>> {
        self.try_publish_with(Envelope::new(event))
            .map_err(|refused| refused.map(Envelope::into_event))
    }

    /// [`try_publish`](Self::try_publish), with details.
    ///
    /// # Errors
    ///
    /// When the topic is full or closed, or its link fails; the envelope comes back.
    pub fn try_publish_with(&self, mut envelope: Envelope<E>) -> Result<(), Refused<Envelope<E>>> {
        if handling::is_active() {
            handling::mark(&mut envelope);
        }
        let refused = match &self.entrance {
            Entrance::Log(log) => log.try_append(envelope),
            Entrance::Link { link, codec } => match frame(codec, &envelope) {
                Ok(frame) => link
                    .try_send(frame)
                    .map_err(|error| (envelope, error.into())),
                Err(refusal) => Err((envelope, refusal)),
            },
        };
        refused.map_err(|refused| self.refused(refused))
    }

    /// [`publish`](Self::publish) for threads outside the async runtime: blocks the thread until
    /// there is room. On a runtime's own threads, use `publish`. It looks for room by itself, too, at most a tenth of a
    /// second apart.
    ///
    /// # Errors
    ///
    /// When the topic is closed or its link fails; the event comes back.
    ///
    /// # Panics
    ///
    /// On a thread that is just driving tasks of a tokio runtime, whether there is room or not: it might wait for what
    /// only that thread can do. Those of `spawn_blocking` are not.
    pub fn publish_blocking(&self, event: E) -> Result<(), Refused<E>> {
        if let Ok(runtime) = Handle::try_current() {
            // It panics on a thread that drives tasks.
            runtime.block_on(future::ready(()));
        }
        let mut looks = LOOK_FIRST;
        park_on(self.publish(event), || {
            thread::park_timeout(looks);
            looks = LOOK_LAST.min(looks * 2);
        })
    }

    /// Shuts the entrance of the topic, for everybody, now and for good. Subscribers still get what
    /// has been accepted, and then `None`.
    pub fn close(&self) {
        match &self.entrance {
            Entrance::Log(log) => log.close(),
            Entrance::Link { link, .. } => link.close(),
        }
    }

    /// [`close`](Self::close)s the topic and waits until every subscriber has got everything, at
    /// most for `deadline`. What was delivered meanwhile, and what was left.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the topic is closed and nothing is lost.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        self.close();
        let before = self.stats();
        let drained = async {
            match &self.entrance {
                Entrance::Log(log) => log.drained().await,
                Entrance::Link { link, .. } => link.drained().await,
            }
        };
        // In time or not: the counts say it.
        let _ = time::timeout(deadline, drained).await;
        Drained::between(&[before], vec![self.stats()])
    }

    /// What the topic has counted.
    pub fn stats(&self) -> TopicStats {
        match &self.entrance {
            Entrance::Log(log) => log.stats(),
            Entrance::Link { link, .. } => link.stats(),
        }
    }

    /// Whether anybody is subscribed: where nobody is, there is no need to make up an event. Over a
    /// link, where this cannot be known, it is taken to be so. It costs a read of memory, and sees
    /// every subscriber that was there before it is called.
    #[inline]
    pub fn is_heard(&self) -> bool {
        match &self.entrance {
            Entrance::Log(log) => log.has_subscribers(),
            Entrance::Link { .. } => true,
        }
    }

    #[cold]
    fn refused(&self, (event, reason): (Envelope<E>, Refusal)) -> Refused<Envelope<E>> {
        Refused {
            event,
            topic: Arc::clone(&self.topic),
            reason,
        }
    }
}

/// The future of [`Publisher::publish`] and [`Publisher::publish_with`]; `T` is what comes back
/// when it is refused.
#[must_use = "an event is published when this is awaited"]
pub struct Publish<'a, E, T> {
    topic: &'a Arc<str>,
    way: Way<'a, E>,
    give_back: fn(Envelope<E>) -> T,
}

enum Way<'a, E> {
    Log(Append<'a, E>),
    Link {
        link: &'a dyn Link,
        codec: Codec<E>,
        envelope: Option<Envelope<E>>,
        sending: Sending<'a>,
    },
}

/// An event on its way into a link.
enum Sending<'a> {
    NotYet,
    /// It is full, for who handles an event.
    Full(Box<Patience>),
    Begun(BoxFuture<'a, Result<(), LinkError>>),
}

// The event is moved, never pinned.
impl<E, T> Unpin for Publish<'_, E, T> {}

impl<E, T> Future for Publish<'_, E, T> {
    type Output = Result<(), Refused<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if handling::is_active() {
            this.way.mark();
        }
        let refused = match &mut this.way {
            Way::Log(append) => match ready!(Pin::new(append).poll(cx)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(refused) => Some(refused),
            },
            Way::Link {
                link,
                codec,
                envelope,
                sending,
            } => match ready!(poll_link(this.topic, *link, codec, envelope, sending, cx)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(refusal) => envelope.take().zip(Some(refusal)),
            },
        };
        let Some((envelope, reason)) = refused else {
            panic!("polled after it was done");
        };
        Poll::Ready(Err(Refused {
            event: (this.give_back)(envelope),
            topic: Arc::clone(this.topic),
            reason,
        }))
    }
}

impl<E> Way<'_, E> {
    #[cold]
    fn mark(&mut self) {
        let envelope = match self {
            Self::Log(append) => append.envelope_mut(),
            // What is on its way says what it said when it left.
            Self::Link {
                sending: Sending::Begun(_),
                ..
            } => None,
            Self::Link { envelope, .. } => envelope.as_mut(),
        };
        if let Some(envelope) = envelope {
            handling::mark(envelope);
        }
    }
}

fn poll_link<'a, E>(
    topic: &Arc<str>,
    link: &'a dyn Link,
    codec: &Codec<E>,
    envelope: &Option<Envelope<E>>,
    sending: &mut Sending<'a>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Refusal>> {
    loop {
        if let Sending::Begun(sending) = sending {
            return sending.as_mut().poll(cx).map_err(Refusal::from);
        }
        let Some(envelope) = envelope else {
            return Poll::Ready(Ok(()));
        };
        let frame = frame(codec, envelope)?;
        if !handling::is_active() {
            *sending = Sending::Begun(link.send(frame));
            continue;
        }
        // Whoever handles an event may be the one that everybody waits for.
        let sent = link.try_send(frame).map_err(Refusal::from);
        if !matches!(sent, Err(Refusal::Full)) {
            *sending = Sending::NotYet;
            return Poll::Ready(sent);
        }
        if let Sending::NotYet = sending {
            let delivered = link.stats().ledger.delivered;
            let awaited = Awaited::Link(Arc::clone(topic));
            *sending = Sending::Full(Patience::begin(&awaited, delivered)?);
        }
        if let Sending::Full(patience) = sending
            && let Some(refusal) = ready!(patience.poll(link.stats().ledger.delivered, cx))
        {
            return Poll::Ready(Err(refusal));
        }
    }
}

fn frame<E>(codec: &Codec<E>, envelope: &Envelope<E>) -> Result<Frame, Refusal> {
    Ok(Frame {
        payload: (codec.encode)(&envelope.event).map_err(Refusal::Encode)?,
        details: envelope.details.clone(),
    })
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Full => Self::Full,
            LinkError::Closed => Self::Closed,
            LinkError::Failed(source) => Self::Link(source),
        }
    }
}

impl<E: Event> Clone for Publisher<E> {
    fn clone(&self) -> Self {
        Self {
            topic: Arc::clone(&self.topic),
            entrance: match &self.entrance {
                Entrance::Log(log) => Entrance::Log(log.clone()),
                Entrance::Link { link, codec } => Entrance::Link {
                    link: Arc::clone(link),
                    codec: *codec,
                },
            },
        }
    }
}

impl<E> fmt::Debug for Publisher<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Publisher")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// Drives a future on this thread, which sleeps whenever the future waits. Panics on one that is just
/// driving tasks of a runtime.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    match Handle::try_current() {
        Ok(runtime) => runtime.block_on(future),
        Err(_) => park_on(future, thread::park),
    }
}

/// The same, whatever the thread; it sleeps in this way, and looks again then.
fn park_on<F: Future>(future: F, mut park: impl FnMut()) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        park();
    }
}
