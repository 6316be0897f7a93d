//! Who reads: subscribers come and go, get on from chunk to chunk, and sleep.

use std::panic::Location;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Waker;

use super::Chunk;
use super::chunks::Held;
use super::own::Own;
use super::sieve::{Assist, Woken};
use super::state::{Garbage, State, Wakers};
use super::sync::AtomicU64;
use crate::Overflow;

/// How far a subscriber is. On a cache line of its own: it is written for every event.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Cursor {
    /// The sequence of the event that it gets next.
    pub(crate) position: AtomicU64,
    /// It gets nothing from this sequence on.
    pub(crate) until: AtomicU64,
    /// Of the events before its position, those that overflow took from it, …
    pub(crate) dropped: AtomicU64,
    /// … those that a newer one has replaced, …
    pub(crate) conflated: AtomicU64,
    /// … those that its filter did not let through, …
    pub(crate) filtered: AtomicU64,
    /// … and those that are kept for it elsewhere.
    pub(crate) held: AtomicU64,
}

impl Cursor {
    pub(crate) fn at(position: u64) -> Self {
        Self {
            position: AtomicU64::new(position),
            until: AtomicU64::new(u64::MAX),
            dropped: AtomicU64::new(0),
            conflated: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            held: AtomicU64::new(0),
        }
    }
}

/// What is known of a subscriber for people, and what it asked for.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) group: Option<Arc<str>>,
    pub(crate) place: &'static Location<'static>,
    pub(crate) overflow: Overflow,
    pub(crate) filtered: bool,
}

/// How a subscriber keeps alive what it is to read.
pub(super) enum Hold<E> {
    /// It is counted in each chunk that it has not left.
    Counted(Class),
    /// It has chunks of its own.
    Own(Box<Own<E>>),
}

impl<E> Hold<E> {
    /// Keeps what these chunks have from `start` to before `end`.
    fn own<'a>(chunks: impl Iterator<Item = &'a Held<E>>, start: u64, end: u64) -> Self
    where
        E: 'a,
    {
        Self::Own(Box::new(Own::of(chunks, start, end)))
    }
}

/// How far back a counted subscriber reads, once it has left what it has in its hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// To where it is: it loses nothing.
    Lossless,
    /// The topic's capacity.
    Oldest,
    /// The newest event alone.
    Latest,
}

pub(super) struct Reader<E> {
    pub(super) cursor: Arc<Cursor>,
    pub(super) label: Label,
    pub(super) hold: Hold<E>,
    pub(super) start: u64,
    /// The number of the chunk in its hands, or else of the earliest that can be the next.
    pub(super) number: u64,
    /// Where the chunk in its hands ends; 0: it has none.
    pub(super) hand_end: u64,
    /// Where it stands in `State::parked`, once it has found nothing left to read.
    pub(super) parked: Option<u32>,
    pub(super) waker: Option<Waker>,
    /// Reads on its behalf.
    pub(super) assist: Option<Weak<dyn Assist>>,
}

impl<E> Reader<E> {
    pub(super) fn position(&self) -> u64 {
        self.cursor.position.load(Ordering::Acquire)
    }

    pub(super) fn until(&self) -> u64 {
        self.cursor.until.load(Ordering::Relaxed)
    }

    /// Whether it has got everything that it was to get.
    pub(super) fn is_through(&self, next: u64) -> bool {
        // What is kept for it is counted before its position passes that.
        self.position() >= next.min(self.until()) && self.cursor.held.load(Ordering::Acquire) == 0
    }

    pub(super) fn class(&self) -> Option<Class> {
        match self.hold {
            Hold::Counted(class) => Some(class),
            Hold::Own(_) => None,
        }
    }

    /// Whether publishers wait for it.
    pub(super) fn is_lossless(&self) -> bool {
        self.class() == Some(Class::Lossless) && self.label.overflow == Overflow::Block
    }

    /// Whether publishers read on its behalf once it is far behind.
    pub(super) fn is_folded(&self) -> bool {
        self.class() == Some(Class::Lossless) && self.label.overflow == Overflow::Latest
    }

    /// Those who wake it: its own waker, or whoever looks first whether it is worth it.
    fn take_woken(&mut self) -> Option<Woken> {
        match &self.assist {
            Some(assist) if self.label.filtered && self.waker.is_some() => {
                Some(Woken::Sift(Weak::clone(assist)))
            }
            _ => self.waker.take().map(Woken::of),
        }
    }
}

/// Where a reader goes on.
pub(super) struct Found<E> {
    pub(super) chunk: Chunk<E>,
    /// The sequence of the chunk's first event.
    pub(super) first: u64,
    /// The sequences of the event to go on with, of the first that is not there yet, and of the
    /// first that the reader is not to read in this chunk.
    pub(super) start: u64,
    pub(super) filled: u64,
    pub(super) end: u64,
    /// How many events it did not get just before.
    pub(super) missed: u64,
}

