//! What every work queue must do, wherever it keeps its items.
//!
//! Each behaviour gets a work queue of its own, without items, with the limits [`LIMITS`]. One
//! whose deadlines are those of a wall clock is given a clock that follows the paused time.

mod claiming;
mod dying;
mod pushing;
mod settling;

pub use claiming::*;
pub use dying::*;
pub use pushing::*;
pub use settling::*;

use std::time::Duration;

use super::in_time;
use crate::{ClaimedItem, DeadItem, QueueCounts, QueueLimits, Record, WorkQueue, WorkQueueError};

/// The limits that the queues must have: small, so that they are met.
pub const LIMITS: QueueLimits = QueueLimits {
    max_items: 12,
    max_claimed: 5,
    max_deliveries: 3,
};

/// How long an item is held where it does not matter.
const HOLD: Duration = Duration::from_secs(10);
/// As little time as should count, so that what must not happen before another moment has not.
const MOMENT: Duration = Duration::from_millis(10);

async fn push(queue: &dyn WorkQueue, name: &str, number: u64) -> u64 {
    let item = Record::new("number", number.to_string());
    let pushed = in_time(queue.push(name, item)).await;
    pushed.expect("it is pushed")
}

async fn push_all(queue: &dyn WorkQueue, name: &str, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        push(queue, name, number).await;
    }
}

async fn claim(queue: &dyn WorkQueue, name: &str) -> ClaimedItem {
    let claimed = in_time(queue.claim(name, HOLD)).await;
    claimed.expect("it is claimed")
}

async fn acknowledge(queue: &dyn WorkQueue, claim: &ClaimedItem) {
    let acknowledged = in_time(queue.acknowledge(claim)).await;
    acknowledged.expect("it is held");
}

async fn give_back(queue: &dyn WorkQueue, claim: &ClaimedItem, after: Duration) {
    let given_back = in_time(queue.give_back(claim, after)).await;
    given_back.expect("it is held");
}

async fn counts(queue: &dyn WorkQueue, name: &str) -> QueueCounts {
    let counts = in_time(queue.counts(name)).await;
    counts.expect("it is counted")
}

async fn dead(queue: &dyn WorkQueue, name: &str, from: u64, limit: usize) -> Vec<DeadItem> {
    let dead = in_time(queue.dead(name, from, limit)).await;
    dead.expect("they are listed")
}

/// Claims items and rejects them. Their ids.
async fn kill(queue: &dyn WorkQueue, name: &str, count: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let claim = claim(queue, name).await;
        let rejected = in_time(queue.reject(&claim)).await;
        rejected.expect("it is held");
        ids.push(claim.id);
    }
    ids
}

fn number(item: &Record) -> u64 {
    let text = String::from_utf8_lossy(&item.payload);
    text.parse().expect("it was pushed as a number")
}

fn ready(ready: usize) -> QueueCounts {
    QueueCounts {
        ready,
        ..QueueCounts::default()
    }
}

/// That everything that takes a claim refuses this one, by name.
async fn assert_stale(queue: &dyn WorkQueue, stale: &ClaimedItem) {
    let refusals = [
        in_time(queue.extend(stale, HOLD)).await.err(),
        in_time(queue.acknowledge(stale)).await.err(),
        in_time(queue.give_back(stale, Duration::ZERO)).await.err(),
        in_time(queue.reject(stale)).await.err(),
    ];
    for refused in refusals {
        let Some(WorkQueueError::Stale {
            queue: name,
            id,
            token,
        }) = refused
        else {
            panic!("{stale:?} was not refused as stale: {refused:?}");
        };
        assert_eq!(
            (name, id, token),
            (stale.queue.clone(), stale.id, stale.token)
        );
    }
}
