//! The simplest chunked log that works, as a peer: what the real one must never be behind.
//!
//! Slots are `OnceLock`s in chunks that link to the next; a reader shows its cursor every 32
//! events and before it sleeps, and the publisher looks at cursors only when it reaches the limit
//! that it last saw. No closing, no loss, no counts, no topics.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Poll, Waker};

const CHUNK: usize = 128;
const CAPACITY: u64 = 1024;

struct Chunk<E> {
    slots: Box<[OnceLock<E>]>,
    next: OnceLock<Arc<Chunk<E>>>,
}

impl<E> Chunk<E> {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            slots: (0..CHUNK).map(|_| OnceLock::new()).collect(),
            next: OnceLock::new(),
        })
    }
}

struct State<E> {
    tail: Arc<Chunk<E>>,
    next: u64,
    limit: u64,
    cursors: Vec<Arc<AtomicU64>>,
    sleeping: Vec<Waker>,
    blocked: Vec<Waker>,
}

/// The log, and its publisher.
#[derive(Clone)]
pub(crate) struct Log<E>(Arc<Mutex<State<E>>>);

/// A subscriber.
pub(crate) struct Reader<E> {
    log: Arc<Mutex<State<E>>>,
    chunk: Arc<Chunk<E>>,
    /// The position of the chunk's first event.
    first: u64,
    position: u64,
    cursor: Arc<AtomicU64>,
}

impl<E> Log<E> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            tail: Chunk::new(),
            next: 0,
            limit: CAPACITY,
            cursors: Vec::new(),
            sleeping: Vec::new(),
            blocked: Vec::new(),
        })))
    }

    /// Only before the first publish.
    pub(crate) fn subscribe(&self) -> Reader<E> {
        let mut state = self.0.lock().unwrap();
        let cursor = Arc::new(AtomicU64::new(0));
        state.cursors.push(Arc::clone(&cursor));
        Reader {
            log: Arc::clone(&self.0),
            chunk: Arc::clone(&state.tail),
            first: 0,
            position: 0,
            cursor,
        }
    }

    pub(crate) async fn publish(&self, event: E) {
        let mut event = Some(event);
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            if state.next >= state.limit {
                let slowest = state
                    .cursors
                    .iter()
                    .map(|c| c.load(Ordering::Acquire))
                    .min();
                state.limit = slowest.unwrap_or(u64::MAX - CAPACITY) + CAPACITY;
                if state.next >= state.limit {
                    state.blocked.push(cx.waker().clone());
                    return Poll::Pending;
                }
            }
            let index = state.next as usize % CHUNK;
            let _ = state.tail.slots[index].set(event.take().unwrap());
            state.next += 1;
            if index == CHUNK - 1 {
                let next = Chunk::new();
                let _ = state.tail.next.set(Arc::clone(&next));
                state.tail = next;
            }
            let sleeping = std::mem::take(&mut state.sleeping);
            drop(state);
            sleeping.into_iter().for_each(Waker::wake);
            Poll::Ready(())
        })
        .await;
    }
}

impl<E> Reader<E> {
    pub(crate) async fn recv(&mut self) -> &E {
        if !self.ready() {
            self.show();
            poll_fn(|cx| {
                let log = Arc::clone(&self.log);
                let mut state = log.lock().unwrap();
                if self.ready() {
                    return Poll::Ready(());
                }
                state.sleeping.push(cx.waker().clone());
                Poll::Pending
            })
            .await;
        }
        let index = self.position as usize % CHUNK;
        self.position += 1;
        if self.position.is_multiple_of(32) {
            self.show();
        }
        self.chunk.slots[index].get().unwrap()
    }

    /// Whether the next event is there, in the chunk at hand.
    fn ready(&mut self) -> bool {
        let index = self.position as usize % CHUNK;
        if index == 0 && self.position > self.first {
            let Some(next) = self.chunk.next.get() else {
                return false;
            };
            self.chunk = Arc::clone(next);
            self.first = self.position;
        }
        self.chunk.slots[index].get().is_some()
    }

    fn show(&self) {
        self.cursor.store(self.position, Ordering::Release);
        let blocked = std::mem::take(&mut self.log.lock().unwrap().blocked);
        blocked.into_iter().for_each(Waker::wake);
    }
}
