//! Who waits on a log, for room or for events: in what order they are served, and that they are.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::{Log, Overflow, Refusal, TryReceiveError};
use tokio::task::JoinSet;

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// What a future gives that must not wait for ever: time is paused, and passes only then.
async fn in_time<F: Future>(future: F) -> F::Output {
    let (begin, patience) = (Instant::now(), Duration::from_secs(60));
    let output = time::timeout(patience, future).await;
    // The timeout itself wakes the future once more: who is through only then was forgotten.
    assert!(begin.elapsed() < patience, "it was not woken");
    output.expect("it waits for ever")
}

fn full(capacity: usize) -> (Log<u64>, coord_bus::Subscriber<u64>) {
    let log = Log::new("numbers", capacity);
    let subscriber = log.subscribe(Overflow::Block);
    for number in 1..=capacity as u64 {
        assert!(log.try_append(number.into()).is_ok());
    }
    (log, subscriber)
}

#[tokio::test(start_paused = true)]
async fn in_a_log_with_little_room_who_waits_is_woken_for_each_event() {
    for capacity in 1..8 {
        let (log, mut subscriber) = full(capacity);
        let waiting = log.clone();
        let publishing = tokio::spawn(async move { waiting.append(0.into()).await.unwrap() });
        tokio::task::yield_now().await;
        assert_eq!(log.stats().waiting_publishers, 1);
        subscriber.try_recv().unwrap();
        in_time(publishing).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_slowest_subscriber_frees_all_who_wait_in_time() {
    let log = Log::new("numbers", 8);
    let mut quick = log.subscribe(Overflow::Block);
    let slowest = log.subscribe(Overflow::Block);
    for number in 1..=8 {
        log.append(number.into()).await.unwrap();
    }
    for _ in 1..=6 {
        quick.recv().await.unwrap();
    }
    let mut publishers = JoinSet::new();
    for number in 9..=18 {
        let log = log.clone();
        publishers.spawn(async move { log.append(number.into()).await.unwrap() });
        // So that they queue in this order.
        tokio::task::yield_now().await;
    }
    // Room for six of the ten: the others wait for `quick`, who was not the slowest so far.
    drop(slowest);
    let rest = async {
        for number in 7..=18 {
            assert_eq!(*quick.recv().await.unwrap(), number);
        }
    };
    in_time(rest).await;
    in_time(publishers.join_all()).await;
}

#[test]
fn a_subscriber_may_join_while_more_is_promised_than_it_has_room_for() {
    let (log, first) = full(8);
    let mut waiting: Vec<_> = (9..=48).map(|number| log.append(number.into())).collect();
    for publish in &mut waiting {
        assert!(poll(publish).is_pending());
    }
    // Nobody is lossless now, so all forty are told to go on; but then somebody joins.
    drop(first);
    let mut second = log.subscribe(Overflow::Block);
    assert!(matches!(poll(&mut waiting[0]), Poll::Ready(Ok(()))));
    let refused = log.try_append(99.into());
    assert!(refused.is_err(), "the room is promised, and more than that");
    for publish in &mut waiting[1..] {
        assert!(matches!(poll(publish), Poll::Ready(Ok(()))));
    }
    for number in 9..=48 {
        assert!(second.try_recv().is_ok_and(|received| *received == number));
    }
    assert!(log.try_append(99.into()).is_ok());
}

#[test]
fn publishers_are_served_in_the_order_in_which_they_came() {
    let (log, mut subscriber) = full(4);
    let mut waiting: Vec<_> = (5..=24).map(|number| log.append(number.into())).collect();
    for publish in &mut waiting {
        assert!(poll(publish).is_pending());
    }
    let mut received = Vec::new();
    while received.len() < 24 {
        match subscriber.try_recv() {
            Ok(number) => received.push(*number),
            // The last to come asks first, and gets nothing by it.
            Err(_) => waiting.iter_mut().rev().for_each(|publish| {
                let _ = poll(publish);
            }),
        }
        waiting.retain_mut(|publish| poll(publish).is_pending());
    }
    assert!(received.into_iter().eq(1..=24));
}

#[test]
fn who_does_not_wait_never_overtakes_one_who_does() {
    let (log, mut subscriber) = full(1);
    let mut waiting = log.append(2.into());
    assert!(poll(&mut waiting).is_pending());
    assert!(subscriber.try_recv().is_ok_and(|number| *number == 1));
    let refused = log.try_append(3.into());
    assert!(
        matches!(refused, Err((_, Refusal::Full))),
        "the room is promised"
    );
    let mut late = log.append(4.into());
    assert!(poll(&mut late).is_pending());
    assert!(matches!(poll(&mut waiting), Poll::Ready(Ok(()))));
    assert!(subscriber.try_recv().is_ok_and(|number| *number == 2));
    assert!(matches!(poll(&mut late), Poll::Ready(Ok(()))));
}

#[test]
fn room_that_is_too_little_to_wake_for_is_not_for_the_next_to_come_either() {
    let log = Log::new("numbers", 16);
    let mut subscriber = log.subscribe(Overflow::Block);
    assert!((1..=2).all(|number| log.try_append(number.into()).is_ok()));
    assert!(subscriber.try_recv().is_ok_and(|number| *number == 1));
    assert!((3..=17).all(|number| log.try_append(number.into()).is_ok()));
    let mut waiting = log.append(18.into());
    assert!(poll(&mut waiting).is_pending());
    // The last that the subscriber knows of: it says how far it is, and one place is free.
    assert!(subscriber.try_recv().is_ok_and(|number| *number == 2));
    assert!(log.try_append(99.into()).is_err());
    assert!(matches!(poll(&mut waiting), Poll::Ready(Ok(()))));
    for number in 3..=18 {
        assert!(
            subscriber
                .try_recv()
                .is_ok_and(|received| *received == number)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_with_room_promised_passes_it_on() {
    let (log, mut subscriber) = full(1);
    let mut first = log.append(2.into());
    assert!(poll(&mut first).is_pending());
    let second = tokio::spawn({
        let log = log.clone();
        async move { log.append(3.into()).await.is_ok() }
    });
    tokio::task::yield_now().await;
    // This promises the room to the first, which is gone before it can use it.
    assert_eq!(*subscriber.recv().await.unwrap(), 1);
    drop(first);
    assert!(in_time(second).await.unwrap());
    assert_eq!(*subscriber.recv().await.unwrap(), 3);
}

#[test]
fn who_gives_up_in_the_queue_leaves_no_trace() {
    let (log, mut subscriber) = full(1);
    let mut first = log.append(2.into());
    let mut second = log.append(3.into());
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    drop(first);
    assert!(subscriber.try_recv().is_ok_and(|number| *number == 1));
    assert!(matches!(poll(&mut second), Poll::Ready(Ok(()))));
    assert!(subscriber.try_recv().is_ok_and(|number| *number == 3));
    assert_eq!(subscriber.try_recv().err(), Some(TryReceiveError::Empty));
}

#[test]
fn waiting_publishers_are_let_on_when_a_quarter_is_free() {
    let (log, mut subscriber) = full(8);
    let mut waiting = log.append(9.into());
    assert!(poll(&mut waiting).is_pending());
    assert!(subscriber.try_recv().is_ok());
    assert_eq!(log.stats().waiting_publishers, 1);
    assert!(subscriber.try_recv().is_ok());
    assert_eq!(log.stats().waiting_publishers, 0);
    assert!(matches!(poll(&mut waiting), Poll::Ready(Ok(()))));
}

#[tokio::test(start_paused = true)]
async fn closing_gives_those_who_wait_their_events_back() {
    let (log, _subscriber) = full(2);
    let mut publishers = JoinSet::new();
    for number in 3..=5 {
        let log = log.clone();
        publishers.spawn(async move { (number, log.append(number.into()).await) });
    }
    tokio::task::yield_now().await;
    log.close();
    for (number, refused) in in_time(publishers.join_all()).await {
        let Err((envelope, Refusal::Closed)) = refused else {
            panic!("{number} was not refused");
        };
        assert_eq!(envelope.into_event(), number);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_log_and_wakes_who_waits() {
    let log: Log<u64> = Log::new("numbers", 8);
    let other = log.clone();
    let mut subscriber = log.subscribe(Overflow::Block);
    drop(log);
    assert!(other.append(1.into()).await.is_ok());
    assert_eq!(*subscriber.recv().await.unwrap(), 1);
    let end = tokio::spawn(async move { subscriber.recv().await.is_none() });
    tokio::task::yield_now().await;
    drop(other);
    assert!(in_time(end).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_slowest_and_not_for_the_dead() {
    let (log, mut quick) = full(8);
    let slow = log.subscribe(Overflow::Block);
    let mut lossy = log.subscribe(Overflow::DropOldest);
    assert!(quick.try_recv().is_ok());
    assert!(log.append(9.into()).await.is_ok());
    let drained = tokio::spawn(async move { log.drained().await });
    for _ in 2..=9 {
        tokio::task::yield_now().await;
        assert!(!drained.is_finished());
        assert!(quick.try_recv().is_ok());
    }
    assert_eq!(*lossy.recv().await.unwrap(), 9);
    tokio::task::yield_now().await;
    assert!(!drained.is_finished());
    drop(slow);
    in_time(drained).await.unwrap();
}

#[tokio::test]
async fn a_subscriber_that_always_finds_more_lets_others_run() {
    const EVENTS: u64 = if cfg!(miri) { 20_000 } else { 100_000 };
    let log = Log::new("numbers", EVENTS as usize);
    let mut subscriber = log.subscribe(Overflow::Block);
    for number in 1..=EVENTS {
        assert!(log.try_append(number.into()).is_ok());
    }
    let received = Arc::new(AtomicU64::new(0));
    let reader = tokio::spawn({
        let received = Arc::clone(&received);
        async move {
            for _ in 1..=EVENTS {
                subscriber.recv().await.unwrap();
                received.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let neighbour = tokio::spawn({
        let received = Arc::clone(&received);
        async move { received.load(Ordering::Relaxed) }
    });
    let received_before = neighbour.await.unwrap();
    assert!(received_before > 0, "the reader ran first");
    assert!(received_before < EVENTS, "the reader let nobody run");
    reader.await.unwrap();
    assert_eq!(received.load(Ordering::Relaxed), EVENTS);
}

/// A waker of which the copies are counted.
fn counted() -> (Waker, Arc<impl std::task::Wake>) {
    struct Quiet;

    impl std::task::Wake for Quiet {
        fn wake(self: Arc<Self>) {}
    }

    let quiet = Arc::new(Quiet);
    (Arc::clone(&quiet).into(), quiet)
}

#[test]
fn who_gives_a_drain_up_leaves_no_trace() {
    let (log, mut subscriber) = full(4);
    let (waker, copies) = counted();
    let context = &mut Context::from_waker(&waker);
    let (mut stays, mut goes) = (Box::pin(log.drained()), Box::pin(log.drained()));
    for _ in 0..2 {
        assert!(stays.as_mut().poll(context).is_pending());
        assert!(goes.as_mut().poll(context).is_pending());
    }
    assert_eq!(Arc::strong_count(&copies), 4);
    drop(goes);
    assert_eq!(Arc::strong_count(&copies), 3);
    for _ in 1..=4 {
        assert!(subscriber.try_recv().is_ok());
    }
    assert!(matches!(subscriber.try_recv(), Err(TryReceiveError::Empty)));
    assert!(stays.as_mut().poll(context).is_ready());
    drop(stays);
    assert_eq!(Arc::strong_count(&copies), 2);
}
