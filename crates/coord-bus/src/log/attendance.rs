//! Who reads: subscribers come and go, get on from chunk to chunk, and sleep.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use super::state::{Cursor, Found, Garbage, Reader, State, Wakers};
use crate::Overflow;

impl<E> State<E> {
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
    pub(super) fn parked_wakers(&mut self) -> Wakers {
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
}
