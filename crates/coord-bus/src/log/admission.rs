//! Who may publish: what room there is, and whose turn it is.

use std::task::Waker;

use super::sieve::Woken;
use super::state::{State, Wakers};

impl<E> State<E> {
    /// Whether an event may be appended with no further question.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.next < self.open_until
    }

    /// Whether an event may be published now by who holds no grant. Who waits comes first.
    pub(super) fn has_room(&mut self, wakers: &mut Wakers) -> bool {
        if self.queue.is_empty() && self.next + self.granted < self.limit {
            return true;
        }
        self.look_at_cursors();
        self.grant(wakers);
        self.next + self.granted < self.limit
    }

    pub(super) fn look_at_cursors(&mut self) {
        let slowest = self
            .readers
            .iter()
            .filter(|(_, reader)| reader.is_lossless())
            .map(|(_, reader)| reader.position())
            .min();
        self.limit = slowest.map_or(u64::MAX, |position| position.saturating_add(self.capacity));
        self.settle();
    }

    /// To be called after a change to anything that `open_until` sums up.
    pub(super) fn settle(&mut self) {
        let waited_for =
            self.closed || !self.queue.is_empty() || !self.onlookers.is_empty() || !self.is_heard();
        self.open_until = if waited_for {
            0
        } else {
            // More may be promised than there is room: to publishers whom nobody held back, before
            // a lossless subscriber joined.
            let limit = self.limit.saturating_sub(self.granted);
            limit
                .min(self.newest_limit)
                .min(self.fold_limit)
                .min(self.tail_first + self.tail.len() as u64)
        };
    }

    /// Promises what room there is to the publishers that have waited longest.
    pub(super) fn grant(&mut self, wakers: &mut Wakers) {
        while self.next + self.granted < self.limit {
            let Some((_, waker)) = self.queue.pop_first() else {
                return;
            };
            self.granted += 1;
            self.settle();
            wakers.push(Woken::of(waker));
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
            return u64::MAX;
        }
        let slowest = match self.queue.is_empty() {
            true => 0,
            false => self.limit.saturating_sub(self.capacity),
        };
        slowest.max(self.newest_awaited())
    }

    /// Whether anybody waits for a subscriber.
    pub(super) fn is_awaited(&self) -> bool {
        !self.queue.is_empty() || !self.idle.is_empty()
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
        self.reopen_newest();
        if !self.idle.is_empty() && self.is_idle() {
            let idle = std::mem::take(&mut self.idle).into_values();
            wakers.extend(idle.map(Woken::of));
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.readers
            .iter()
            .all(|(_, reader)| reader.is_through(self.next))
    }

    /// Whom to wake then, at the place of this ticket, if there is one already.
    pub(super) fn wait_for_idle(&mut self, ticket: &mut Option<u64>, waker: &Waker) {
        let ticket = *ticket.get_or_insert_with(|| {
            self.next_ticket += 1;
            self.next_ticket
        });
        self.idle.insert(ticket, waker.clone());
    }
}
