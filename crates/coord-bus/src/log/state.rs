//! What the one lock of a log guards: the chunks, who reads them, and who waits for what. What is
//! done to it stands beside: `admission`, `chunks`, `attendance`, `own` and `account`.
//!
//! Everything here is plain data with no waiting in it. What must not happen under a lock (waking,
//! running an event's destructor, a filter) is handed back to the caller as [`Wakers`] and
//! [`Garbage`].

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use slab::Slab;
use smallvec::SmallVec;

use super::Chunk;
use super::attendance::Reader;
use super::chunks::{Held, Readers};
use super::sieve::Woken;
use crate::Ledger;
use crate::entrances::Entrances;

/// Those to be woken once the lock is released.
pub(super) type Wakers = SmallVec<[Woken; 2]>;
/// Chunks that nobody needs any more, to be emptied once the lock is released.
pub(super) type Garbage<E> = SmallVec<[Chunk<E>; 2]>;

pub(super) struct State<E> {
    pub(super) capacity: u64,
    /// How many of the last events are kept for those who subscribe late.
    pub(super) retain: u64,
    /// How many of the last events are kept in all: those, or more for who looks back.
    pub(super) keep: u64,
    /// The size of the next chunk: it doubles under load, and shrinks when chunks are left early.
    pub(super) chunk_next: usize,
    /// The sequence of the next event; the first is 1.
    pub(super) next: u64,
    /// Below this sequence an event may be appended with no further question: there is room for
    /// it and a place in the tail, nobody waits, somebody listens, and the entrance is open.
    pub(super) open_until: u64,
    /// Up to where there is room, as of the last look at the cursors.
    pub(super) limit: u64,
    /// Up to where those who drop the newest have room, as of the last look at theirs.
    pub(super) newest_limit: u64,
    /// From where on publishers read on behalf of those who are far behind.
    pub(super) fold_limit: u64,
    pub(super) closed: bool,
    /// The youngest of `chunks`, where it is not full; else empty.
    pub(super) tail: Chunk<E>,
    pub(super) tail_first: u64,
    /// An empty chunk for the next time that one is needed.
    pub(super) spare: Option<Chunk<E>>,
    pub(super) chunks: VecDeque<Held<E>>,
    /// The number of the oldest chunk; chunks are numbered as they are made.
    pub(super) oldest: u64,
    pub(super) readers: Slab<Reader<E>>,
    /// How many of them take what is published.
    pub(super) listeners: usize,
    /// Those that are counted in chunks, and are not parked.
    pub(super) awake: Readers,
    /// Those that drop the newest.
    pub(super) newest: Vec<usize>,
    /// Readers that have read everything. They count in no chunk until there is more.
    pub(super) parked: Vec<u32>,
    /// Publishers that wait for room, in the order in which they came.
    pub(super) queue: BTreeMap<u64, Waker>,
    pub(super) next_ticket: u64,
    /// Places promised to publishers that have been woken and have not published yet.
    pub(super) granted: u64,
    /// Who waits for every subscriber to be through, by tickets as in the queue.
    pub(super) idle: BTreeMap<u64, Waker>,
    /// Who waits for the next event without being a subscriber.
    pub(super) onlookers: Vec<Waker>,
    /// What became of the events of the subscribers that are gone.
    pub(super) gone: Option<Box<Ledger>>,
    /// The handles through which one may publish, by where they were opened.
    pub(super) entrances: Entrances,
}

/// The most events in one chunk: enough that the lock is rare, few enough that one slow subscriber
/// keeps little alive.
const MAX_CHUNK: u64 = 128;

/// The size of a chunk where little is published: an event an hour should not cost kilobytes.
pub(super) const SMALLEST_CHUNK: usize = 2;

/// The most events in a chunk of a log with this capacity. A quarter of the room is when waiting
/// publishers are served: subscribers should report that often.
pub(super) fn chunk_max(capacity: u64) -> usize {
    (capacity / 4).clamp(1, MAX_CHUNK) as usize
}

impl<E> State<E> {
    pub(super) fn new(capacity: usize, retain: usize, keep: usize) -> Self {
        let capacity = capacity as u64;
        Self {
            capacity,
            retain: retain as u64,
            keep: keep.max(retain) as u64,
            chunk_next: chunk_max(capacity).min(SMALLEST_CHUNK),
            next: 1,
            open_until: 0,
            limit: u64::MAX,
            newest_limit: u64::MAX,
            fold_limit: u64::MAX,
            closed: false,
            tail: Chunk::default(),
            tail_first: 1,
            spare: None,
            chunks: VecDeque::new(),
            oldest: 0,
            readers: Slab::new(),
            listeners: 0,
            awake: Readers::default(),
            newest: Vec::new(),
            parked: Vec::new(),
            queue: BTreeMap::new(),
            next_ticket: 0,
            granted: 0,
            idle: BTreeMap::new(),
            onlookers: Vec::new(),
            gone: None,
            entrances: Entrances::default(),
        }
    }

    /// Whether anybody may ever read what is published now.
    pub(super) fn is_heard(&self) -> bool {
        self.keep > 0
            || self.listeners > self.newest.len()
            || self.newest.iter().any(|id| self.takes_newest(*id))
    }

    /// Shuts the entrance: whoever waits for anything is to look again.
    pub(super) fn close(&mut self) -> Wakers {
        self.closed = true;
        self.settle();
        let mut wakers: Wakers = self.parked_wakers();
        let waiting = std::mem::take(&mut self.queue).into_values();
        let idle = std::mem::take(&mut self.idle).into_values();
        let all = waiting.chain(idle).chain(self.onlookers.drain(..));
        wakers.extend(all.map(Woken::of));
        wakers
    }
}
