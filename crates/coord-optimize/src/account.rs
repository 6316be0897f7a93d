//! A topic's settings, and what became of its events: [`StreamStats`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::DEFAULT_BUFFER_SIZE;

/// What became of the events of one topic, in all its streams that there are and have been.
///
/// `received = given_out + merged + held + discarded`, always.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamStats {
    /// The topic's name.
    pub topic: String,
    /// Events taken from the topic, counted once for each stream that took them.
    pub received: u64,
    /// Events given out in batches, and states given out.
    pub given_out: u64,
    /// Events merged into a state that another event had begun.
    pub merged: u64,
    /// Events in batches, and states, that wait for their turn.
    pub held: u64,
    /// Events in batches, and states, that were dropped with their stream before their turn came.
    pub discarded: u64,
}

/// What all streams of a topic share.
#[derive(Debug)]
pub(crate) struct Account {
    buffer_size: AtomicUsize,
    /// In nanoseconds; 0: no limit.
    period: AtomicU64,
    received: AtomicU64,
    given_out: AtomicU64,
    merged: AtomicU64,
    discarded: AtomicU64,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            buffer_size: AtomicUsize::new(DEFAULT_BUFFER_SIZE),
            period: AtomicU64::new(0),
            received: AtomicU64::new(0),
            given_out: AtomicU64::new(0),
            merged: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
        }
    }
}

impl Account {
    pub(crate) fn buffer_size(&self) -> usize {
        self.buffer_size.load(Ordering::Relaxed)
    }

    pub(crate) fn set_buffer_size(&self, size: usize) {
        self.buffer_size.store(size, Ordering::Relaxed);
    }

    pub(crate) fn period(&self) -> Duration {
        Duration::from_nanos(self.period.load(Ordering::Relaxed))
    }

    /// The period is at most `MAX_PERIOD`, so its nanoseconds fit.
    pub(crate) fn set_period(&self, period: Duration) {
        self.period
            .store(period.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self, topic: &str) -> StreamStats {
        // An event is counted as received before as anything else, so the last to be read.
        let given_out = self.given_out.load(Ordering::Acquire);
        let merged = self.merged.load(Ordering::Acquire);
        let discarded = self.discarded.load(Ordering::Acquire);
        let received = self.received.load(Ordering::Acquire);
        StreamStats {
            topic: topic.to_owned(),
            received,
            given_out,
            merged,
            held: received - given_out - merged - discarded,
            discarded,
        }
    }
}

/// One stream's part of an account: counted in plain numbers, and told once a poll.
#[derive(Debug)]
pub(crate) struct Tally {
    account: Arc<Account>,
    received: u64,
    merged: u64,
    held: u64,
}

impl Tally {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self {
            account,
            received: 0,
            merged: 0,
            held: 0,
        }
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// Tells the account what the stream has received and merged so far, and holds now.
    pub(crate) fn tell(&mut self, received: u64, merged: u64, held: u64) {
        let told = self.given_out();
        let more = received - self.received;
        self.account.received.fetch_add(more, Ordering::Release);
        let more = merged - self.merged;
        self.account.merged.fetch_add(more, Ordering::Release);
        (self.received, self.merged, self.held) = (received, merged, held);
        let more = self.given_out() - told;
        self.account.given_out.fetch_add(more, Ordering::Release);
    }

    fn given_out(&self) -> u64 {
        self.received - self.merged - self.held
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.account
            .discarded
            .fetch_add(self.held, Ordering::Release);
    }
}
