//! What the one lock of a log guards: the chunks, who reads them, and who waits for what.
//!
//! Everything here is plain data with no waiting in it. What must not happen under a lock (waking,
//! running an event's destructor) is handed back to the caller as [`Wakers`] and [`Garbage`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use slab::Slab;
use smallvec::SmallVec;

use super::Chunk;
use crate::{Envelope, Overflow, SubscriberStats};

/// Wakers to be woken once the lock is released.
pub(super) type Wakers = SmallVec<[Waker; 4]>;
/// Chunks that nobody needs any more, to be emptied once the lock is released.
pub(super) type Garbage<E> = SmallVec<[Chunk<E>; 2]>;

/// How far a subscriber is. On a cache line of its own: it is written for every event.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Cursor {
    /// The sequence of the event that it gets next.
    pub(crate) position: AtomicU64,
    /// Events that overflow took from it.
    pub(crate) missed: AtomicU64,
}

impl Cursor {
    pub(crate) fn at(position: u64) -> Self {
        Self {
            position: AtomicU64::new(position),
            missed: AtomicU64::new(0),
        }
    }
}

pub(super) struct Reader {
    pub(super) cursor: Arc<Cursor>,
    pub(super) overflow: Overflow,
    start: u64,
    /// Where it stands in `State::parked`, once it has found nothing left to read.
    parked: Option<usize>,
    waker: Option<Waker>,
}

impl Reader {
    fn position(&self) -> u64 {
        self.cursor.position.load(Ordering::Acquire)
    }

    fn missed(&self) -> u64 {
        self.cursor.missed.load(Ordering::Relaxed)
    }

    fn delivered(&self) -> u64 {
        (self.position() - self.start).saturating_sub(self.missed())
    }
}

/// A chunk, and how many subscribers may still read in it.
struct Held<E> {
    first: u64,
    chunk: Chunk<E>,
    lossless: usize,
    lossy: usize,
}

impl<E> Held<E> {
    fn end(&self) -> u64 {
        self.first + self.chunk.len() as u64
    }

    fn readers(&mut self, lossless: bool) -> &mut usize {
        if lossless {
            &mut self.lossless
        } else {
            &mut self.lossy
        }
    }
}

/// Where a reader goes on.
pub(super) struct Found<E> {
    pub(super) number: u64,
    pub(super) chunk: Chunk<E>,
    /// The sequence of the chunk's first event.
    pub(super) first: u64,
    /// The sequence of the event to go on with.
    pub(super) start: u64,
    /// How many events overflow took from the reader.
    pub(super) missed: u64,
}

pub(super) struct State<E> {
    capacity: u64,
    /// The most events in a chunk.
    chunk_max: usize,
    /// The size of the next chunk: it doubles under load, and shrinks when chunks are left early.
    chunk_next: usize,
    /// The sequence of the next event; the first is 1.
    pub(super) next: u64,
    /// Below this sequence an event may be appended with no further question: there is room for
    /// it and a place in the tail, nobody waits, somebody listens, and the entrance is open.
    open_until: u64,
    /// Up to where there is room, as of the last look at the cursors.
    limit: u64,
    pub(super) closed: bool,
    /// The youngest of `chunks`, where it is not full; else empty.
    tail: Chunk<E>,
    tail_first: u64,
    chunks: VecDeque<Held<E>>,
    /// The number of the oldest chunk; chunks are numbered as they are made.
    oldest: u64,
    pub(super) readers: Slab<Reader>,
    lossless: usize,
    /// Readers that have read everything. They count in no chunk until there is more.
    parked: Vec<usize>,
    /// Publishers that wait for room, in the order in which they came.
    queue: BTreeMap<u64, Waker>,
    next_ticket: u64,
    /// Places promised to publishers that have been woken and have not published yet.
    granted: u64,
    /// Who waits for every subscriber to be through.
    idle: Vec<Waker>,
    gone_delivered: u64,
    gone_dropped: u64,
}

/// The size of a chunk where little is published: an event an hour should not cost kilobytes.
const SMALLEST_CHUNK: usize = 8;

impl<E> State<E> {
    pub(super) fn new(capacity: usize, chunk_max: usize) -> Self {
        Self {
            capacity: capacity as u64,
            chunk_max,
            chunk_next: chunk_max.min(SMALLEST_CHUNK),
            next: 1,
            open_until: 0,
            limit: u64::MAX,
            closed: false,
            tail: Chunk::default(),
            tail_first: 1,
            chunks: VecDeque::new(),
            oldest: 0,
            readers: Slab::new(),
            lossless: 0,
            parked: Vec::new(),
            queue: BTreeMap::new(),
            next_ticket: 0,
            granted: 0,
            idle: Vec::new(),
            gone_delivered: 0,
            gone_dropped: 0,
        }
    }

