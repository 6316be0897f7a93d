//! Which items are dead, and what can be done about it.

use std::time::Duration;

use super::super::in_time;
use super::{
    HOLD, LIMITS, assert_stale, claim, counts, dead, give_back, kill, number, push, push_all, ready,
};
use crate::{QueueCounts, WorkQueue, WorkQueueError, time};

/// Given back each time, or not even that: after its last delivery it comes no more, and keeps what
/// it was.
pub async fn an_item_delivered_too_often_is_dead(queue: Box<dyn WorkQueue>) {
    let most = LIMITS.max_deliveries;
    for is_given_back in [true, false] {
        let name = if is_given_back { "failed" } else { "forgotten" };
        let id = push(&*queue, name, 7).await;
        let mut last = None;
        for delivery in 1..=most {
            let claimed = claim(&*queue, name).await;
            assert_eq!((claimed.id, claimed.delivery), (id, delivery));
            assert_eq!(dead(&*queue, name, 0, 10).await, []);
            match is_given_back {
                true => give_back(&*queue, &claimed, Duration::ZERO).await,
                false => time::sleep(HOLD).await,
            }
            last = Some(claimed);
        }
        let again = time::timeout(3 * HOLD, queue.claim(name, HOLD)).await;
        assert!(again.is_err(), "{again:?}");
        let last = last.expect("it was delivered");
        let there = dead(&*queue, name, 0, 10).await;
        assert_eq!(there.len(), 1);
        assert_eq!((there[0].id, there[0].deliveries), (id, most));
        assert_eq!(
            (&there[0].item, there[0].pushed_at),
            (&last.item, last.pushed_at)
        );
        assert_stale(&*queue, &last).await;
    }
}

/// What would fail each time need not be tried as often.
pub async fn a_rejected_item_is_dead_at_once(queue: Box<dyn WorkQueue>) {
    push_all(&*queue, "queue", [1, 2]).await;
    let first = claim(&*queue, "queue").await;
    let rejected = in_time(queue.reject(&first)).await;
    rejected.expect("it is held");
    let there = dead(&*queue, "queue", 0, 10).await;
    let there: Vec<_> = there
        .iter()
        .map(|each| (each.id, each.deliveries))
        .collect();
    assert_eq!(there, [(first.id, 1)]);
    assert_stale(&*queue, &first).await;
    assert_eq!(number(&claim(&*queue, "queue").await.item), 2);
}

/// From any id on, up to any number of them, in the order in which they were pushed.
pub async fn dead_items_are_listed_in_pages(queue: Box<dyn WorkQueue>) {
    assert_eq!(dead(&*queue, "queue", 0, 10).await, []);
    push_all(&*queue, "queue", 1..=8).await;
    let mut ids = Vec::new();
    // The first three die last.
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(claim(&*queue, "queue").await);
    }
    let younger = kill(&*queue, "queue", 4).await;
    for claimed in &held {
        let rejected = in_time(queue.reject(claimed)).await;
        rejected.expect("it is held");
        ids.push(claimed.id);
    }
    ids.extend(younger);
    for (from, limit, there) in [
        (0, 3, 0..3),
        (ids[3], 3, 3..6),
        (ids[6], 3, 6..7),
        (ids[2] + 1, 1, 3..4),
        (ids[6] + 1, 3, 7..7),
        (u64::MAX, 3, 7..7),
        (0, usize::MAX, 0..7),
        (0, 0, 0..0),
    ] {
        let listed = dead(&*queue, "queue", from, limit).await;
        let listed: Vec<_> = listed.iter().map(|each| each.id).collect();
        assert_eq!(listed, ids[there], "{limit} from {from}");
    }
}

/// It is ready, before what was pushed later, and has all its deliveries before it.
pub async fn a_dead_item_put_back_is_as_new(queue: Box<dyn WorkQueue>) {
    push_all(&*queue, "queue", [1, 2]).await;
    let id = kill(&*queue, "queue", 1).await[0];
    let put_back = in_time(queue.put_back("queue", id)).await;
    put_back.expect("it is dead");
    assert_eq!(counts(&*queue, "queue").await, ready(2));
    for delivery in 1..=LIMITS.max_deliveries {
        let claimed = claim(&*queue, "queue").await;
        assert_eq!((claimed.id, claimed.delivery), (id, delivery));
        give_back(&*queue, &claimed, Duration::ZERO).await;
    }
    assert_eq!(dead(&*queue, "queue", 0, 10).await.len(), 1);
    // Also for who waits already.
    let second = claim(&*queue, "queue").await;
    let (claimed, put_back) = tokio::join!(
        claim(&*queue, "queue"),
        in_time(queue.put_back("queue", id))
    );
    put_back.expect("it is dead");
    assert_eq!((claimed.id, claimed.delivery), (id, 1));
    assert_eq!(number(&second.item), 2);
}

/// It is in no list, and never comes again.
pub async fn a_dead_item_removed_is_gone(queue: Box<dyn WorkQueue>) {
    push_all(&*queue, "queue", [1, 2]).await;
    let ids = kill(&*queue, "queue", 2).await;
    let removed = in_time(queue.remove("queue", ids[0])).await;
    removed.expect("it is dead");
    let there = dead(&*queue, "queue", 0, 10).await;
    assert_eq!(
        there.iter().map(|each| each.id).collect::<Vec<_>>(),
        ids[1..]
    );
    let removed = in_time(queue.remove("queue", ids[1])).await;
    removed.expect("it is dead");
    assert_eq!(counts(&*queue, "queue").await, QueueCounts::default());
}

/// Not one that is ready, delayed, claimed, gone, or never was.
pub async fn only_a_dead_item_can_be_put_back_or_removed(queue: Box<dyn WorkQueue>) {
    let mut ids = Vec::new();
    for number in 1..=4 {
        ids.push(push(&*queue, "queue", number).await);
    }
    let removed = kill(&*queue, "queue", 1).await[0];
    in_time(queue.remove("queue", removed))
        .await
        .expect("it is dead");
    let delayed = claim(&*queue, "queue").await;
    give_back(&*queue, &delayed, HOLD).await;
    let claimed = claim(&*queue, "queue").await;
    let before = counts(&*queue, "queue").await;
    for id in ids.into_iter().chain([0, u64::MAX]) {
        for refused in [
            in_time(queue.put_back("queue", id)).await,
            in_time(queue.remove("queue", id)).await,
            in_time(queue.remove("absent", id)).await,
        ] {
            let Err(WorkQueueError::NotDead { id: named, .. }) = refused else {
                panic!("{id} was not refused: {refused:?}");
            };
            assert_eq!(named, id);
        }
    }
    assert_eq!(counts(&*queue, "queue").await, before);
    in_time(queue.acknowledge(&claimed))
        .await
        .expect("it is held");
}
