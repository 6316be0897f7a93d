//! What a subscriber that may lose events loses, and learns of it.

use super::super::in_time;
use super::{CAPACITY, NUMBERS, publish_all, receive};
use crate::{Bus, BusExt, Overflow, Subscriber};

/// Receives until it gets `last`, in order and with each gap announced where it is. How many it
/// received and how many it missed, from the number after `before`.
async fn receive_up_to(last: u64, before: u64, subscriber: &mut Subscriber<u64>) -> (u64, u64) {
    let (mut received, mut missed) = (0, 0);
    let mut previous = before;
    while previous < last {
        let event = in_time(subscriber.recv()).await.expect("it is open");
        assert_eq!(
            *event,
            previous + 1 + event.lag(),
            "the gap is not where it is said to be"
        );
        received += 1;
        missed += event.lag();
        previous = *event;
    }
    (received, missed)
}

/// Publishers never wait for a subscriber that drops the oldest, and it gets what came last.
pub async fn who_drops_the_oldest_holds_nobody_up(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let lossy = bus.subscribe_with(&topic, Overflow::DropOldest);
    let mut lossy = lossy.expect("it opens");
    publish_all(&publisher, 1..=100).await;
    let (received, missed) = receive_up_to(100, 0, &mut lossy).await;
    assert_eq!(received + missed, 100);
    assert!(
        received >= CAPACITY as u64,
        "it lost what there was room for"
    );
    assert!(
        missed > 0,
        "a bus keeps no {received} events for a capacity of {CAPACITY}"
    );
}

/// Received and missed are published, at every moment of an uneven life.
pub async fn what_was_received_and_what_was_missed_add_up(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let lossy = bus.subscribe_with(&topic, Overflow::DropOldest);
    let mut lossy = lossy.expect("it opens");
    let mut published = 0;
    let mut missed_in_all = 0;
    for burst in [1, 4, 5, 0, 9, 2, 40, 3, 3, 17, 1, 1, 100, 8] {
        publish_all(&publisher, published + 1..=published + burst).await;
        let (received, missed) = receive_up_to(published + burst, published, &mut lossy).await;
        assert_eq!(received + missed, burst);
        assert!(
            burst > CAPACITY as u64 || missed == 0,
            "it lost {missed} of {burst}"
        );
        published += burst;
        missed_in_all += missed;
    }
    assert!(missed_in_all > 0);
}

/// A subscriber that loses events and one that loses none: neither notices the other.
pub async fn one_who_misses_events_costs_another_none(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let lossy = bus.subscribe_with(&topic, Overflow::DropOldest);
    let mut lossy = lossy.expect("it opens");
    let mut lossless = bus.subscribe(&topic).expect("it opens");
    let ((), received) = tokio::join!(
        publish_all(&publisher, 1..=500),
        receive(&mut lossless, 500),
    );
    assert!(received.into_iter().eq(1..=500));
    let (received, missed) = receive_up_to(500, 0, &mut lossy).await;
    assert_eq!(received + missed, 500);
    assert!(missed > 0);
}
