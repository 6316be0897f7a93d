//! A topic's events: a broadcast log of chunks, with a cursor for each subscriber.
//!
//! A chunk is a row of places that are filled one after another and never change again. Publishing
//! fills the next place under one short lock. A subscriber holds the chunk that it reads, and
//! reads as far as the log says that places are filled: event by event without a lock, an atomic
//! increment or a clone. It takes the lock to get the next chunk, and to go to sleep.
//!
//! # Room
//!
//! A lossless subscriber holds the publishers back: they keep at most `capacity` events ahead of
//! its cursor. The publisher remembers how far it may go and looks at the cursors only when it
//! gets there. Publishers that wait are served in the order in which they came, and are woken
//! when a quarter of the capacity is free, as subscribers report that at the ends of chunks: of a
//! half, at the latest. (Each time that one is polled it looks for itself. A timer for each that waits
//! would need a runtime with timers, which nothing can ask for without a panic.)
//!
//! # Memory
//!
//! A chunk is dropped when the last subscriber leaves it: for the next, or because it has read
//! everything and asks for more. So an idle log holds no event, and at most one
//! empty chunk of 256 bytes. A subscriber that may lose events keeps at most `capacity` of them,
//! and the chunk in its hands, alive.
//!
//! # Closing
//!
//! A log is closed by [`Log::close`] or when its last handle is dropped. Publishers are refused
//! from then on; subscribers read what is left and then get `None`.

mod sync;
mod state;
mod admission;
mod append;
mod chunks;
mod attendance;
mod own;
mod account;
mod reader;
mod sieve;
mod keys;
#[cfg(feature = "test-util")]
mod kept;

use std::any::type_name;
use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll};

use crate::group::{GroupMember, Groups};
use crate::subscribe::Subscriber;
use crate::{Envelope, Event, Overflow, Refusal, SubscribeOptions, TopicStats};

pub use append::Append;
pub(crate) use attendance::Cursor;
use attendance::{Class, Label};
pub(crate) use keys::{ByKey, Kept, Keys, Newest};
pub(crate) use reader::{Hand, Lent, More, Reader};
pub(crate) use sieve::Sieve;
use sieve::{Assist, Woken};
use state::{Garbage, State, Wakers};
pub(crate) use sync::OnceLock;
use sync::{AtomicU64, Mutex, MutexGuard, fence};

/// A row of events, filled from the front.
pub(crate) type Chunk<E> = Arc<[OnceLock<Envelope<E>>]>;

/// The log of one topic, and its entrance: a cheap handle that can be cloned.
///
/// A bus in one process is a table of these. Most programs use a [`Publisher`](crate::Publisher)
/// and a [`Subscriber`] instead.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use coord_bus::{Log, Overflow};
///
/// let log = Log::new("numbers", 1024);
/// let mut numbers = log.subscribe(Overflow::Block);
/// log.append(7.into()).await.unwrap();
/// assert_eq!(*numbers.recv().await.unwrap(), 7);
/// # });
/// ```
pub struct Log<E> {
    shared: Arc<Shared<E>>,
    entrance: Arc<Entrance<E>>,
}

/// Closes the log when the last of them goes.
struct Entrance<E> {
    shared: Arc<Shared<E>>,
    place: Option<&'static Location<'static>>,
}

impl<E> Entrance<E> {
    fn open(shared: &Arc<Shared<E>>, place: Option<&'static Location<'static>>) -> Arc<Self> {
        shared.lock().entrances.enter(place);
        Arc::new(Self {
            shared: Arc::clone(shared),
            place,
        })
    }
}

pub(crate) struct Shared<E> {
    topic: Arc<str>,
    state: Mutex<State<E>>,
    /// The sequence of the next event: every place before it is filled.
    next: AtomicU64,
    /// Whose progress is waited for, read by subscribers without the lock: those whose chunk
    /// begins at or before this sequence are to report its end. 0: nobody's.
    awaited: AtomicU64,
    /// How many subscribers take what is published: [`State::listeners`], to be read without the
    /// lock. Written under it, in the one order of everything.
    listeners: AtomicU64,
    groups: std::sync::OnceLock<Arc<Groups<E>>>,
}

impl<E> Clone for Log<E> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            entrance: Arc::clone(&self.entrance),
        }
    }
}

impl<E> Drop for Entrance<E> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.entrances.leave(self.place) {
            let wakers = state.close();
            drop(state);
            wake(wakers);
        }
    }
}

impl<E: Event> Log<E> {
    /// A log with room for this many events ahead of its slowest lossless subscriber; zero counts
    /// as one.
    pub fn new(topic: impl Into<Arc<str>>, capacity: usize) -> Self {
        Self::retaining(topic, capacity, 0)
    }

