//! Who gets which item, and who waits.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::super::{PATIENCE, in_time, settle};
use super::{
    HOLD, LIMITS, MOMENT, acknowledge, claim, counts, dead, give_back, number, push, push_all,
    ready,
};
use crate::{QueueCounts, TaskScope, WorkQueue, time};

/// Whoever comes before the work does gets it when it comes.
pub async fn a_claim_waits_until_there_is_an_item(queue: Box<dyn WorkQueue>) {
    let later = async {
        settle().await;
        push(&*queue, "another", 1).await;
        settle().await;
        push(&*queue, "queue", 2).await
    };
    let (claimed, id) = tokio::join!(claim(&*queue, "queue"), later);
    assert_eq!((claimed.id, claimed.delivery), (id, 1));
    assert_eq!(number(&claimed.item), 2);
}

/// First come, first served; also when all items come at once, and when somebody new comes just
/// then.
pub async fn claims_that_wait_are_served_in_their_order(queue: Box<dyn WorkQueue>) {
    let queue: Arc<dyn WorkQueue> = queue.into();
    let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
    let claimers = TaskScope::new("claimers");
    for claimer in 1..=4_u64 {
        let (queue, served) = (queue.clone(), served.clone());
        claimers.spawn("claimer", async move {
            let claimed = queue.claim("queue", HOLD).await.expect("it is claimed");
            acknowledge(&*queue, &claimed).await;
            let got = (claimer, number(&claimed.item));
            served.send(got).expect("somebody counts");
        });
        settle().await;
    }
    push_all(&*queue, "queue", 1..=4).await;
    for turn in 1..=4 {
        assert_eq!(in_time(order.recv()).await, Some((turn, turn)));
    }

    let mut waiting = pin!(claim(&*queue, "queue"));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    push(&*queue, "queue", 5).await;
    let (new, waited, ()) = tokio::join!(biased; claim(&*queue, "queue"), waiting, async {
        settle().await;
        push(&*queue, "queue", 6).await;
    });
    assert_eq!((number(&waited.item), number(&new.item)), (5, 6));
}

/// Dropped while it waits, or just as an item has come, a claim takes none with it, and holds up
/// nobody behind it.
pub async fn a_claim_given_up_loses_no_item(queue: Box<dyn WorkQueue>) {
    let mut cx = Context::from_waker(Waker::noop());
    let never_polled = queue.claim("queue", MOMENT);
    let mut while_it_waits = queue.claim("queue", MOMENT);
    let mut as_it_comes = queue.claim("queue", MOMENT);
    assert!(while_it_waits.as_mut().poll(&mut cx).is_pending());
    assert!(as_it_comes.as_mut().poll(&mut cx).is_pending());
    let mut behind = pin!(claim(&*queue, "queue"));
    assert!(behind.as_mut().poll(&mut cx).is_pending());
    drop(while_it_waits);
    let (claimed, ()) = tokio::join!(behind, async {
        push(&*queue, "queue", 1).await;
        settle().await;
        drop(as_it_comes);
    });
    assert_eq!(number(&claimed.item), 1);
    acknowledge(&*queue, &claimed).await;
    drop(never_polled);
    assert_eq!(counts(&*queue, "queue").await, QueueCounts::default());
}

/// Of many workers one gets it, and nobody else as long as it is held.
pub async fn an_item_is_handed_to_one_at_a_time(queue: Box<dyn WorkQueue>) {
    const ITEMS: u64 = 200;
    let queue: Arc<dyn WorkQueue> = queue.into();
    let (done, mut results) = tokio::sync::mpsc::unbounded_channel();
    let workers = TaskScope::new("workers");
    for _ in 0..20 {
        let (queue, done) = (queue.clone(), done.clone());
        workers.spawn("worker", async move {
            loop {
                let claimed = queue.claim("queue", HOLD).await.expect("it is claimed");
                tokio::task::yield_now().await;
                acknowledge(&*queue, &claimed).await;
                done.send(number(&claimed.item)).expect("somebody counts");
            }
        });
    }
    let mut times = BTreeMap::new();
    let mut pushed = 0;
    while times.values().sum::<usize>() < ITEMS as usize {
        // As many as there is room for, whatever the workers do meanwhile.
        let is_room = pushed - (times.values().sum::<usize>() as u64) < LIMITS.max_items as u64;
        if pushed < ITEMS && is_room {
            push(&*queue, "queue", pushed).await;
            pushed += 1;
        } else {
            let number = in_time(results.recv()).await.expect("workers go on");
            *times.entry(number).or_default() += 1;
        }
    }
    assert!(times.into_iter().eq((0..ITEMS).map(|number| (number, 1))));
    // What would come twice has time to come.
    time::sleep(2 * HOLD).await;
    assert!(results.try_recv().is_err(), "an item came twice");
    assert_eq!(counts(&*queue, "queue").await, QueueCounts::default());
    workers.abort();
    assert!(workers.shutdown(PATIENCE).await.panicked == 0);
}

