//! A flow that runs: what it has done, how far it is, and how it ends.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coord_bus::{Bus, CancellationToken, TopicStats};

use crate::report::{FlowReport, FlowState, FlowStats};

/// What the task of a flow and its choreographer share.
pub(crate) struct Course {
    pub(crate) name: String,
    pub(crate) from: String,
    pub(crate) to: String,
    bus: Arc<dyn Bus>,
    pub(crate) counts: Counts,
    /// The sequence of the last event of the source that is done with, or of one before the first.
    settled: AtomicU64,
    /// The sequence of the last event of the source to be handled.
    last: AtomicU64,
    state: Mutex<FlowState>,
    /// Asked to stop.
    pub(crate) stop: CancellationToken,
    /// To be dropped where it waits.
    pub(crate) abort: CancellationToken,
    /// Its task is gone.
    pub(crate) gone: CancellationToken,
}

/// Counted by the flow's own task alone.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) received: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) filtered: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// Adds to a count that only one task writes: without a locked instruction.
pub(crate) fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed) + more, Ordering::Release);
}

impl Course {
    /// The course of a flow whose source has not been subscribed to yet.
    pub(crate) fn new(name: String, from: String, to: String, bus: Arc<dyn Bus>) -> Self {
        let settled = published(&bus.stats(), &from);
        Self {
            name,
            from,
            to,
            bus,
            counts: Counts::default(),
            settled: AtomicU64::new(settled),
            last: AtomicU64::new(u64::MAX),
            state: Mutex::new(FlowState::Running),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            gone: CancellationToken::new(),
        }
    }

    /// The event of this sequence is done with.
    pub(crate) fn settle(&self, sequence: u64) {
        self.settled.store(sequence, Ordering::Release);
    }

    /// Whether everything is done with that was to be handled before a stop.
    pub(crate) fn is_drained(&self) -> bool {
        self.settled.load(Ordering::Relaxed) >= self.last.load(Ordering::Acquire)
    }

    /// Asks it to stop when it has handled what has been published by now. Without effect where it
    /// has been asked before, or has ended.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        if *state == FlowState::Running {
            *state = FlowState::Draining;
            self.set_last();
            self.stop.cancel();
        }
    }

    /// Ends it where it waits.
    pub(crate) fn abort(&self) {
        self.stop();
        self.abort.cancel();
    }

    /// It has ended, in this way unless in another before.
    pub(crate) fn end(&self, how: FlowState) {
        let mut state = self.state();
        match *state {
            FlowState::Running => self.set_last(),
            FlowState::Draining => {}
            _ => return,
        }
        *state = how;
        if let FlowState::Drained | FlowState::SourceClosed = how {
            // Whatever else was counted there was not for this subscriber.
            self.settle(self.last.load(Ordering::Relaxed));
        }
    }

    fn set_last(&self) {
        let last = published(&self.bus.stats(), &self.from);
        self.last.store(last, Ordering::Release);
    }

    /// What it has done, and what is left by what the topics of its bus have counted.
    pub(crate) fn report(&self, topics: &[TopicStats]) -> FlowReport {
        let state = *self.state();
        // Received is counted before whatever becomes of it, so it is read after that.
        let published_there = published(topics, &self.from);
        let last = self.last.load(Ordering::Acquire).min(published_there);
        let stats = FlowStats {
            published: self.counts.published.load(Ordering::Acquire),
            filtered: self.counts.filtered.load(Ordering::Acquire),
            failed: self.counts.failed.load(Ordering::Acquire),
            received: self.counts.received.load(Ordering::Acquire),
        };
        FlowReport {
            name: self.name.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            state,
            stats,
            left: last.saturating_sub(self.settled.load(Ordering::Acquire)),
        }
    }

    fn state(&self) -> MutexGuard<'_, FlowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sequence of the last event that a topic has accepted.
fn published(topics: &[TopicStats], topic: &str) -> u64 {
    let stats = topics.iter().find(|stats| stats.topic == topic);
    stats.map_or(0, |stats| stats.published)
}

impl fmt::Debug for Course {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Course")
            .field("name", &self.name)
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}

/// Kept by the task of a flow. When the task goes, in whatever way, this says so.
pub(crate) struct Going(pub(crate) Arc<Course>);

impl Drop for Going {
    fn drop(&mut self) {
        self.0.end(FlowState::Aborted);
        self.0.gone.cancel();
    }
}
