//! A subscriber's hold on a log: which chunk it has, and how it gets the next.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use super::state::Wakers;
use super::{Chunk, Shared, wake};

/// One subscriber's place in a log.
pub(crate) struct Reader<E> {
    shared: Arc<Shared<E>>,
    id: usize,
    /// The number of the chunk that is held, or else of the earliest that can be the next.
    number: u64,
    holds: bool,
}

/// What came of asking for more.
pub(crate) enum Advance<E> {
    /// A chunk, and from where to where to read in it.
    Chunk {
        chunk: Chunk<E>,
        first: u64,
        start: u64,
        end: u64,
        missed: u64,
    },
    /// Nothing yet. If a waker was given, it is woken when there is more.
    Empty,
    /// Nothing, and never again.
    Closed,
}

impl<E> Reader<E> {
    pub(super) fn new(shared: Arc<Shared<E>>, id: usize, number: u64) -> Self {
        Self {
            shared,
            id,
            number,
            holds: false,
        }
    }

    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.shared.topic
    }

    /// Up to which sequence places are filled, as far as is known without the lock.
    #[inline]
    pub(crate) fn filled(&self) -> u64 {
        self.shared.next.load(Ordering::Acquire)
    }

    /// Leaves the chunk that is held for the one with the next event. `whole`: all of it has been
    /// read, and not only what is there so far.
    pub(crate) fn advance(&mut self, whole: bool, waker: Option<&Waker>) -> Advance<E> {
        let mut replaced = None;
        let mut state = self.shared.lock();
        let held = self.holds.then_some(self.number);
        let number = self.number + u64::from(self.holds && whole);
        let (found, garbage) = state.advance(self.id, held, number);
        self.holds = found.is_some();
        self.number = found.as_ref().map_or(number, |found| found.number);
        let advance = match found {
            Some(found) => Advance::Chunk {
                end: state.next.min(found.first + found.chunk.len() as u64),
                chunk: found.chunk,
                first: found.first,
                start: found.start,
                missed: found.missed,
            },
            None if state.closed => Advance::Closed,
            None => {
                replaced = waker.and_then(|waker| state.set_waker(self.id, waker));
                Advance::Empty
            }
        };
        drop(state);
        drop(replaced);
        self.shared.recycle(garbage);
        advance
    }

    /// The last event known of has been handed out, from the chunk that begins at `first`.
    #[inline]
    pub(crate) fn caught_up(&self, first: u64) {
        self.shared.caught_up(first);
    }
}

impl<E> Drop for Reader<E> {
    fn drop(&mut self) {
        let mut wakers = Wakers::new();
        let mut state = self.shared.lock();
        // Perhaps it was the one that publishers waited for: now they wait for another.
        self.shared.await_everybody();
        let parted = state.part(self.id, self.number, &mut wakers);
        self.shared.await_slowest(&state);
        drop(state);
        drop(parted);
        wake(wakers);
    }
}
