//! What became of each item: a [`Ledger`], and how to read it from elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// What became of the items of a stream: `received = given_out + merged + dropped + held`.
///
/// That holds whenever it is read, also after a panic in a closure that an operator was given. One
/// that is read from elsewhere, by a [`LedgerHandle`], is as of the end of the last poll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Ledger {
    /// Items taken from the source.
    pub received: u64,
    /// Items that came out: of a batch or a window each one, of a merged state the one that it
    /// began with. An item that is in several windows counts when it has been in its last.
    pub given_out: u64,
    /// Items merged into another that is held, or has come out since.
    pub merged: u64,
    /// Items that will not come out, by reason.
    pub dropped: Dropped,
    /// Items that wait in the operator.
    pub held: u64,
}

/// Items that did not come out, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Dropped {
    /// Came too soon after another, or was replaced by a later one: `throttle`, `debounce`,
    /// `audit`, `sample`.
    pub superseded: u64,
    /// Was there before: `distinct` and its variants.
    pub repeated: u64,
    /// Was too old: `expire_after`.
    pub expired: u64,
    /// Was not relevant: [`Settings::relevant`](crate::Settings::relevant).
    pub irrelevant: u64,
    /// Was more than the rate allows: `rate_limit` with `enforce`.
    pub limited: u64,
    /// There was no room: `on_overflow`.
    pub overflowed: u64,
    /// Belonged to a group that nobody reads any more: `group_by`.
    pub unread: u64,
    /// Was held when its stream was dropped, or was in hand when a closure panicked.
    pub discarded: u64,
}

/// The reasons, in the order of [`Dropped::parts`].
const REASONS: [&str; 8] = [
    "superseded",
    "repeated",
    "expired",
    "irrelevant",
    "limited",
    "overflowed",
    "unread",
    "discarded",
];

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.parts().into_iter().sum()
    }

    /// Those that there are since an earlier time, with their names.
    pub(crate) fn named_since(&self, earlier: &Self) -> BTreeMap<String, u64> {
        let since = self.parts().into_iter().zip(earlier.parts());
        let since = since.map(|(now, before)| now.wrapping_sub(before));
        let named = REASONS.into_iter().zip(since);
        let named = named.filter(|(_, dropped)| *dropped > 0);
        named
            .map(|(reason, dropped)| (reason.to_owned(), dropped))
            .collect()
    }

    fn parts(&self) -> [u64; 8] {
        [
            self.superseded,
            self.repeated,
            self.expired,
            self.irrelevant,
            self.limited,
            self.overflowed,
            self.unread,
            self.discarded,
        ]
    }

    fn parts_mut(&mut self) -> [&mut u64; 8] {
        [
            &mut self.superseded,
            &mut self.repeated,
            &mut self.expired,
            &mut self.irrelevant,
            &mut self.limited,
            &mut self.overflowed,
            &mut self.unread,
            &mut self.discarded,
        ]
    }
}

impl Ledger {
    /// Whether each item is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.received == self.given_out + self.merged + self.dropped.total() + self.held
    }

    /// Adds what has changed from one ledger to a later one.
    fn add_change(&mut self, before: &Self, after: &Self) {
        let change = |sum: &mut u64, before: u64, after: u64| {
            // What is held may have become less.
            *sum = sum.wrapping_add(after.wrapping_sub(before));
        };
        change(&mut self.received, before.received, after.received);
        change(&mut self.given_out, before.given_out, after.given_out);
        change(&mut self.merged, before.merged, after.merged);
        change(&mut self.held, before.held, after.held);
        let parts = before.dropped.parts().into_iter();
        let parts = parts.zip(after.dropped.parts());
        for (sum, (before, after)) in self.dropped.parts_mut().into_iter().zip(parts) {
            change(sum, before, after);
        }
    }
}

/// The ledger of a stream, or of several together, wherever they are now. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct LedgerHandle(Arc<Mutex<Told>>);

/// What a handle has been told.
#[derive(Debug, Default)]
struct Told {
    ledger: Ledger,
    /// A sum to which it is passed on. That is no handle that anybody else has, so there is no ring.
    sum: Option<LedgerHandle>,
}

impl LedgerHandle {
    /// What became of the items so far. Once the stream is gone, what it held is
    /// [`discarded`](Dropped::discarded).
    pub fn ledger(&self) -> Ledger {
        self.told().ledger
    }

    /// Adds it to this sum: what it has by now, and what changes from now on. Whether it does, as it
    /// can be added to one sum only.
    pub(crate) fn add_to(&self, sum: &Self) -> bool {
        let mut told = self.told();
        let is_free = told.sum.is_none();
        if is_free {
            sum.add_change(&Ledger::default(), &told.ledger);
            told.sum = Some(sum.clone());
        }
        is_free
    }

    fn add_change(&self, before: &Ledger, after: &Ledger) {
        let mut told = self.told();
        told.ledger.add_change(before, after);
        if let Some(sum) = &told.sum {
            sum.add_change(before, after);
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An operator's own ledger, and who is told of it: counted in plain numbers, told once a poll.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) ledger: Ledger,
    /// What the two below know of it.
    told: Ledger,
    /// The sum of all streams of a topic. Not the handle, which is of this stream alone, and which
    /// may be added to another sum.
    account: Option<LedgerHandle>,
    handle: Option<LedgerHandle>,
}

impl Books {
    /// Those of one of the streams of a topic, with the sum of them all.
    pub(crate) fn of(account: LedgerHandle) -> Self {
        let mut books = Self::default();
        books.account = Some(account);
        books
    }

    pub(crate) fn handle(&mut self) -> LedgerHandle {
        if let Some(handle) = &self.handle {
            return handle.clone();
        }
        self.tell();
        self.told = self.ledger;
        let handle = LedgerHandle::default();
        handle.add_change(&Ledger::default(), &self.told);
        self.handle.insert(handle).clone()
    }

    /// At the end of each poll, with what is held now.
    pub(crate) fn close(&mut self, held: usize) {
        self.ledger.held = held as u64;
        debug_assert!(self.ledger.is_balanced(), "{:?}", self.ledger);
        self.tell();
    }

    /// At the end of a poll in which a closure of the user's panicked: what is neither held nor counted
    /// was in its hands.
    pub(crate) fn close_after_panic(&mut self, held: usize) {
        let ledger = &mut self.ledger;
        ledger.held = held as u64;
        let known = ledger.given_out + ledger.merged + ledger.dropped.total() + ledger.held;
        ledger.dropped.discarded += ledger.received.saturating_sub(known);
        self.close(held);
    }

    fn tell(&mut self) {
        let mut listeners = self.account.iter().chain(&self.handle).peekable();
        if listeners.peek().is_none() {
            return;
        }
        listeners.for_each(|listener| listener.add_change(&self.told, &self.ledger));
        self.told = self.ledger;
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        self.ledger.dropped.discarded += std::mem::take(&mut self.ledger.held);
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_called_as_in_a_ledger() {
        let mut dropped = Dropped::default();
        for (number, part) in (1..).zip(dropped.parts_mut()) {
            *part = number;
        }
        let named = dropped.named_since(&Dropped::default());
        assert_eq!(
            serde_json::to_value(named).unwrap(),
            serde_json::to_value(dropped).unwrap()
        );
    }
}
