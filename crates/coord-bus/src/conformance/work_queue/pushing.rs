//! What a push adds, and when it adds nothing.

use std::task::{Context, Waker};

use super::super::in_time;
use super::{LIMITS, acknowledge, claim, counts, kill, number, push, push_all, ready};
use crate::{MAX_STREAM_NAME_LENGTH, QueueCounts, Record, WorkQueue, WorkQueueError};

/// Kind and bytes come out as they went in, whatever they are, in the order of their pushes, which
/// is that of their ids.
pub async fn items_come_out_as_they_went_in_and_in_their_order(queue: Box<dyn WorkQueue>) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let items = [
        Record::new("", ""),
        Record::new("a kind: größe \n", every_byte),
        Record::new("long", vec![7; 100_000]),
    ];
    let mut ids = Vec::new();
    for item in &items {
        let pushed = in_time(queue.push("queue", item.clone())).await;
        ids.push(pushed.expect("it is pushed"));
    }
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    for (id, item) in ids.into_iter().zip(items) {
        let claimed = claim(&*queue, "queue").await;
        assert_eq!((&*claimed.queue, claimed.id), ("queue", id));
        assert_eq!(claimed.item, item);
    }
}

/// Each queue has its own items; one that never was has none.
pub async fn queues_do_not_know_each_other(queue: Box<dyn WorkQueue>) {
    push_all(&*queue, "one", [1, 2]).await;
    push_all(&*queue, "one.more", [3]).await;
    assert_eq!(number(&claim(&*queue, "one.more").await.item), 3);
    assert_eq!(counts(&*queue, "one").await, ready(2));
    assert_eq!(counts(&*queue, "on").await, QueueCounts::default());
    assert_eq!(number(&claim(&*queue, "one").await.item), 1);
    // An id of one queue means nothing in another.
    let id = kill(&*queue, "one", 1).await[0];
    let removed = in_time(queue.remove("one.more", id)).await;
    assert!(matches!(removed, Err(WorkQueueError::NotDead { .. })));
}

/// Items count wherever they are, the dead too; what is acknowledged or removed makes room.
pub async fn a_full_queue_refuses_and_says_its_limit(queue: Box<dyn WorkQueue>) {
    push_all(&*queue, "queue", 1..=LIMITS.max_items as u64).await;
    let died = kill(&*queue, "queue", 2).await;
    let claimed = claim(&*queue, "queue").await;
    let again = || queue.push("queue", Record::new("number", "99"));
    let Err(WorkQueueError::Full {
        queue: name,
        limit,
        dead,
    }) = in_time(again()).await
    else {
        panic!("it was not refused");
    };
    assert_eq!((&*name, limit, dead), ("queue", LIMITS.max_items, 2));
    push(&*queue, "another", 1).await;

    acknowledge(&*queue, &claimed).await;
    in_time(again()).await.expect("one has left");
    in_time(again()).await.expect_err("its place is taken");
    in_time(queue.remove("queue", died[0]))
        .await
        .expect("it is dead");
    in_time(again()).await.expect("one has left");
    in_time(again()).await.expect_err("its place is taken");
    let expected = QueueCounts {
        dead: 1,
        ..ready(LIMITS.max_items - 1)
    };
    assert_eq!(counts(&*queue, "queue").await, expected);
}

/// Dropped before or after it has begun, a push has happened or not: there is one item, or none.
pub async fn a_push_given_up_has_happened_or_not(queue: Box<dyn WorkQueue>) {
    let mut cx = Context::from_waker(Waker::noop());
    for polls in [0, 1, 1, 1] {
        let mut pushing = queue.push("queue", Record::new("number", "1"));
        for _ in 0..polls {
            if pushing.as_mut().poll(&mut cx).is_ready() {
                break;
            }
        }
        drop(pushing);
        // Begins after it, so it comes out after it.
        push(&*queue, "queue", 2).await;
        let mut first = claim(&*queue, "queue").await;
        if number(&first.item) == 1 {
            acknowledge(&*queue, &first).await;
            first = claim(&*queue, "queue").await;
        }
        assert_eq!(number(&first.item), 2);
        acknowledge(&*queue, &first).await;
        assert_eq!(counts(&*queue, "queue").await, QueueCounts::default());
    }
}

/// Refused wherever it is named, before it can do harm.
pub async fn a_name_that_cannot_be_one_is_refused(queue: Box<dyn WorkQueue>) {
    let longest = "n".repeat(MAX_STREAM_NAME_LENGTH);
    for good in ["a", "7", "Build_2024.1-x", &longest] {
        push(&*queue, good, 1).await;
    }
    let too_long = "n".repeat(MAX_STREAM_NAME_LENGTH + 1);
    let bad = ["", ".", "..", "../a", "a/b", "-a", "_a", "a b", "größe"];
    for bad in bad.into_iter().chain([&*too_long]) {
        let item = Record::new("number", "1");
        let refusals = [
            in_time(queue.push(bad, item)).await.err(),
            in_time(queue.claim(bad, super::HOLD)).await.err(),
            in_time(queue.dead(bad, 0, 1)).await.err(),
            in_time(queue.put_back(bad, 1)).await.err(),
            in_time(queue.remove(bad, 1)).await.err(),
            in_time(queue.counts(bad)).await.err(),
        ];
        for refused in refusals {
            let Some(WorkQueueError::InvalidQueueName { name, .. }) = refused else {
                panic!("{bad:?} was not refused: {refused:?}");
            };
            assert_eq!(name, bad);
        }
    }
}
