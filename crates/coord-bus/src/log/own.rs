//! Subscribers that hold chunks of their own, and are counted in none: those that drop the newest,
//! which take nothing while they are full, and those that have been closed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Chunk;
use super::attendance::{Found, Hold, Reader};
use super::chunks::{Held, IDLE_LIST};
use super::state::{Garbage, State};

/// What a subscriber has for itself.
pub(super) struct Own<E> {
    /// What it has not left yet, in order.
    segments: VecDeque<Segment<E>>,
    /// It is a capacity behind: it takes nothing until a part of that is free again.
    full: bool,
    /// Events that it did not get just before its next, and passed while it slept.
    passed: u64,
}

/// The events of one chunk from `start` to before `end`, which is open while the chunk fills up.
struct Segment<E> {
    chunk: Chunk<E>,
    first: u64,
    start: u64,
    end: u64,
}

impl<E> Segment<E> {
    fn of(held: &Held<E>, start: u64, end: u64) -> Self {
        Self {
            chunk: Arc::clone(&held.chunk),
            first: held.first,
            start: start.max(held.first),
            end: end.min(held.end()),
        }
    }
}

impl<E> Own<E> {
    /// What these chunks have from `start` to before `end`.
    pub(super) fn of<'a>(chunks: impl Iterator<Item = &'a Held<E>>, start: u64, end: u64) -> Self
    where
        E: 'a,
    {
        Self {
            segments: chunks.map(|held| Segment::of(held, start, end)).collect(),
            full: false,
            passed: 0,
        }
    }

    /// It takes what comes from `start` on in this chunk.
    pub(super) fn begin(&mut self, held: &Held<E>, start: u64) {
        self.segments.push_back(Segment::of(held, start, u64::MAX));
    }

    /// It takes nothing from this sequence on.
    pub(super) fn end(&mut self, next: u64) {
        for segment in &mut self.segments {
            segment.end = segment.end.min(next);
        }
    }

    /// How many events it has not read: of those in its hands, up to `hand_end`, and of its own.
    pub(super) fn unread(&self, position: u64, hand_end: u64, next: u64) -> u64 {
        let in_hand = hand_end.min(next).saturating_sub(position);
        let begin = position.max(hand_end.min(next));
        let left = |segment: &Segment<E>| {
            let end = segment.end.min(next);
            end.saturating_sub(segment.start.max(begin))
        };
        in_hand + self.segments.iter().map(left).sum::<u64>()
    }

    /// The sequence of the oldest event that it keeps alive.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.segments.front().map(|segment| segment.first)
    }
}

impl<E> State<E> {
    /// Whether a subscriber that drops the newest takes it now.
    pub(super) fn takes_newest(&self, id: usize) -> bool {
        matches!(&self.readers[id].hold, Hold::Own(own) if !own.full)
    }

    /// Whether one of those that drop the newest reads on in the youngest chunk.
    pub(super) fn newest_in_tail(&self) -> bool {
        let mut newest = self.newest.iter();
        newest.any(|id| self.readers[*id].parked.is_none() && self.takes_newest(*id))
    }

    /// How much room a subscriber has that drops the newest.
    fn own_room(&self, id: usize) -> u64 {
        let reader = &self.readers[id];
        match &reader.hold {
            Hold::Own(own) => {
                let unread = own.unread(reader.position(), reader.hand_end, self.next);
                self.capacity.saturating_sub(unread)
            }
            Hold::Counted(_) => u64::MAX,
        }
    }

    /// Finds up to where those who drop the newest have room. Who has none takes nothing from now
    /// on.
    pub(super) fn look_at_newest(&mut self) {
        self.newest_limit = u64::MAX;
        for index in 0..self.newest.len() {
            let id = self.newest[index];
            let room = self.own_room(id);
            let Hold::Own(own) = &mut self.readers[id].hold else {
                continue;
            };
            if own.full {
                continue;
            }
            if room == 0 {
                own.full = true;
                own.end(self.next);
            } else {
                self.newest_limit = self.newest_limit.min(self.next.saturating_add(room));
            }
        }
        self.settle();
    }

    /// The position at or before which progress of those who are full matters.
    pub(super) fn newest_awaited(&self) -> u64 {
        let newest = self.newest.iter().map(|id| &self.readers[*id]);
        let full = newest.filter(|reader| matches!(&reader.hold, Hold::Own(own) if own.full));
        full.map(Reader::position).max().unwrap_or(0)
    }

    /// Those who were full and have a quarter of the capacity free take again what is published.
    pub(super) fn reopen_newest(&mut self) {
        for index in 0..self.newest.len() {
            self.reopen(self.newest[index]);
        }
    }

    fn reopen(&mut self, id: usize) {
        let room = self.own_room(id);
        let has_place = !self.needs_tail();
        if self.is_stopped(id) {
            return;
        }
        let Hold::Own(own) = &mut self.readers[id].hold else {
            return;
        };
        if !own.full || room < (self.capacity / 4).max(1) {
            return;
        }
        own.full = false;
        if let Some(youngest) = self.chunks.back().filter(|_| has_place) {
            own.begin(youngest, self.next);
        }
        self.newest_limit = self.newest_limit.min(self.next.saturating_add(room));
        self.settle();
    }

    /// There is a new chunk: for those who drop the newest and have room.
    pub(super) fn hand_out_tail(&mut self) {
        let Some(youngest) = self.chunks.back() else {
            return;
        };
        for id in &self.newest {
            let reader = &mut self.readers[*id];
            if reader.parked.is_none()
                && let Hold::Own(own) = &mut reader.hold
                && !own.full
            {
                own.begin(youngest, youngest.first);
            }
        }
    }

    /// [`advance`](Self::advance) for a reader that has chunks of its own.
    pub(super) fn advance_own(&mut self, id: usize) -> (Option<Found<E>>, Garbage<E>) {
        self.reopen(id);
        let next = self.next;
        let mut garbage = Garbage::new();
        let reader = &mut self.readers[id];
        let until = reader.until();
        let position = reader.cursor.position.load(Ordering::Relaxed);
        let Hold::Own(own) = &mut reader.hold else {
            return (None, garbage);
        };
        while own.segments.front().is_some_and(|first| {
            let is_whole = first.end <= first.start.max(position);
            is_whole || next <= first.start.max(position)
        }) {
            garbage.extend(own.segments.pop_front().map(|segment| segment.chunk));
        }
        let Some(segment) = own.segments.front() else {
            // Nothing left: what it did not take is behind it, and told with the next event.
            own.segments.shrink_to(IDLE_LIST);
            let passed = next.min(until) - position;
            own.passed += passed;
            let cursor = &reader.cursor;
            cursor.position.store(position + passed, Ordering::Release);
            cursor.dropped.fetch_add(passed, Ordering::Release);
            if until == u64::MAX {
                self.park(id);
                garbage.extend(self.release());
            }
            return (None, garbage);
        };
        let start = segment.start.max(position);
        let missed = start - position;
        reader.hand_end = segment.end;
        let found = Found {
            chunk: Arc::clone(&segment.chunk),
            first: segment.first,
            start,
            filled: segment.end.min(next),
            end: segment.end,
            missed: missed + std::mem::take(&mut own.passed),
        };
        if missed > 0 {
            let cursor = &reader.cursor;
            cursor.position.store(start, Ordering::Release);
            cursor.dropped.fetch_add(missed, Ordering::Release);
        }
        (Some(found), garbage)
    }
}
