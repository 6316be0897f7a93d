//! The work queue in memory.

mod conformance {
    use std::sync::Arc;

    use coord_bus::MemoryWorkQueue;
    use coord_bus::conformance::work_queue::LIMITS;
    use coord_bus::time::SystemClock;

    coord_bus::conformance_work_queue!(MemoryWorkQueue::with(Arc::new(SystemClock), LIMITS));
}

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use coord_bus::time::{Clock, ManualClock, SystemClock, timeout};
use coord_bus::{
    ClaimedItem, DEFAULT_HOLD, Durability, MemoryWorkQueue, QueueCounts, QueueLimits, Record,
    Timestamp, WorkQueue, WorkQueueError,
};

fn limited(limits: QueueLimits) -> MemoryWorkQueue {
    MemoryWorkQueue::with(Arc::new(SystemClock), limits)
}

async fn push(queue: &MemoryWorkQueue, name: &str) -> u64 {
    let pushed = queue.push(name, Record::new("kind", "content"));
    pushed.await.unwrap()
}

async fn claim(queue: &MemoryWorkQueue, name: &str) -> ClaimedItem {
    queue.claim(name, DEFAULT_HOLD).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_item_has_the_time_of_its_push_by_the_clock_of_the_queue() {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let limits = QueueLimits::default();
    let queue = MemoryWorkQueue::with(Arc::clone(&clock) as Arc<dyn Clock>, limits);
    clock.advance(Duration::from_secs(7));
    push(&queue, "queue").await;
    clock.advance(Duration::from_secs(1));
    let claimed = claim(&queue, "queue").await;
    assert_eq!(claimed.pushed_at.as_second(), 7);
    queue.reject(&claimed).await.unwrap();
    let dead = queue.dead("queue", 0, 1).await.unwrap();
    assert_eq!(dead[0].pushed_at.as_second(), 7);
}

#[tokio::test(start_paused = true)]
async fn names_without_items_and_claims_are_forgotten_and_others_are_bounded() {
    let queue = MemoryWorkQueue::new();
    for number in 0..MemoryWorkQueue::MAX_QUEUES {
        let name = format!("queue-{number}");
        push(&queue, &name).await;
    }
    let item = Record::new("kind", "content");
    let refused = queue.push("one-more", item).await.unwrap_err();
    let limit = MemoryWorkQueue::MAX_QUEUES;
    assert!(
        matches!(&refused, WorkQueueError::TooManyQueues { queue, limit: named }
            if queue == "one-more" && *named == limit),
        "{refused}"
    );
    let refused = queue.claim("one-more", DEFAULT_HOLD).await;
    assert!(matches!(refused, Err(WorkQueueError::TooManyQueues { .. })));
    let counts = queue.counts("one-more").await.unwrap();
    assert_eq!(counts, QueueCounts::default());
    // One that is there is still used.
    push(&queue, "queue-0").await;
    // The last item of a queue makes room for another, and so does a claim that waits no more.
    let last = claim(&queue, "queue-1").await;
    queue.acknowledge(&last).await.unwrap();
    let waiting = timeout(Duration::from_secs(1), claim(&queue, "one-more"));
    assert!(waiting.await.is_err());
    push(&queue, "another").await;
    assert!(queue.claim("one-more", DEFAULT_HOLD).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_may_hold_nothing_refuses_everything() {
    let queue = limited(QueueLimits {
        max_items: 0,
        ..QueueLimits::default()
    });
    let refused = queue.push("queue", Record::new("kind", "content")).await;
    assert!(matches!(
        refused,
        Err(WorkQueueError::Full {
            limit: 0,
            dead: 0,
            ..
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn an_item_is_delivered_at_least_once_and_one_can_be_claimed_at_least() {
    let queue = limited(QueueLimits {
        max_claimed: 0,
        max_deliveries: 0,
        ..QueueLimits::default()
    });
    push(&queue, "queue").await;
    let claimed = claim(&queue, "queue").await;
    queue.give_back(&claimed, Duration::ZERO).await.unwrap();
    assert_eq!(queue.counts("queue").await.unwrap().dead, 1);
}

#[tokio::test(start_paused = true)]
async fn times_longer_than_time_itself_are_only_long() {
    let queue = MemoryWorkQueue::new();
    push(&queue, "queue").await;
    let claimed = queue.claim("queue", Duration::MAX).await.unwrap();
    queue.extend(&claimed, Duration::MAX).await.unwrap();
    let again = timeout(Duration::from_secs(1_000_000), claim(&queue, "queue"));
    assert!(again.await.is_err());
    queue.give_back(&claimed, Duration::MAX).await.unwrap();
    assert_eq!(queue.counts("queue").await.unwrap().delayed, 1);
}

#[tokio::test(start_paused = true)]
async fn who_always_finds_an_item_lets_others_run() {
    let queue = Arc::new(limited(QueueLimits {
        max_claimed: 10_000,
        ..QueueLimits::default()
    }));
    for _ in 0..10_000 {
        push(&queue, "queue").await;
    }
    let worker = tokio::spawn(async move {
        for _ in 0..10_000 {
            claim(&queue, "queue").await;
        }
    });
    let neighbour = tokio::spawn(async {});
    neighbour.await.unwrap();
    assert!(!worker.is_finished());
    worker.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_claim_dropped_as_an_item_comes_has_not_even_delivered_it() {
    let queue = MemoryWorkQueue::new();
    let mut waiting = queue.claim("queue", DEFAULT_HOLD);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    push(&queue, "queue").await;
    drop(waiting);
    assert_eq!(claim(&queue, "queue").await.delivery, 1);
}

#[test]
fn it_does_not_outlive_its_process_and_says_so() {
    assert_eq!(MemoryWorkQueue::new().durability(), Durability::Memory);
}

#[tokio::test(start_paused = true)]
async fn refusals_say_what_is_wrong_and_what_to_do() {
    let queue = limited(QueueLimits {
        max_items: 2,
        ..QueueLimits::default()
    });
    push(&queue, "mail").await;
    push(&queue, "mail").await;
    let claimed = claim(&queue, "mail").await;
    queue.reject(&claimed).await.unwrap();
    let item = || Record::new("kind", "content");
    let refusals = [
        (
            queue.acknowledge(&claimed).await.unwrap_err(),
            "item 1 of queue `mail` is not held by token 1 any more: its time ran out, or it was \
             acknowledged, given back or rejected; leave it to who holds it now",
        ),
        (
            queue.push("mail", item()).await.unwrap_err(),
            "queue `mail` is full with its limit of 2 items, 1 of them dead: wait until some are \
             done, remove the dead, or raise the limit",
        ),
        (
            queue.put_back("mail", 2).await.unwrap_err(),
            "item 2 of queue `mail` is not dead: it was put back or removed meanwhile, or never \
             died; list the dead items anew",
        ),
        (
            queue.push("../mail", item()).await.unwrap_err(),
            "`../mail` cannot be a queue's name: it has another character in it (names are \
             letters, digits, `-`, `_` and `.`, such as `mail.outgoing`)",
        ),
    ];
    for (refused, text) in refusals {
        assert_eq!(refused.to_string(), text);
    }
}
