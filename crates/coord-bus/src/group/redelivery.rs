//! What comes back to a group: for how long it waits, and when it is not handed out any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Claim;
use crate::received::Delivery;
use crate::time::{self, Instant};
use crate::{Backoff, DeadLetter, Event, Failure, Publisher};

/// After how many deliveries an event is dead, as of a [`WorkQueue`](crate::WorkQueue).
const MAX_DELIVERIES: u32 = 5;

/// What was given back, each with how often it was handed out.
pub(super) struct Returned<E> {
    /// To be handed out now, by sequence.
    ready: BTreeMap<u64, (Delivery<E>, u32)>,
    /// By when they are ready, and by sequence.
    later: BTreeMap<(Instant, u64), (Delivery<E>, u32)>,
}

impl<E> Default for Returned<E> {
    fn default() -> Self {
        Self {
            ready: BTreeMap::new(),
            later: BTreeMap::new(),
        }
    }
}

impl<E> Returned<E> {
    pub(super) fn put(&mut self, delivery: Delivery<E>, attempts: u32, after: Duration) {
        let sequence = delivery.meta().sequence();
        match after {
            Duration::ZERO => self.ready.insert(sequence, (delivery, attempts)),
            _ => self
                .later
                .insert((time::after(after), sequence), (delivery, attempts)),
        };
    }

    /// The first in the topic's order of those that are ready.
    pub(super) fn take(&mut self) -> Option<(Delivery<E>, u32)> {
        if let Some(due) = self.due() {
            let now = Instant::now();
            if due <= now {
                let later = self.later.split_off(&(now, u64::MAX));
                let ready = std::mem::replace(&mut self.later, later);
                let ready = ready
                    .into_iter()
                    .map(|((_, sequence), event)| (sequence, event));
                self.ready.extend(ready);
            }
        }
        Some(self.ready.pop_first()?.1)
    }

    /// When the next that waits is ready.
    pub(super) fn due(&self) -> Option<Instant> {
        Some(self.later.first_key_value()?.0.0)
    }
}

/// What a member says of what comes back.
pub(super) struct Redelivery<E> {
    pub(super) backoff: Backoff,
    pub(super) max_deliveries: u32,
    /// What the group is called there, and where its dead letters go.
    pub(super) dead_letters: Option<(Arc<str>, Publisher<DeadLetter<E>>)>,
}

impl<E> Default for Redelivery<E> {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            max_deliveries: MAX_DELIVERIES,
            dead_letters: None,
        }
    }
}

impl<E: Event> Clone for Redelivery<E> {
    fn clone(&self) -> Self {
        Self {
            backoff: self.backoff,
            max_deliveries: self.max_deliveries,
            dead_letters: self.dead_letters.clone(),
        }
    }
}

impl<E> Redelivery<E> {
    /// Whether it was handed out often enough before this attempt.
    pub(super) fn is_over(&self, attempt: u32) -> bool {
        attempt > self.max_deliveries && self.dead_letters.is_some()
    }

    /// How long an event waits that comes back from this attempt.
    pub(super) fn wait(&self, attempt: u32) -> Duration {
        // What is dead need not wait to be told of.
        let is_last = attempt == self.max_deliveries && self.dead_letters.is_some();
        match attempt {
            1 => Duration::ZERO,
            _ if is_last => Duration::ZERO,
            _ => self.backoff.delay(attempt - 1),
        }
    }
}

impl<E: Event> Redelivery<E> {
    /// Makes an event a dead letter, if that is possible.
    pub(super) async fn bury(&self, claim: &Claim<E>) -> bool {
        let Some((group, letters)) = &self.dead_letters else {
            return false;
        };
        let deliveries = claim.attempt() - 1;
        let failure = Failure::message(format!(
            "it was handed out {deliveries} times, and not acknowledged"
        ));
        let event = claim.delivery().clone();
        DeadLetter::new(event, Arc::clone(group), deliveries, &failure)
            .publish(letters)
            .await
    }
}
