//! How a claim ends, and what becomes of its item.

use std::time::Duration;

use super::super::in_time;
use super::{
    HOLD, MOMENT, acknowledge, assert_stale, claim, counts, give_back, number, push, push_all,
    ready,
};
use crate::{QueueCounts, WorkQueue, time};

/// It has left the queue, however long one waits.
pub async fn an_acknowledged_item_never_comes_again(queue: Box<dyn WorkQueue>) {
    push(&*queue, "queue", 1).await;
    let claimed = claim(&*queue, "queue").await;
    acknowledge(&*queue, &claimed).await;
    assert_eq!(counts(&*queue, "queue").await, QueueCounts::default());
    let again = time::timeout(3 * HOLD, queue.claim("queue", HOLD)).await;
    assert!(again.is_err(), "{again:?}");
    assert_stale(&*queue, &claimed).await;
}

/// A worker that has gone holds its item until the deadline, and no longer; the next one is told
/// that it is a later delivery of the same item.
pub async fn an_item_comes_again_when_its_time_runs_out(queue: Box<dyn WorkQueue>) {
    let id = push(&*queue, "queue", 1).await;
    let gone = claim(&*queue, "queue").await;
    assert!(gone.held_until <= time::Instant::now() + HOLD);
    assert!(gone.held_until >= time::Instant::now() + HOLD - MOMENT);
    let begin = time::Instant::now();
    let next = claim(&*queue, "queue").await;
    assert!(begin.elapsed() >= HOLD - MOMENT && begin.elapsed() <= HOLD + MOMENT);
    assert_eq!((next.id, next.delivery), (id, 2));
    assert_eq!((next.pushed_at, next.item), (gone.pushed_at, gone.item));
}

/// From the call on, longer or shorter, and as often as one likes.
pub async fn an_extended_claim_is_held_until_its_new_deadline(queue: Box<dyn WorkQueue>) {
    push(&*queue, "queue", 1).await;
    let claimed = claim(&*queue, "queue").await;
    for hold in [HOLD, 2 * HOLD, HOLD / 5] {
        time::sleep(HOLD / 10).await;
        let now = time::Instant::now();
        let extended = in_time(queue.extend(&claimed, hold)).await;
        let held_until = extended.expect("it is held");
        assert!(held_until <= now + hold + MOMENT && held_until >= now + hold - MOMENT);
    }
    let begin = time::Instant::now();
    let next = claim(&*queue, "queue").await;
    assert!(begin.elapsed() >= HOLD / 5 - MOMENT && begin.elapsed() <= HOLD / 5 + MOMENT);
    assert_eq!((number(&next.item), next.delivery), (1, 2));
    assert_stale(&*queue, &claimed).await;
}

/// Not before its delay is over, and then at once, also for who waits already.
pub async fn an_item_given_back_comes_again_after_its_delay(queue: Box<dyn WorkQueue>) {
    push(&*queue, "queue", 1).await;
    let failed = claim(&*queue, "queue").await;
    let begin = time::Instant::now();
    let (next, ()) = tokio::join!(
        claim(&*queue, "queue"),
        give_back(&*queue, &failed, HOLD / 3)
    );
    assert!(begin.elapsed() >= HOLD / 3 - MOMENT && begin.elapsed() <= HOLD / 3 + MOMENT);
    assert_eq!((next.id, next.delivery), (failed.id, 2));
    assert_stale(&*queue, &failed).await;
    give_back(&*queue, &next, Duration::ZERO).await;
    let begin = time::Instant::now();
    assert_eq!(claim(&*queue, "queue").await.delivery, 3);
    assert!(begin.elapsed() <= MOMENT);
}

/// Whoever lost an item can do nothing to it, and the one who holds it now is not disturbed.
pub async fn a_stale_claim_is_refused_and_changes_nothing(queue: Box<dyn WorkQueue>) {
    push_all(&*queue, "queue", [1, 2]).await;
    let lost = claim(&*queue, "queue").await;
    give_back(&*queue, &lost, Duration::ZERO).await;
    let holder = claim(&*queue, "queue").await;
    assert_eq!(holder.id, lost.id);
    assert_stale(&*queue, &lost).await;
    let expected = QueueCounts {
        claimed: 1,
        ..ready(1)
    };
    assert_eq!(counts(&*queue, "queue").await, expected);
    let extended = in_time(queue.extend(&holder, HOLD)).await;
    extended.expect("it is held");
    assert_stale(&*queue, &lost).await;
    acknowledge(&*queue, &holder).await;
    assert_stale(&*queue, &holder).await;
    assert_eq!(counts(&*queue, "queue").await, ready(1));
}

/// The deadline decides: once it has passed, the claim is stale, also where nobody else has the
/// item.
pub async fn a_claim_past_its_deadline_is_refused_though_nobody_else_has_it(
    queue: Box<dyn WorkQueue>,
) {
    push(&*queue, "queue", 1).await;
    let in_good_time = claim(&*queue, "queue").await;
    time::sleep(HOLD - MOMENT).await;
    let extended = in_time(queue.extend(&in_good_time, HOLD)).await;
    extended.expect("its time is not over");
    time::sleep(HOLD).await;
    assert_stale(&*queue, &in_good_time).await;
    assert_eq!(counts(&*queue, "queue").await, ready(1));
    assert_eq!(claim(&*queue, "queue").await.delivery, 2);
}

/// Each item is in one place, and counted there at once.
pub async fn counts_say_where_every_item_is(queue: Box<dyn WorkQueue>) {
    push_all(&*queue, "queue", 1..=7).await;
    assert_eq!(counts(&*queue, "queue").await, ready(7));
    let first = claim(&*queue, "queue").await;
    let second = claim(&*queue, "queue").await;
    let third = claim(&*queue, "queue").await;
    let rejected = in_time(queue.reject(&first)).await;
    rejected.expect("it is held");
    give_back(&*queue, &second, 2 * HOLD).await;
    let mut expected = QueueCounts {
        ready: 4,
        delayed: 1,
        claimed: 1,
        dead: 1,
    };
    assert_eq!(counts(&*queue, "queue").await, expected);
    time::sleep(HOLD).await;
    (expected.ready, expected.claimed) = (5, 0);
    assert_eq!(counts(&*queue, "queue").await, expected);
    time::sleep(HOLD).await;
    (expected.ready, expected.delayed) = (6, 0);
    assert_eq!(counts(&*queue, "queue").await, expected);
    assert_stale(&*queue, &third).await;
}