    /// A log that keeps its last `retain` events, in whole chunks, for those who subscribe late.
    pub fn retaining(topic: impl Into<Arc<str>>, capacity: usize, retain: usize) -> Self {
        Self::keeping(topic, capacity, retain, 0)
    }

    /// A log that keeps its last `keep` events, if those are more, for who looks back. Subscribers
    /// see none of this.
    pub(crate) fn keeping(
        topic: impl Into<Arc<str>>,
        capacity: usize,
        retain: usize,
        keep: usize,
    ) -> Self {
        let shared = Arc::new(Shared {
            topic: topic.into(),
            state: Mutex::new(State::new(capacity.max(1), retain, keep)),
            next: AtomicU64::new(1),
            awaited: AtomicU64::new(0),
            listeners: AtomicU64::new(0),
            groups: std::sync::OnceLock::new(),
        });
        Self {
            entrance: Entrance::open(&shared, None),
            shared,
        }
    }

    /// A handle that is told of as a publisher that was opened here.
    pub(crate) fn enter(&self, place: &'static Location<'static>) -> Self {
        Self {
            entrance: Entrance::open(&self.shared, Some(place)),
            shared: Arc::clone(&self.shared),
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &Arc<str> {
        &self.shared.topic
    }

    /// Appends an event if there is room for it now.
    ///
    /// # Errors
    ///
    /// [`Refusal::Full`] or [`Refusal::Closed`], and the event.
    #[inline]
    pub fn try_append(&self, envelope: Envelope<E>) -> Result<(), (Envelope<E>, Refusal)> {
        let mut envelope = Some(envelope);
        let state = self.shared.lock();
        let refusal = if state.is_open() {
            self.shared.push(state, &mut envelope);
            None
        } else {
            self.shared.try_append_slowly(state, &mut envelope)
        };
        envelope.zip(refusal).map_or(Ok(()), Err)
    }

    /// Appends an event, waiting for room, as a [`publish`](crate::Publisher::publish) does.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the event is not appended.
    ///
    /// # Errors
    ///
    /// [`Refusal::Closed`], and the event.
    #[inline]
    pub fn append(&self, envelope: Envelope<E>) -> Append<'_, E> {
        Append::new(&self.shared, envelope)
    }

    /// A subscriber to what is published from now on, and to what is retained.
    #[track_caller]
    pub fn subscribe(&self, options: impl Into<SubscribeOptions<E>>) -> Subscriber<E> {
        self.subscribe_at(&options.into(), Location::caller())
    }

    pub(crate) fn subscribe_at(
        &self,
        options: &SubscribeOptions<E>,
        place: &'static Location<'static>,
    ) -> Subscriber<E> {
        let is_sieved = options.filter.is_some() || options.has_keys();
        let label = Label {
            name: options.name.clone(),
            group: options.group.clone(),
            place,
            overflow: options.overflow,
            filtered: options.filter.is_some(),
        };
        let class = match options.overflow {
            Overflow::Block => Some(Class::Lossless),
            Overflow::DropOldest => Some(Class::Oldest),
            // Its sieve has to see every event, to find the newest that passes or of each key.
            Overflow::Latest if is_sieved => Some(Class::Lossless),
            Overflow::Latest => Some(Class::Latest),
            Overflow::DropNewest => None,
        };
        if is_sieved {
            return Subscriber::of_sieve(Sieve::new(&self.shared, label, class, options));
        }
        let (id, cursor) = self.shared.join(label, class, None);
        let reader = Reader::new(Arc::clone(&self.shared), id);
        Subscriber::of_log(reader, cursor, options.overflow == Overflow::Latest)
    }

    /// A member of the group of this name: its members share the events, from when the first
    /// joined.
    #[track_caller]
    pub fn join_group(&self, name: impl Into<Arc<str>>) -> GroupMember<E> {
        self.join_group_at(name.into(), Location::caller())
    }

    pub(crate) fn join_group_at(
        &self,
        name: Arc<str>,
        place: &'static Location<'static>,
    ) -> GroupMember<E> {
        let options = SubscribeOptions {
            group: Some(Arc::clone(&name)),
            ..SubscribeOptions::default()
        };
        let subscribe = || self.subscribe_at(&options, place);
        let groups = self.shared.groups.get_or_init(Groups::new);
        groups.join(name, subscribe)
    }

    /// Whether there is a subscriber. One that was there before this is called is seen; it costs a
    /// read of memory.
    #[inline]
    pub fn has_subscribers(&self) -> bool {
        self.shared.listeners.load(Ordering::SeqCst) > 0
    }

    /// Shuts the entrance. Subscribers still get what has been accepted.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Resolves once every subscriber has got everything, at once if that is so now.
    ///
    /// # Cancel safety
    ///
    /// Nothing changes when it is dropped.
    pub async fn drained(&self) {
        let shared = &*self.shared;
        let ticket = None;
        let mut waiting = Draining { shared, ticket };
        poll_fn(|cx| waiting.poll(cx)).await;
    }

    /// What the log has counted.
    pub fn stats(&self) -> TopicStats {
        let mut stats = TopicStats::empty();
        self.fill_stats(&mut stats);
        stats
    }

    /// The same in the place of other counts, with their memory.
    pub(crate) fn fill_stats(&self, stats: &mut TopicStats) {
        stats.topic.clear();
        stats.topic.push_str(&self.shared.topic);
        stats.event = type_name::<E>();
        self.shared.lock().fill_stats(stats);
    }
}

impl<E> fmt::Debug for Log<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Log")
            .field("topic", &self.shared.topic)
            .finish_non_exhaustive()
    }
}