    // Publishing.

    /// Whether an event may be appended with no further question.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.next < self.open_until
    }

    /// Takes the next place in the order for an event, which is moved there from where it is and
    /// nowhere in between. There must be a place.
    #[inline]
    pub(super) fn push(&mut self, envelope: &mut Option<Envelope<E>>) {
        let place = &self.tail[(self.next - self.tail_first) as usize];
        place.get_or_init(|| envelope.take().expect("an event is appended once"));
        self.next += 1;
    }

    /// Counts an event that nobody will ever read.
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    /// Whether there is no place for the next event.
    pub(super) fn needs_tail(&self) -> bool {
        self.next >= self.tail_first + self.tail.len() as u64
    }

    /// Makes sure of a place for the next event: in the tail, or in a new one, which may be the
    /// spare chunk if that has the right size.
    pub(super) fn make_tail(&mut self, spare: Option<Chunk<E>>, wakers: &mut Wakers) -> Garbage<E> {
        if !self.needs_tail() {
            return Garbage::new();
        }
        if !self.tail.is_empty() {
            self.chunk_next = (self.chunk_next * 2).min(self.chunk_max);
        }
        self.tail = match spare {
            Some(spare) if spare.len() == self.chunk_next => spare,
            _ => (0..self.chunk_next).map(|_| OnceLock::new()).collect(),
        };
        self.tail_first = self.next;
        // Whoever is parked is done with the chunk before, and only now counted: in this one.
        let parked_lossless = self.parked.iter();
        let parked_lossless = parked_lossless
            .filter(|id| self.readers[**id].overflow.is_lossless())
            .count();
        let lossless = self.lossless - parked_lossless;
        self.chunks.push_back(Held {
            first: self.next,
            chunk: Arc::clone(&self.tail),
            lossless,
            lossy: self.readers.len() - self.parked.len() - lossless,
        });
        wakers.extend(self.unpark());
        let garbage = self.release();
        self.settle();
        garbage
    }

    /// Whether an event may be published now by who holds no grant. Who waits comes first.
    pub(super) fn has_room(&mut self, wakers: &mut Wakers) -> bool {
        self.look_at_cursors();
        self.grant(wakers);
        self.next + self.granted < self.limit
    }

    fn look_at_cursors(&mut self) {
        let slowest = self
            .readers
            .iter()
            .filter(|(_, reader)| reader.overflow.is_lossless())
            .map(|(_, reader)| reader.position())
            .min();
        self.limit = slowest.map_or(u64::MAX, |position| position.saturating_add(self.capacity));
        self.settle();
    }

    /// To be called after a change to anything that `open_until` sums up.
    fn settle(&mut self) {
        let waited_for = self.closed || !self.queue.is_empty() || self.readers.is_empty();
        self.open_until = if waited_for {
            0
        } else {
            // More may be promised than there is room: to publishers whom nobody held back, before
            // a lossless subscriber joined.
            let limit = self.limit.saturating_sub(self.granted);
            limit.min(self.tail_first + self.tail.len() as u64)
        };
    }

    /// Promises what room there is to the publishers that have waited longest.
    fn grant(&mut self, wakers: &mut Wakers) {
        while self.next + self.granted < self.limit {
            let Some((_, waker)) = self.queue.pop_first() else {
                return;
            };
            self.granted += 1;
            self.settle();
            wakers.push(waker);
        }
    }

    /// Queues a publisher, or renews its waker. The waker that this replaces comes back, to be
    /// dropped outside.
    pub(super) fn wait_for_room(
        &mut self,
        ticket: &mut Option<u64>,
        waker: &Waker,
    ) -> Option<Waker> {
        let ticket = *ticket.get_or_insert_with(|| {
            self.next_ticket += 1;
            self.next_ticket
        });
        let replaced = self.queue.insert(ticket, waker.clone());
        self.settle();
        replaced
    }

    /// Whether a publisher that waited has been promised a place. The promise is used up.
    pub(super) fn redeem(&mut self, ticket: &mut Option<u64>) -> bool {
        let granted = ticket.is_some_and(|ticket| !self.queue.contains_key(&ticket));
        if granted {
            *ticket = None;
            self.granted -= 1;
            self.settle();
        }
        granted
    }

    /// A publisher waits no longer: its place in the queue, or the room promised to it, goes to
    /// the next.
    pub(super) fn give_up(&mut self, ticket: u64, wakers: &mut Wakers) -> Option<Waker> {
        let waker = self.queue.remove(&ticket);
        if waker.is_none() && !self.closed {
            self.granted -= 1;
            self.grant(wakers);
        }
        self.settle();
        waker
    }

    /// The position at or before which a subscriber's progress matters to somebody: everybody's
    /// to who waits for all to be through, the slowest's to who waits for room.
    pub(super) fn awaited(&self) -> u64 {
        if !self.idle.is_empty() {
            u64::MAX
        } else if !self.queue.is_empty() {
            self.limit.saturating_sub(self.capacity)
        } else {
            0
        }
    }

    /// Subscribers have got on: wakes publishers once a good part of the room is free, rather
    /// than one for each event, and whoever waits for all subscribers to be through.
    pub(super) fn progress(&mut self, wakers: &mut Wakers) {
        if !self.queue.is_empty() {
            self.look_at_cursors();
            let room = self.limit.saturating_sub(self.next + self.granted);
            if room >= (self.capacity / 4).max(1) {
                self.grant(wakers);
            }
        }
        if !self.idle.is_empty() && self.is_idle() {
            wakers.extend(self.idle.drain(..));
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.readers
            .iter()
            .all(|(_, reader)| reader.position() == self.next)
    }

    pub(super) fn wait_for_idle(&mut self, waker: &Waker) {
        if !self.idle.iter().any(|waiting| waiting.will_wake(waker)) {
            self.idle.push(waker.clone());
        }
    }

    // Chunks.

    /// Takes out the chunks that nobody needs: every subscriber has left them, or only lossy ones
    /// have not, and those have `capacity` later events to read.
    fn release(&mut self) -> Garbage<E> {
        let mut garbage = Garbage::new();
        while self.chunks.front().is_some_and(|held| {
            held.lossless == 0
                && (held.lossy == 0 || held.end().saturating_add(self.capacity) <= self.next)
        }) {
            self.oldest += 1;
            garbage.extend(self.chunks.pop_front().map(|held| held.chunk));
        }
        if self.chunks.is_empty() && !self.tail.is_empty() {
            let used = (self.next - self.tail_first) as usize;
            if used <= self.chunk_next / 4 {
                self.chunk_next = (self.chunk_next / 2).max(self.chunk_max.min(SMALLEST_CHUNK));
            }
            // The same chunk as the last of the garbage: let go of, so that it can be used again.
            self.tail = Chunk::default();
            self.tail_first = self.next;
            self.settle();
        }
        garbage
    }

    fn leave(&mut self, number: u64, lossless: bool) {
        // An evicted chunk has nobody left to count.
        if let Some(held) = self.held_mut(number) {
            *held.readers(lossless) -= 1;
        }
    }

    fn held_mut(&mut self, number: u64) -> Option<&mut Held<E>> {
        let index = number.checked_sub(self.oldest)?;
        self.chunks.get_mut(usize::try_from(index).ok()?)
    }

    // Subscribers.

    /// A new subscriber and the number of the chunk that it starts in: it gets what is published
    /// from now on.
    pub(super) fn join(&mut self, overflow: Overflow) -> (usize, u64, Arc<Cursor>) {
        let cursor = Arc::new(Cursor::at(self.next));
        let lossless = overflow.is_lossless();
        let id = self.readers.insert(Reader {
            cursor: Arc::clone(&cursor),
            overflow,
            start: self.next,
            parked: None,
            waker: None,
        });
        if lossless {
            self.lossless += 1;
            self.limit = self.limit.min(self.next.saturating_add(self.capacity));
        }
        let mut number = self.oldest + self.chunks.len() as u64;
        if let Some(youngest) = self.chunks.back_mut()
            && youngest.end() > self.next
        {
            *youngest.readers(lossless) += 1;
            number -= 1;
        }
        self.settle();
        (id, number, cursor)
    }

    /// A subscriber goes; `number` is the first chunk that it had not left.
    pub(super) fn part(
        &mut self,
        id: usize,
        number: u64,
        wakers: &mut Wakers,
    ) -> (Garbage<E>, Option<Waker>) {
        let was_parked = self.unpark_one(id);
        let reader = self.readers.remove(id);
        let lossless = reader.overflow.is_lossless();
        self.lossless -= usize::from(lossless);
        self.gone_delivered += reader.delivered();
        self.gone_dropped += reader.missed();
        if !was_parked {
            for number in number.max(self.oldest)..self.oldest + self.chunks.len() as u64 {
                self.leave(number, lossless);
            }
        }
        let garbage = self.release();
        self.look_at_cursors();
        self.grant(wakers);
        self.progress(wakers);
        (garbage, reader.waker)
    }

    /// Where a reader goes on: in chunk `number` or later. It leaves the one that it `held`, if
    /// it does not go on in that. `None`: it has read everything, and is parked.
    pub(super) fn advance(
        &mut self,
        id: usize,
        held: Option<u64>,
        number: u64,
    ) -> (Option<Found<E>>, Garbage<E>) {
        let reader = &self.readers[id];
        if reader.parked.is_some() {
            return (None, Garbage::new());
        }
        let lossless = reader.overflow.is_lossless();
        let position = reader.position();
        let start = if lossless {
            position
        } else {
            position.max(self.next.saturating_sub(self.capacity))
        };
        // Who has just joined holds nothing yet, but is counted in the chunk that it joined in.
        let held = held.unwrap_or(number);
        if held != number || start == self.next {
            self.leave(held, lossless);
        }
        let found = if start == self.next {
            self.park(id);
            None
        } else {
            let mut number = number.max(self.oldest);
            while self
                .held_mut(number)
                .is_some_and(|held| held.end() <= start)
            {
                self.leave(number, lossless);
                number += 1;
            }
            self.held_mut(number).map(|held| Found {
                number,
                chunk: Arc::clone(&held.chunk),
                first: held.first,
                start,
                missed: start - position,
            })
        };
        if start > position {
            // Under the lock, so that whoever counts sees both or neither.
            let cursor = &self.readers[id].cursor;
            cursor.missed.fetch_add(start - position, Ordering::Relaxed);
            cursor.position.store(start, Ordering::Release);
        }
        (found, self.release())
    }

    fn park(&mut self, id: usize) {
        self.readers[id].parked = Some(self.parked.len());
        self.parked.push(id);
    }

    /// Leaves a parked reader's waker for the next event. The waker that this replaces comes
    /// back, to be dropped outside.
    pub(super) fn set_waker(&mut self, id: usize, waker: &Waker) -> Option<Waker> {
        match &mut self.readers[id].waker {
            Some(old) if old.will_wake(waker) => None,
            parked => parked.replace(waker.clone()),
        }
    }

    /// Takes one reader from the parked. Whether it was.
    fn unpark_one(&mut self, id: usize) -> bool {
        let Some(index) = self.readers[id].parked.take() else {
            return false;
        };
        self.parked.swap_remove(index);
        if let Some(moved) = self.parked.get(index) {
            self.readers[*moved].parked = Some(index);
        }
        true
    }

    /// There is more to read for all who are parked: they count in the tail again. Their wakers.
    pub(super) fn unpark(&mut self) -> Wakers {
        let mut wakers = Wakers::new();
        let mut youngest = self.chunks.back_mut();
        for id in self.parked.drain(..) {
            let reader = &mut self.readers[id];
            reader.parked = None;
            if let Some(youngest) = &mut youngest {
                *youngest.readers(reader.overflow.is_lossless()) += 1;
            }
            wakers.extend(reader.waker.take());
        }
        wakers
    }

    /// The wakers of the parked, who stay parked: there is nothing to read.
    fn parked_wakers(&mut self) -> Wakers {
        let readers = &mut self.readers;
        self.parked
            .iter()
            .filter_map(|id| readers[*id].waker.take())
            .collect()
    }

    #[inline]
    pub(super) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Shuts the entrance: whoever waits for anything is to look again.
    pub(super) fn close(&mut self) -> Wakers {
        self.closed = true;
        self.settle();
        let mut wakers: Wakers = self.parked_wakers();
        wakers.extend(std::mem::take(&mut self.queue).into_values());
        wakers.extend(self.idle.drain(..));
        wakers
    }

    // Counts.

    pub(super) fn published(&self) -> u64 {
        self.next - 1
    }

    pub(super) fn depth(&self) -> u64 {
        self.chunks
            .front()
            .map_or(0, |oldest| self.next - oldest.first)
    }

    pub(super) fn waiting_publishers(&self) -> usize {
        self.queue.len()
    }

    /// Of the subscribers that there are; delivered and dropped of all that there have been.
    pub(super) fn subscribers(&self) -> (Vec<SubscriberStats>, u64, u64) {
        let subscribers: Vec<_> = self
            .readers
            .iter()
            .map(|(_, reader)| SubscriberStats {
                overflow: reader.overflow,
                delivered: reader.delivered(),
                dropped: reader.missed(),
                lag: self.next - reader.position(),
            })
            .collect();
        let delivered = subscribers.iter().map(|each| each.delivered).sum::<u64>();
        let dropped = subscribers.iter().map(|each| each.dropped).sum::<u64>();
        (
            subscribers,
            self.gone_delivered + delivered,
            self.gone_dropped + dropped,
        )
    }
}
