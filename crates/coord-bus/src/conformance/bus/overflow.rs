//! What a subscriber that may lose events loses, and learns of it.

use super::super::in_time;
use super::{CAPACITY, NUMBERS, next, publish_all, receive, receive_rest};
use crate::{Bus, BusExt, Overflow, SubscribeOptions, Subscriber};

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

/// Publishers never wait for a subscriber that drops the newest, and it keeps what came first.
pub async fn who_drops_the_newest_keeps_what_came_first(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let lossy = bus.subscribe_with(&topic, Overflow::DropNewest);
    let mut lossy = lossy.expect("it opens");
    publish_all(&publisher, 1..=100).await;
    let kept = receive(&mut lossy, CAPACITY).await;
    assert!(kept.into_iter().eq(1..=CAPACITY as u64));
    // Now there is room again, and the next event says how many it missed.
    publish_all(&publisher, [101]).await;
    let after = in_time(lossy.recv()).await.expect("it is open");
    assert_eq!((*after, after.lag()), (101, 100 - CAPACITY as u64));
    let ledger = lossy.ledger();
    assert!(ledger.is_balanced(), "{ledger:?}");
    assert_eq!(ledger.dropped.newest, 100 - CAPACITY as u64);
}

/// Room for one is room for one.
pub async fn who_drops_the_newest_takes_again_what_it_has_room_for(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let lossy = bus.subscribe_with(&topic, Overflow::DropNewest);
    let mut lossy = lossy.expect("it opens");
    publish_all(&publisher, 1..=6).await;
    assert_eq!(receive(&mut lossy, 1).await, [1]);
    publish_all(&publisher, 7..=8).await;
    assert_eq!(receive(&mut lossy, 4).await, [2, 3, 4, 7]);
    publish_all(&publisher, [9]).await;
    publisher.close();
    assert_eq!(receive_rest(&mut lossy).await, [9]);
    let dropped = lossy.ledger().dropped;
    assert_eq!((dropped.newest, dropped.total()), (3, 3));
}

/// Who wants the latest gets it, and holds nobody up.
pub async fn who_wants_the_latest_gets_no_older_one(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let latest = bus.subscribe_with(&topic, Overflow::Latest);
    let mut latest = latest.expect("it opens");
    let mut published = 0;
    for burst in [1, 3, 100, 1, 7] {
        publish_all(&publisher, published + 1..=published + burst).await;
        published += burst;
        let event = in_time(latest.recv()).await.expect("it is open");
        assert_eq!((*event, event.lag()), (published, burst - 1));
    }
    let ledger = latest.ledger();
    assert!(ledger.is_balanced(), "{ledger:?}");
    assert_eq!((ledger.delivered, ledger.conflated), (5, published - 5));
    publish_all(&publisher, published + 1..=published + 9).await;
    publisher.close();
    assert_eq!(receive_rest(&mut latest).await, [published + 9]);
}

/// Of each key the latest, in the order in which the keys came.
pub async fn who_wants_the_latest_of_each_key_gets_each_once(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let options = SubscribeOptions::new().latest_by(3, |number: &u64| number % 3);
    let mut latest = bus.subscribe_with(&topic, options).expect("it opens");
    publish_all(&publisher, 1..=100).await;
    assert_eq!(receive(&mut latest, 3).await, [100, 98, 99]);
    publish_all(&publisher, [103]).await;
    let event = in_time(latest.recv()).await.expect("it is open");
    assert_eq!((*event, event.lag()), (103, 0));
    let ledger = latest.ledger();
    assert!(ledger.is_balanced(), "{ledger:?}");
    assert_eq!((ledger.delivered, ledger.conflated), (4, 97));
}

/// Beyond the keys that there is room for, the one whose turn is next goes; and that is told.
pub async fn beyond_its_keys_it_loses_the_oldest_key(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let options = SubscribeOptions::new().latest_by(2, |number: &u64| *number);
    let mut latest = bus.subscribe_with(&topic, options).expect("it opens");
    publish_all(&publisher, 1..=50).await;
    let event = in_time(latest.recv()).await.expect("it is open");
    assert_eq!((*event, event.lag()), (49, 48));
    assert_eq!(next(&mut latest).await, Some(50));
    let ledger = latest.ledger();
    assert_eq!((ledger.delivered, ledger.dropped.oldest), (2, 48));
}

/// A filter lets through what it is to, whatever the overflow.
pub async fn a_filter_lets_through_what_passes(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(200);
    let publisher = bus.publisher(&topic).expect("it opens");
    let tens = |overflow: Overflow| {
        let options =
            SubscribeOptions::from(overflow).filter(|number: &u64| number.is_multiple_of(10));
        bus.subscribe_with(&topic, options).expect("it opens")
    };
    let mut all = tens(Overflow::Block);
    let mut oldest = tens(Overflow::DropOldest);
    let mut newest = tens(Overflow::DropNewest);
    let mut latest = tens(Overflow::Latest);
    publish_all(&publisher, 1..=99).await;
    publisher.close();
    let expected: Vec<u64> = (1..10).map(|ten| ten * 10).collect();
    for subscriber in [&mut all, &mut oldest, &mut newest] {
        assert_eq!(receive_rest(subscriber).await, expected);
        let ledger = subscriber.ledger();
        assert!(ledger.is_balanced(), "{ledger:?}");
        assert_eq!((ledger.delivered, ledger.filtered), (9, 90));
    }
    assert_eq!(receive_rest(&mut latest).await, [90]);
    let ledger = latest.ledger();
    assert_eq!(
        (ledger.delivered, ledger.conflated, ledger.filtered),
        (1, 8, 90)
    );
}

/// All kinds on one topic: only who blocks holds publishers up, and each gets what it asked for.
pub async fn one_topic_serves_all_kinds_at_once(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let subscribe = |overflow: Overflow| bus.subscribe_with(&topic, overflow).expect("it opens");
    let mut lossless = subscribe(Overflow::Block);
    let mut others = [Overflow::DropOldest, Overflow::DropNewest, Overflow::Latest].map(subscribe);
    let ((), received) = tokio::join!(
        publish_all(&publisher, 1..=300),
        receive(&mut lossless, 300),
    );
    assert!(received.into_iter().eq(1..=300));
    publisher.close();
    for other in &mut others {
        let received = receive_rest(other).await;
        let ledger = other.ledger();
        assert!(ledger.is_balanced(), "{ledger:?}");
        assert_eq!(ledger.published, 300);
        assert_eq!(ledger.delivered, received.len() as u64);
        assert_eq!(ledger.in_flight, 0);
        assert!(
            received.windows(2).all(|pair| pair[0] < pair[1]),
            "{received:?}"
        );
    }
}
