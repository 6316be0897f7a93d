//! What a lossless subscriber that does not receive means for publishers.

use std::pin::pin;

use super::super::{PATIENCE, in_time, settle};
use super::{CAPACITY, FAR_TOO_MANY, NUMBERS, publish_all, receive, receive_rest};
use crate::{Bus, BusExt, Publisher, Subscriber, TaskScope, Topic, time};

fn open(bus: &dyn Bus, topic: Topic<u64>) -> (Publisher<u64>, Subscriber<u64>) {
    let topic = topic.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    (publisher, bus.subscribe(&topic).expect("it opens"))
}

/// Publishes 0, 1, 2, … until the topic is full and stays so. How many it took: at least its
/// capacity, and more where events wait on their way too.
async fn fill(publisher: &Publisher<u64>) -> u64 {
    let mut accepted = 0;
    let mut was_full = false;
    loop {
        match publisher.try_publish(accepted) {
            Ok(()) => (accepted, was_full) = (accepted + 1, false),
            Err(refused) => {
                assert!(refused.is_full() && !refused.is_closed(), "{refused}");
                if was_full {
                    assert!(accepted >= CAPACITY as u64, "full with {accepted}");
                    return accepted;
                }
                was_full = true;
                settle().await;
            }
        }
        assert!(accepted < FAR_TOO_MANY, "never full");
    }
}

/// As long as nobody receives, it waits.
pub async fn a_full_topic_makes_publish_wait(bus: &dyn Bus) {
    let (publisher, _subscriber) = open(bus, NUMBERS);
    let accepted = fill(&publisher).await;
    let waiting = time::timeout(PATIENCE, publisher.publish(accepted)).await;
    assert!(waiting.is_err(), "it did not wait");
}

/// What is refused is not gone, and the error says that trying again later is of use.
pub async fn a_full_topic_gives_the_event_back_to_try_publish(bus: &dyn Bus) {
    let (publisher, _subscriber) = open(bus, NUMBERS);
    fill(&publisher).await;
    let refused = publisher.try_publish(77).expect_err("it is full");
    assert!(refused.is_full() && !refused.is_closed());
    assert_eq!(
        (refused.event, &*refused.topic),
        (77, "conformance.numbers")
    );
}

/// What has been accepted is received, however full the topic was, and nothing that was refused.
pub async fn what_a_full_topic_has_accepted_is_delivered(bus: &dyn Bus) {
    let (publisher, mut subscriber) = open(bus, NUMBERS);
    let mut next = fill(&publisher).await;
    let mut received = Vec::new();
    for _ in 0..50 {
        received.extend(receive(&mut subscriber, 1).await);
        settle().await;
        while publisher.try_publish(next).is_ok() {
            next += 1;
        }
    }
    bus.close();
    received.extend(receive_rest(&mut subscriber).await);
    assert!(received.into_iter().eq(0..next));
}

/// A publisher that waits is woken by the room that a receive makes.
pub async fn receiving_lets_a_waiting_publisher_on(bus: &dyn Bus) {
    let (publisher, mut subscriber) = open(bus, NUMBERS);
    let accepted = fill(&publisher).await;
    let mut publish = pin!(publisher.publish(accepted));
    let waiting = time::timeout(PATIENCE, &mut publish).await;
    assert!(waiting.is_err(), "it did not wait");
    let all = accepted as usize + 1;
    let (published, received) = tokio::join!(in_time(publish), receive(&mut subscriber, all));
    published.expect("the topic is open");
    assert!(received.into_iter().eq(0..=accepted));
}

/// Giving up to wait for room takes no accepted event away, and doubles none.
pub async fn a_cancelled_publish_arrives_once_or_not_at_all(bus: &dyn Bus) {
    let (publisher, mut subscriber) = open(bus, NUMBERS);
    let accepted = fill(&publisher).await;
    for number in [101, 102, 103] {
        let waiting = time::timeout(PATIENCE, publisher.publish(number)).await;
        assert!(waiting.is_err(), "it did not wait");
    }
    let mut received = receive(&mut subscriber, accepted as usize).await;
    publish_all(&publisher, [200]).await;
    bus.close();
    received.extend(receive_rest(&mut subscriber).await);
    let (cancelled, kept): (Vec<_>, Vec<_>) = received
        .into_iter()
        .partition(|number| (101..200).contains(number));
    assert!(kept.into_iter().eq((0..accepted).chain([200])));
    assert!(cancelled.is_sorted_by(|a, b| a < b), "{cancelled:?}");
}

/// Publishers that wait for a subscriber's progress are not forgotten when it goes, even if they
/// then wait for another's.
pub async fn dropping_a_subscriber_frees_those_who_wait_for_it(bus: &dyn Bus) {
    let (publisher, slow) = open(bus, NUMBERS);
    let mut other = bus.subscribe(&NUMBERS).expect("it opens");
    let accepted = fill(&publisher).await;
    let publishers = TaskScope::new("publishers");
    for number in 0..20 {
        let publisher = publisher.clone();
        publishers.spawn("publisher", async move {
            publish_all(&publisher, [accepted + number]).await;
        });
    }
    let mut received = receive(&mut other, CAPACITY / 2).await;
    settle().await;
    drop(slow);
    received.extend(receive(&mut other, accepted as usize + 20 - CAPACITY / 2).await);
    received.sort_unstable();
    assert!(received.into_iter().eq(0..accepted + 20));
    let report = publishers.shutdown(PATIENCE).await;
    assert!(
        report.aborted.is_empty() && report.panicked == 0,
        "{report:?}"
    );
}

/// Without subscribers there is always room.
pub async fn nobody_waits_where_nobody_listens(bus: &dyn Bus) {
    let (publisher, subscriber) = open(bus, NUMBERS);
    drop(subscriber);
    publish_all(&publisher, 0..FAR_TOO_MANY).await;
    let mut subscriber = bus.subscribe(&NUMBERS).expect("it opens");
    publish_all(&publisher, [7]).await;
    assert_eq!(receive(&mut subscriber, 1).await, [7]);
}

/// Topics share nothing that one could run out of.
pub async fn a_full_topic_does_not_hold_up_another(bus: &dyn Bus) {
    let (full, mut of_full) = open(bus, NUMBERS);
    let accepted = fill(&full).await;
    for index in 0..20 {
        let topic = NUMBERS.with_name(format!("conformance.other.{index}"));
        let (publisher, mut subscriber) = open(bus, topic);
        let numbers = index..index + FAR_TOO_MANY / 10;
        let (received, ()) = tokio::join!(
            receive(&mut subscriber, FAR_TOO_MANY as usize / 10),
            publish_all(&publisher, numbers.clone()),
        );
        assert!(received.into_iter().eq(numbers));
    }
    let received = receive(&mut of_full, accepted as usize).await;
    assert!(received.into_iter().eq(0..accepted));
}
