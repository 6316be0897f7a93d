//! Where events are kept: chunks that are filled one after another, and dropped when all have left.

use std::sync::{Arc, OnceLock};

use super::Chunk;
use super::state::{Garbage, Held, SMALLEST_CHUNK, State, Wakers};
use crate::Envelope;

impl<E> State<E> {
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

    /// Takes out the chunks that nobody needs: every subscriber has left them, or only lossy ones
    /// have not, and those have `capacity` later events to read.
    pub(super) fn release(&mut self) -> Garbage<E> {
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

    pub(super) fn leave(&mut self, number: u64, lossless: bool) {
        // An evicted chunk has nobody left to count.
        if let Some(held) = self.held_mut(number) {
            *held.readers(lossless) -= 1;
        }
    }

    pub(super) fn held_mut(&mut self, number: u64) -> Option<&mut Held<E>> {
        let index = number.checked_sub(self.oldest)?;
        self.chunks.get_mut(usize::try_from(index).ok()?)
    }
}
