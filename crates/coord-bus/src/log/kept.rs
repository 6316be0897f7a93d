//! Looking back at what a log has kept, and on at what comes, without being a subscriber: nobody
//! who publishes notices, and no count tells of it.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::Log;
use crate::{Delivery, Event};

impl<E: Event> Log<E> {
    /// The events that are kept of those after this sequence. The first tells in its lag how many
    /// are not kept any more.
    pub(crate) fn kept_after(&self, sequence: u64) -> Vec<Delivery<E>> {
        let state = self.shared.lock();
        let oldest = state.chunks.front().map_or(state.next, |held| held.first);
        let start = oldest
            .max(state.next.saturating_sub(state.keep))
            .max(sequence + 1);
        let mut lag = start - (sequence + 1);
        let mut kept = Vec::new();
        for held in &state.chunks {
            for sequence in held.first.max(start)..held.end().min(state.next) {
                let (topic, chunk) = (Arc::clone(self.topic()), Arc::clone(&held.chunk));
                let index = (sequence - held.first) as usize;
                let lag = std::mem::take(&mut lag);
                kept.push(Delivery::of(topic, chunk, index, sequence, lag));
            }
        }
        kept
    }

    /// Whether something comes after this sequence: ready once it is there, or never will be.
    pub(crate) fn poll_after(&self, sequence: u64, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.shared.lock();
        if state.next > sequence + 1 {
            return Poll::Ready(true);
        }
        if state.closed {
            return Poll::Ready(false);
        }
        let mut onlookers = state.onlookers.iter();
        if !onlookers.any(|waker| waker.will_wake(cx.waker())) {
            state.onlookers.push(cx.waker().clone());
            // Whoever publishes looks for who waits.
            state.settle();
        }
        Poll::Pending
    }
}