/// Each delivery has a larger token than all before it, of whichever item; and its number.
pub async fn tokens_rise_with_every_delivery(queue: Box<dyn WorkQueue>) {
    push_all(&*queue, "queue", [1, 2]).await;
    let mut tokens = Vec::new();
    let mut deliveries = Vec::new();
    for _ in 0..3 {
        let (first, second) = (claim(&*queue, "queue").await, claim(&*queue, "queue").await);
        tokens.extend([first.token, second.token]);
        deliveries.extend([first.delivery, second.delivery]);
        give_back(&*queue, &first, Duration::ZERO).await;
        acknowledge(&*queue, &second).await;
        push(&*queue, "queue", 3).await;
    }
    let last = claim(&*queue, "queue").await;
    tokens.push(last.token);
    acknowledge(&*queue, &last).await;
    let dead = dead(&*queue, "queue", 0, 2).await;
    let removed = in_time(queue.remove("queue", dead[0].id)).await;
    removed.expect("it is dead");
    // A queue that is empty meanwhile goes on where it was, its ids too.
    for _ in 0..2 {
        assert_eq!(counts(&*queue, "queue").await, QueueCounts::default());
        assert!(push(&*queue, "queue", 4).await > last.id);
        let claimed = claim(&*queue, "queue").await;
        tokens.push(claimed.token);
        acknowledge(&*queue, &claimed).await;
    }
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
    assert_eq!(deliveries, [1, 1, 2, 1, 3, 1]);
}

/// Who claims more waits until one is done, given back, or held no longer.
pub async fn no_more_are_claimed_than_may_be(queue: Box<dyn WorkQueue>) {
    push_all(&*queue, "queue", 1..=LIMITS.max_claimed as u64 + 3).await;
    let mut held = Vec::new();
    for _ in 0..LIMITS.max_claimed {
        held.push(claim(&*queue, "queue").await);
    }
    let begin = time::Instant::now();
    let is_refused = time::timeout(MOMENT, queue.claim("queue", HOLD)).await;
    assert!(is_refused.is_err(), "more were claimed than may be");
    for (is_done, number_of_next) in [(true, 6), (false, 7)] {
        let (next, ()) = tokio::join!(claim(&*queue, "queue"), async {
            settle().await;
            let one = held.remove(usize::from(is_done));
            match is_done {
                true => acknowledge(&*queue, &one).await,
                false => give_back(&*queue, &one, 5 * HOLD).await,
            }
        });
        assert_eq!(number(&next.item), number_of_next);
        held.push(next);
    }
    assert!(begin.elapsed() < HOLD / 2);
    // Those that are held longest are held no longer.
    let next = claim(&*queue, "queue").await;
    assert!(begin.elapsed() >= HOLD - MOMENT);
    assert_eq!((number(&next.item), next.delivery), (3, 2));
}

/// What is held, or not ready yet, does not keep newer items waiting.
pub async fn who_holds_an_item_holds_up_no_other(queue: Box<dyn WorkQueue>) {
    push_all(&*queue, "queue", 1..=3).await;
    let first = claim(&*queue, "queue").await;
    let second = claim(&*queue, "queue").await;
    give_back(&*queue, &second, HOLD / 2).await;
    let third = claim(&*queue, "queue").await;
    assert_eq!((number(&first.item), number(&third.item)), (1, 3));
    acknowledge(&*queue, &third).await;
    push(&*queue, "queue", 4).await;
    time::sleep(HOLD / 2).await;
    // The older one comes first when both are ready.
    let expected = QueueCounts {
        claimed: 1,
        ..ready(2)
    };
    assert_eq!(counts(&*queue, "queue").await, expected);
    assert_eq!(number(&claim(&*queue, "queue").await.item), 2);
    assert_eq!(number(&claim(&*queue, "queue").await.item), 4);
}