impl<E> State<E> {
    /// A new subscriber: it gets what is retained, and what is published from now on.
    pub(super) fn join(
        &mut self,
        label: Label,
        class: Option<Class>,
        assist: Option<Weak<dyn Assist>>,
    ) -> (usize, Arc<Cursor>) {
        let oldest = self.chunks.front().map_or(self.next, |held| held.first);
        let start = self.next.saturating_sub(self.retain).max(oldest);
        let cursor = Arc::new(Cursor::at(start));
        let passed = self.chunks.iter().take_while(|held| held.end() <= start);
        let passed = passed.count();
        let hold = match class {
            Some(class) => {
                for held in self.chunks.iter_mut().skip(passed) {
                    *held.readers(class) += 1;
                }
                *self.awake.of(class) += 1;
                Hold::Counted(class)
            }
            None => Hold::own(self.chunks.iter().skip(passed), start, u64::MAX),
        };
        let is_own = matches!(hold, Hold::Own(_));
        let id = self.readers.insert(Reader {
            cursor: Arc::clone(&cursor),
            label,
            hold,
            start,
            number: self.oldest + passed as u64,
            hand_end: 0,
            parked: None,
            waker: None,
            assist,
        });
        self.listeners += 1;
        if is_own {
            self.newest.push(id);
            self.look_at_newest();
        }
        let room_until = start.saturating_add(self.capacity);
        if self.readers[id].is_lossless() {
            self.limit = self.limit.min(room_until);
        } else if self.readers[id].is_folded() {
            self.fold_limit = self.fold_limit.min(room_until);
        }
        self.settle();
        (id, cursor)
    }

    /// A subscriber goes.
    pub(super) fn part(&mut self, id: usize, wakers: &mut Wakers) -> (Garbage<E>, Reader<E>) {
        let was_parked = self.unpark_one(id);
        let reader = self.readers.remove(id);
        let settled = self.ledger(&reader).settled();
        **self.gone.get_or_insert_default() += settled;
        if reader.until() == u64::MAX {
            self.stop_listening(id);
        }
        if let Hold::Counted(class) = reader.hold
            && !was_parked
        {
            self.leave_all(reader.number, class);
        }
        let garbage = self.release();
        self.look_again(wakers);
        (garbage, reader)
    }

    /// A subscriber takes no more: it keeps for itself what it was to get until now, and holds
    /// nobody up. Woken, if it slept.
    pub(super) fn stop(&mut self, id: usize, wakers: &mut Wakers) -> Garbage<E> {
        if self.readers[id].until() != u64::MAX {
            return Garbage::new();
        }
        let was_parked = self.unpark_one(id);
        let (next, reach) = (self.next, self.reach(id));
        let reader = &mut self.readers[id];
        reader.cursor.until.store(next, Ordering::Relaxed);
        wakers.extend(reader.waker.take().map(Woken::of));
        match &mut reader.hold {
            Hold::Own(own) => own.end(next),
            Hold::Counted(class) => {
                let class = *class;
                let left = match was_parked {
                    true => self.chunks.len(),
                    false => reader.number.saturating_sub(self.oldest) as usize,
                };
                reader.hold = Hold::own(self.chunks.iter().skip(left), reach, next);
                let number = reader.number;
                if !was_parked {
                    self.leave_all(number, class);
                }
            }
        }
        self.stop_listening(id);
        let garbage = self.release();
        self.look_again(wakers);
        garbage
    }

    fn stop_listening(&mut self, id: usize) {
        self.listeners -= 1;
        self.newest.retain(|newest| *newest != id);
    }

    /// Leaves every chunk from this number on.
    fn leave_all(&mut self, number: u64, class: Class) {
        *self.awake.of(class) -= 1;
        for number in number.max(self.oldest)..self.oldest + self.chunks.len() as u64 {
            self.leave(number, class);
        }
    }

    /// After a subscriber that others may have waited for is gone.
    fn look_again(&mut self, wakers: &mut Wakers) {
        // Looking at every cursor when nobody waits would make leaving cost more the more there
        // are: the limit is looked at again once somebody reaches it.
        if self.is_awaited() {
            self.look_at_cursors();
            self.grant(wakers);
            self.progress(wakers);
        }
        self.settle();
    }

    /// The sequence of the oldest event that a subscriber may still get, were it to let go of the
    /// chunk in its hands.
    pub(super) fn reach(&self, id: usize) -> u64 {
        let reader = &self.readers[id];
        let position = reader.position();
        match reader.class() {
            Some(Class::Oldest) => position.max(self.next.saturating_sub(self.capacity)),
            Some(Class::Latest) => position.max(self.next.saturating_sub(1)),
            Some(Class::Lossless) | None => position,
        }
    }