impl<E> Shared<E> {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, State<E>> {
        // Nothing under the lock leaves the state half changed, so a panic elsewhere is no reason
        // to stop.
        recover(self.state.lock())
    }

    fn join(
        &self,
        label: Label,
        class: Option<Class>,
        assist: Option<Weak<dyn Assist>>,
    ) -> (usize, Arc<Cursor>) {
        let mut state = self.lock();
        let joined = state.join(label, class, assist);
        self.count_listeners(&state);
        joined
    }

    /// To be called under the lock, after subscribers have come or gone.
    fn count_listeners(&self, state: &State<E>) {
        let listeners = state.listeners as u64;
        self.listeners.store(listeners, Ordering::SeqCst);
    }

    /// The lock, unless somebody has it.
    #[inline]
    fn try_lock(&self) -> Option<MutexGuard<'_, State<E>>> {
        try_recover(&self.state)
    }

    /// Drops the events of chunks that nobody needs, and keeps one of the chunks: making a new one
    /// costs more than filling it.
    #[inline]
    fn recycle(&self, garbage: Garbage<E>) {
        if !garbage.is_empty() {
            self.empty_out(garbage);
        }
    }

    fn empty_out(&self, garbage: Garbage<E>) {
        for mut chunk in garbage {
            // An owned delivery may keep it for itself.
            let Some(places) = Arc::get_mut(&mut chunk) else {
                continue;
            };
            for place in &mut *places {
                if place.take().is_none() {
                    break;
                }
            }
            // Where another thread has the lock, a new chunk costs less than to wait for it.
            if let Some(mut state) = self.try_lock() {
                let left_over = state.keep_spare(chunk);
                drop(state);
                drop(left_over);
            }
        }
    }

    /// To be called before cursors are looked at on behalf of somebody who waits, so that either
    /// the look sees a cursor that moves meanwhile, or its subscriber sees that it is awaited:
    /// the other half is in [`caught_up`](Self::caught_up).
    fn await_everybody(&self) {
        self.awaited.store(u64::MAX, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// After that look: no subscriber but the slowest can make room. (Others skip the lock.)
    fn await_slowest(&self, state: &State<E>) {
        self.awaited.store(state.awaited(), Ordering::Relaxed);
    }

    /// A subscriber has got the last event that it knows of, and its cursor says so; `first` is
    /// where its chunk begins.
    #[inline]
    fn caught_up(&self, first: u64) {
        fence(Ordering::SeqCst);
        if first <= self.awaited.load(Ordering::Relaxed) {
            self.progress();
        }
    }

    #[cold]
    fn progress(&self) {
        let mut wakers = Wakers::new();
        let mut state = self.lock();
        self.await_everybody();
        state.progress(&mut wakers);
        self.await_slowest(&state);
        drop(state);
        wake(wakers);
    }

    fn close(&self) {
        let wakers = self.lock().close();
        wake(wakers);
    }
}

/// Waits for every subscriber to be through.
struct Draining<'l, E> {
    shared: &'l Shared<E>,
    /// That it waits.
    ticket: Option<u64>,
}

impl<E> Draining<'_, E> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        if state.is_idle() {
            return Poll::Ready(());
        }
        state.wait_for_idle(&mut self.ticket, cx.waker());
        self.shared.await_everybody();
        if state.is_idle() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl<E> Drop for Draining<'_, E> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut state = self.shared.lock();
            let left = state.idle.remove(&ticket);
            self.shared.await_slowest(&state);
            drop(state);
            drop(left);
        }
    }
}

/// The lock, unless somebody has it; though somebody may have panicked with it.
#[inline]
fn try_recover<T>(lock: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match lock.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// What a lock guards, though somebody may have panicked with it.
fn recover<G>(locked: Result<G, PoisonError<G>>) -> G {
    locked.unwrap_or_else(PoisonError::into_inner)
}

#[inline]
fn wake(wakers: Wakers) {
    if wakers.is_empty() {
        return;
    }
    wakers.into_iter().for_each(Woken::wake);
}
