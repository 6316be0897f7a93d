//! Where events are kept: chunks that are filled one after another, and dropped when all have left.

use std::sync::Arc;

use super::Chunk;
use super::attendance::Class;
use super::state::{Garbage, SMALLEST_CHUNK, State, Wakers, chunk_max};
use super::sync::OnceLock;
use crate::Envelope;

/// The largest chunk, in bytes, that a log keeps for later.
const MAX_SPARE: usize = 64 * 1024;

/// The largest that it keeps while it holds no event: there may be a thousand such topics.
const MAX_IDLE_SPARE: usize = 256;

/// How many chunks the lists of an idle log have room for.
pub(super) const IDLE_LIST: usize = 1;

/// A chunk, and how many subscribers may still read in it.
pub(super) struct Held<E> {
    pub(super) first: u64,
    pub(super) chunk: Chunk<E>,
    readers: Readers,
}

/// How many subscribers there are of each class that is counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Readers([u32; 3]);

impl Readers {
    #[inline]
    pub(super) fn of(&mut self, class: Class) -> &mut u32 {
        &mut self.0[class as usize]
    }

    fn has(self, class: Class) -> bool {
        self.0[class as usize] > 0
    }
}

impl<E> Held<E> {
    pub(super) fn end(&self) -> u64 {
        self.first + self.chunk.len() as u64
    }

    pub(super) fn readers(&mut self, class: Class) -> &mut u32 {
        self.readers.of(class)
    }

    /// Whether it has one of the last `window` events before `next`.
    fn is_within(&self, window: u64, next: u64) -> bool {
        self.end().saturating_add(window) > next
    }
}

impl<E> State<E> {
    /// Takes the next place in the order for an event, which is moved there from where it is and
    /// nowhere in between. There must be a place.
    #[inline]
    pub(super) fn push(&mut self, envelope: &mut Option<Envelope<E>>) {
        let place = &self.tail[(self.next - self.tail_first) as usize];
        place.get_or_init(|| envelope.take().expect("an event is appended once"));
        self.next += 1;
    }

    /// Counts an event that nobody will ever read. There must be no tail with a place for it.
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether there is no place for the next event.
    pub(super) fn needs_tail(&self) -> bool {
        self.next >= self.tail_first + self.tail.len() as u64
    }

    /// Makes sure of a place for the next event: in the tail, or in a new one, which may be the
    /// spare chunk if that has the right size.
    pub(super) fn make_tail(&mut self, wakers: &mut Wakers) -> Garbage<E> {
        if !self.needs_tail() {
            return Garbage::new();
        }
        if !self.tail.is_empty() {
            self.chunk_next = (self.chunk_next * 2).min(chunk_max(self.capacity));
        }
        self.tail = match self.spare.take() {
            Some(spare) if spare.len() == self.chunk_next => spare,
            _ => (0..self.chunk_next).map(|_| OnceLock::new()).collect(),
        };
        self.tail_first = self.next;
        if self.chunks.is_empty() {
            // Where no more than one is in use, it costs no more.
            self.chunks.reserve_exact(1);
        }
        self.chunks.push_back(Held {
            first: self.next,
            chunk: Arc::clone(&self.tail),
            readers: self.awake,
        });
        self.hand_out_tail();
        // Whoever is parked is done with the chunk before, and only now counted: in this one.
        self.unpark(wakers);
        let garbage = self.release();
        self.settle();
        garbage
    }

    /// Whether somebody may read in this chunk, now or later.
    fn is_needed(&self, held: &Held<E>) -> bool {
        held.readers.has(Class::Lossless)
            || held.readers.has(Class::Oldest) && held.is_within(self.capacity, self.next)
            || held.readers.has(Class::Latest) && held.is_within(1, self.next)
            || self.keep > 0 && held.is_within(self.keep, self.next)
    }

    /// Takes out the chunks that nobody needs: every subscriber has left them, or only some that
    /// may lose events have not, and those have enough of later ones to read.
    pub(super) fn release(&mut self) -> Garbage<E> {
        let mut garbage = Garbage::new();
        while self
            .chunks
            .front()
            .is_some_and(|held| !self.is_needed(held))
        {
            let is_tail = self.chunks.len() == 1 && !self.needs_tail();
            if is_tail && self.newest_in_tail() {
                break;
            }
            self.oldest += 1;
            garbage.extend(self.chunks.pop_front().map(|held| held.chunk));
        }
        if self.chunks.is_empty() && !self.tail.is_empty() {
            let used = (self.next - self.tail_first) as usize;
            if used <= self.chunk_next / 4 {
                let smallest = chunk_max(self.capacity).min(SMALLEST_CHUNK);
                self.chunk_next = (self.chunk_next / 2).max(smallest);
            }
            let is_large = |spare: &mut Chunk<E>| size_of_val(&**spare) > MAX_IDLE_SPARE;
            garbage.extend(self.spare.take_if(is_large));
            self.chunks.shrink_to(IDLE_LIST);
            // The same chunk as the last of the garbage: let go of, so that it can be used again.
            self.tail = Chunk::default();
            self.tail_first = self.next;
            self.settle();
        }
        garbage
    }

    /// Keeps an empty chunk for the next tail, unless it is too large for that. The one that is
    /// not kept, to be dropped outside.
    pub(super) fn keep_spare(&mut self, chunk: Chunk<E>) -> Option<Chunk<E>> {
        let max = match self.chunks.is_empty() {
            true => MAX_IDLE_SPARE,
            false => MAX_SPARE,
        };
        if size_of_val(&*chunk) > max {
            return Some(chunk);
        }
        self.spare.replace(chunk)
    }

    pub(super) fn leave(&mut self, number: u64, class: Class) {
        // An evicted chunk has nobody left to count.
        if let Some(held) = self.held_mut(number) {
            *held.readers(class) -= 1;
        }
    }

    pub(super) fn held_mut(&mut self, number: u64) -> Option<&mut Held<E>> {
        let index = number.checked_sub(self.oldest)?;
        self.chunks.get_mut(usize::try_from(index).ok()?)
    }
}