    /// Where a reader goes on: in the chunk after the one in its hands, if that has been read
    /// `whole`, or later. It leaves the one that it holds, if it does not go on in that. `None`:
    /// it has read everything, and is parked, unless it takes no more.
    pub(super) fn advance(&mut self, id: usize, whole: bool) -> (Option<Found<E>>, Garbage<E>) {
        let reader = &mut self.readers[id];
        if reader.parked.is_some() {
            return (None, Garbage::new());
        }
        let holds = std::mem::take(&mut reader.hand_end) != 0;
        let Some(class) = reader.class() else {
            return self.advance_own(id);
        };
        let held = reader.number;
        let mut number = held + u64::from(holds && whole);
        let position = reader.position();
        let start = self.reach(id);
        if held != number || start == self.next {
            self.leave(held, class);
        }
        let mut found = None;
        if start == self.next {
            self.park(id);
        } else {
            number = number.max(self.oldest);
            while let Some(held) = self.held_mut(number)
                && held.end() <= start
            {
                *held.readers(class) -= 1;
                number += 1;
            }
            let next = self.next;
            found = self.held_mut(number).map(|held| Found {
                chunk: Arc::clone(&held.chunk),
                first: held.first,
                start,
                filled: next.min(held.end()),
                end: held.end(),
                missed: start - position,
            });
        }
        let reader = &mut self.readers[id];
        reader.number = number;
        if let Some(found) = &found {
            reader.hand_end = found.first + found.chunk.len() as u64;
        }
        if start > position {
            let cursor = &reader.cursor;
            let count = match class {
                Class::Latest => &cursor.conflated,
                Class::Oldest | Class::Lossless => &cursor.dropped,
            };
            cursor.position.store(start, Ordering::Release);
            count.fetch_add(start - position, Ordering::Release);
        }
        (found, self.release())
    }

    pub(super) fn park(&mut self, id: usize) {
        let reader = &mut self.readers[id];
        reader.parked = Some(self.parked.len() as u32);
        self.parked.push(id as u32);
        if let Some(class) = reader.class() {
            *self.awake.of(class) -= 1;
        }
    }

    /// Leaves a parked reader's waker for the next event. The waker that this replaces comes
    /// back, to be dropped outside.
    pub(super) fn set_waker(&mut self, id: usize, waker: &Waker) -> Option<Waker> {
        match &mut self.readers[id].waker {
            Some(old) if old.will_wake(waker) => None,
            parked => parked.replace(waker.clone()),
        }
    }

    pub(super) fn is_stopped(&self, id: usize) -> bool {
        self.readers[id].until() != u64::MAX
    }

    pub(super) fn take_waker(&mut self, id: usize) -> Option<Waker> {
        self.readers[id].waker.take()
    }

    /// Takes one reader that goes from the parked. Whether it was.
    fn unpark_one(&mut self, id: usize) -> bool {
        let reader = &mut self.readers[id];
        let Some(index) = reader.parked.take() else {
            return false;
        };
        self.parked.swap_remove(index as usize);
        if let Some(moved) = self.parked.get(index as usize) {
            self.readers[*moved as usize].parked = Some(index);
        }
        true
    }

    /// Those for whom whoever has published is to read: they are a capacity behind.
    pub(super) fn take_folded(&mut self, wakers: &mut Wakers) {
        self.fold_limit = u64::MAX;
        for (_, reader) in &self.readers {
            if !reader.is_folded() {
                continue;
            }
            let mut limit = reader.position().saturating_add(self.capacity);
            if limit <= self.next
                && let Some(assist) = &reader.assist
            {
                wakers.push(Woken::Fold(Weak::clone(assist)));
                limit = self.next + (self.capacity / 4).max(1);
            }
            self.fold_limit = self.fold_limit.min(limit);
        }
        self.settle();
    }

    /// There is more to read for all who are parked: they count in the tail again, or have it for
    /// themselves. Adds those who wake them.
    pub(super) fn unpark(&mut self, wakers: &mut Wakers) {
        wakers.reserve(self.parked.len());
        let mut youngest = self.chunks.back_mut();
        for id in self.parked.drain(..) {
            let reader = &mut self.readers[id as usize];
            reader.parked = None;
            match (&mut reader.hold, &mut youngest) {
                (Hold::Counted(class), Some(youngest)) => {
                    *youngest.readers(*class) += 1;
                    *self.awake.of(*class) += 1;
                }
                (Hold::Own(own), Some(youngest)) => {
                    own.begin(youngest, reader.cursor.position.load(Ordering::Relaxed));
                }
                (_, None) => {}
            }
            wakers.extend(reader.take_woken());
        }
    }

    /// The wakers of the parked, who stay parked: there is nothing to read.
    pub(super) fn parked_wakers(&mut self) -> Wakers {
        let readers = &mut self.readers;
        self.parked
            .iter()
            .filter_map(|id| readers[*id as usize].waker.take())
            .map(Woken::of)
            .collect()
    }

    #[inline]
    pub(super) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }
}
