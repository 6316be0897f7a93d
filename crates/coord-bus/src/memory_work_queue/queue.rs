//! One queue, as plain data: where each item is, what is due when, and who waits for an item.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::task::Waker;

use jiff::Timestamp;

use crate::time::Instant;
use crate::{ClaimedItem, DeadItem, QueueCounts, QueueLimits, Record};

/// Items by their ids, which are in the order of their pushes, and an index for each question.
#[derive(Default)]
pub(super) struct Queue {
    items: BTreeMap<u64, Item>,
    ready: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    claimed: usize,
    /// When which delayed item is ready, or which claimed one is so again.
    due: BTreeSet<(Instant, u64)>,
    /// Who waits, by tickets that rise. There is a waker while nothing has happened since its
    /// owner looked.
    waiting: BTreeMap<u64, Option<Waker>>,
}

struct Item {
    record: Record,
    pushed_at: Timestamp,
    deliveries: u32,
    place: Place,
}

/// Where an item is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Ready,
    Delayed { until: Instant },
    Claimed { until: Instant, token: u64 },
    Dead,
}

// Items.
impl Queue {
    pub(super) fn push(&mut self, id: u64, record: Record, pushed_at: Timestamp) {
        let place = Place::Ready;
        let item = Item {
            record,
            pushed_at,
            deliveries: 0,
            place,
        };
        self.items.insert(id, item);
        self.enter(id, place);
    }

    /// Hands out the oldest ready item.
    pub(super) fn deliver(
        &mut self,
        name: &str,
        token: u64,
        until: Instant,
    ) -> Option<ClaimedItem> {
        let id = *self.ready.first()?;
        self.put(id, Place::Claimed { until, token });
        let item = self.items.get_mut(&id)?;
        item.deliveries += 1;
        Some(ClaimedItem {
            queue: name.to_owned(),
            id,
            token,
            delivery: item.deliveries,
            held_until: until,
            pushed_at: item.pushed_at,
            item: item.record.clone(),
        })
    }

    /// Lets happen what was due by now: to be called before any look at the items.
    pub(super) fn settle(&mut self, now: Instant, limits: &QueueLimits) {
        while let Some(&(until, id)) = self.due.first()
            && until <= now
        {
            self.give_back(id, Place::Ready, limits);
        }
    }

    /// Puts an item back into a place, or to the dead after its last delivery.
    pub(super) fn give_back(&mut self, id: u64, to: Place, limits: &QueueLimits) {
        let deliveries = self.items.get(&id).map_or(0, |item| item.deliveries);
        let is_spent = deliveries >= limits.max_deliveries.max(1);
        self.put(id, if is_spent { Place::Dead } else { to });
    }

    /// Moves an item to a place.
    pub(super) fn put(&mut self, id: u64, to: Place) {
        if let Some(item) = self.items.get_mut(&id) {
            let from = mem::replace(&mut item.place, to);
            self.leave(id, from);
            self.enter(id, to);
        }
    }

    /// Makes a dead item as good as new, if it is there.
    pub(super) fn revive(&mut self, id: u64) -> bool {
        let is_dead = self.dead.contains(&id);
        if is_dead && let Some(item) = self.items.get_mut(&id) {
            item.deliveries = 0;
            self.put(id, Place::Ready);
        }
        is_dead
    }

    /// Removes a dead item, if it is there.
    pub(super) fn remove_dead(&mut self, id: u64) -> bool {
        let is_dead = self.dead.contains(&id);
        if is_dead {
            self.remove(id);
        }
        is_dead
    }

    pub(super) fn remove(&mut self, id: u64) {
        if let Some(item) = self.items.remove(&id) {
            self.leave(id, item.place);
        }
    }

    fn enter(&mut self, id: u64, place: Place) {
        match place {
            Place::Ready => _ = self.ready.insert(id),
            Place::Dead => _ = self.dead.insert(id),
            Place::Delayed { until } => _ = self.due.insert((until, id)),
            Place::Claimed { until, .. } => {
                self.due.insert((until, id));
                self.claimed += 1;
            }
        }
    }

    fn leave(&mut self, id: u64, place: Place) {
        match place {
            Place::Ready => _ = self.ready.remove(&id),
            Place::Dead => _ = self.dead.remove(&id),
            Place::Delayed { until } => _ = self.due.remove(&(until, id)),
            Place::Claimed { until, .. } => {
                self.due.remove(&(until, id));
                self.claimed -= 1;
            }
        }
    }
}

// Questions.
impl Queue {
    pub(super) fn has_claimable(&self, limits: &QueueLimits) -> bool {
        !self.ready.is_empty() && self.claimed < limits.max_claimed.max(1)
    }

    pub(super) fn is_held_by(&self, claim: &ClaimedItem) -> bool {
        let place = self.items.get(&claim.id).map(|item| item.place);
        matches!(place, Some(Place::Claimed { token, .. }) if token == claim.token)
    }

    /// When something will be due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|&(until, _)| until)
    }

    pub(super) fn dead(&self, from: u64) -> impl Iterator<Item = DeadItem> {
        let items = self.dead.range(from..).map(|id| (*id, &self.items[id]));
        items.map(|(id, item)| DeadItem {
            id,
            deliveries: item.deliveries,
            pushed_at: item.pushed_at,
            item: item.record.clone(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn counts(&self) -> QueueCounts {
        QueueCounts {
            ready: self.ready.len(),
            delayed: self.due.len() - self.claimed,
            claimed: self.claimed,
            dead: self.dead.len(),
        }
    }

    /// Whether nobody would miss the queue.
    pub(super) fn is_forgettable(&self) -> bool {
        self.items.is_empty() && self.waiting.is_empty()
    }
}

// Who waits.
impl Queue {
    pub(super) fn join(&mut self, ticket: u64) {
        self.waiting.insert(ticket, None);
    }

    pub(super) fn is_first(&self, ticket: u64) -> bool {
        self.waiting
            .first_key_value()
            .is_some_and(|(first, _)| *first == ticket)
    }

    /// Has the owner of a ticket woken by what happens next. The waker that this replaces comes
    /// back, to be dropped outside.
    pub(super) fn wait(&mut self, ticket: u64, waker: &Waker) -> Option<Waker> {
        self.waiting.insert(ticket, Some(waker.clone())).flatten()
    }

    /// Strikes a ticket off. Its waker comes back, to be dropped outside.
    pub(super) fn leave_line(&mut self, ticket: u64) -> Option<Waker> {
        self.waiting.remove(&ticket).flatten()
    }

    /// The waker of who is first, and looks at the queue for all: to be woken after each change.
    pub(super) fn first_waker(&mut self) -> Option<Waker> {
        let mut first = self.waiting.first_entry()?;
        first.get_mut().take()
    }
}
