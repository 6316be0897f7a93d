//! What the one lock of a log guards: the chunks, who reads them, and who waits for what. What is
//! done to it stands beside: `admission`, `chunks` and `attendance`.
//!
//! Everything here is plain data with no waiting in it. What must not happen under a lock (waking,
//! running an event's destructor) is handed back to the caller as [`Wakers`] and [`Garbage`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use slab::Slab;
use smallvec::SmallVec;

use super::Chunk;
use crate::{Overflow, SubscriberStats};

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
    pub(super) start: u64,
    /// Where it stands in `State::parked`, once it has found nothing left to read.
    pub(super) parked: Option<usize>,
    pub(super) waker: Option<Waker>,
}

impl Reader {
    pub(super) fn position(&self) -> u64 {
        self.cursor.position.load(Ordering::Acquire)
    }

    pub(super) fn missed(&self) -> u64 {
        self.cursor.missed.load(Ordering::Relaxed)
    }

    pub(super) fn delivered(&self) -> u64 {
        (self.position() - self.start).saturating_sub(self.missed())
    }
}

/// A chunk, and how many subscribers may still read in it.
pub(super) struct Held<E> {
    pub(super) first: u64,
    pub(super) chunk: Chunk<E>,
    pub(super) lossless: usize,
    pub(super) lossy: usize,
}

impl<E> Held<E> {
    pub(super) fn end(&self) -> u64 {
        self.first + self.chunk.len() as u64
    }

    pub(super) fn readers(&mut self, lossless: bool) -> &mut usize {
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
    pub(super) capacity: u64,
    /// The most events in a chunk.
    pub(super) chunk_max: usize,
    /// The size of the next chunk: it doubles under load, and shrinks when chunks are left early.
    pub(super) chunk_next: usize,
    /// The sequence of the next event; the first is 1.
    pub(super) next: u64,
    /// Below this sequence an event may be appended with no further question: there is room for
    /// it and a place in the tail, nobody waits, somebody listens, and the entrance is open.
    pub(super) open_until: u64,
    /// Up to where there is room, as of the last look at the cursors.
    pub(super) limit: u64,
    pub(super) closed: bool,
    /// The youngest of `chunks`, where it is not full; else empty.
    pub(super) tail: Chunk<E>,
    pub(super) tail_first: u64,
    pub(super) chunks: VecDeque<Held<E>>,
    /// The number of the oldest chunk; chunks are numbered as they are made.
    pub(super) oldest: u64,
    pub(super) readers: Slab<Reader>,
    pub(super) lossless: usize,
    /// Readers that have read everything. They count in no chunk until there is more.
    pub(super) parked: Vec<usize>,
    /// Publishers that wait for room, in the order in which they came.
    pub(super) queue: BTreeMap<u64, Waker>,
    pub(super) next_ticket: u64,
    /// Places promised to publishers that have been woken and have not published yet.
    pub(super) granted: u64,
    /// Who waits for every subscriber to be through.
    pub(super) idle: Vec<Waker>,
    pub(super) gone_delivered: u64,
    pub(super) gone_dropped: u64,
}

/// The size of a chunk where little is published: an event an hour should not cost kilobytes.
pub(super) const SMALLEST_CHUNK: usize = 8;

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

    /// Shuts the entrance: whoever waits for anything is to look again.
    pub(super) fn close(&mut self) -> Wakers {
        self.closed = true;
        self.settle();
        let mut wakers: Wakers = self.parked_wakers();
        wakers.extend(std::mem::take(&mut self.queue).into_values());
        wakers.extend(self.idle.drain(..));
        wakers
    }

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
