//! What became of each event: the ledger of every subscriber, and what a topic tells of itself.

use std::sync::atomic::Ordering;

use super::attendance::{Class, Hold, Reader};
use super::state::State;
use crate::{Ledger, Overflow, SubscriberStats, TopicStats};

impl<E> State<E> {
    /// What became of the events that a subscriber was to get.
    pub(super) fn ledger(&self, reader: &Reader<E>) -> Ledger {
        let cursor = &reader.cursor;
        // The counts before the position: an event passes it first, and is counted then.
        let held = cursor.held.load(Ordering::Acquire);
        let filtered = cursor.filtered.load(Ordering::Acquire);
        let mut conflated = cursor.conflated.load(Ordering::Acquire);
        let mut dropped = cursor.dropped.load(Ordering::Acquire);
        let position = reader.position();
        let end = self.next.min(reader.until());
        let passed = position - reader.start;
        let delivered = passed.saturating_sub(dropped + conflated + filtered + held);
        // It will find that it lost these: they are out of its reach already.
        let hand_end = reader.hand_end.max(position);
        match &reader.hold {
            Hold::Counted(Class::Lossless) => {}
            Hold::Counted(Class::Oldest) => {
                dropped += end.saturating_sub(self.capacity).saturating_sub(hand_end);
            }
            Hold::Counted(Class::Latest) => {
                conflated += end.saturating_sub(1).saturating_sub(position);
            }
            Hold::Own(own) => {
                dropped += (end - position) - own.unread(position, reader.hand_end, end);
            }
        }
        let published = end - reader.start;
        let mut ledger = Ledger {
            published,
            delivered,
            conflated,
            filtered,
            in_flight: published.saturating_sub(delivered + conflated + filtered + dropped),
            ..Ledger::default()
        };
        match reader.label.overflow {
            Overflow::DropNewest => ledger.dropped.newest = dropped,
            Overflow::Block | Overflow::DropOldest | Overflow::Latest => {
                ledger.dropped.oldest = dropped;
            }
        }
        ledger
    }

    /// All that is counted under the lock.
    pub(super) fn fill_stats(&self, stats: &mut TopicStats) {
        stats.capacity = self.capacity as usize;
        stats.retain = self.retain as usize;
        stats.published = self.published();
        stats.depth = self.depth();
        stats.waiting_publishers = self.queue.len();
        stats.closed = self.closed;
        stats.ledger = self.gone.as_deref().copied().unwrap_or_default();
        stats.subscribers.clear();
        stats.subscribers.reserve_exact(self.readers.len());
        for (_, reader) in &self.readers {
            let ledger = self.ledger(reader);
            stats.ledger += ledger;
            stats.subscribers.push(SubscriberStats {
                name: reader.label.name.as_deref().map(str::to_owned),
                group: reader.label.group.as_deref().map(str::to_owned),
                place: reader.label.place,
                overflow: reader.label.overflow,
                filtered: reader.label.filtered,
                closed: reader.until() != u64::MAX,
                ledger,
            });
        }
        stats.publishers.clear();
        self.entrances.tell(&mut stats.publishers);
    }

    fn published(&self) -> u64 {
        self.next - 1
    }

    fn depth(&self) -> u64 {
        let shared = self.chunks.front().map(|oldest| oldest.first);
        let own = self
            .readers
            .iter()
            .filter_map(|(_, reader)| match &reader.hold {
                Hold::Own(own) => own.oldest(),
                Hold::Counted(_) => None,
            });
        let oldest = shared.into_iter().chain(own).min();
        oldest.map_or(0, |oldest| self.next - oldest)
    }
}
