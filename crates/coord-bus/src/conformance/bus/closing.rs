//! How a topic ends: closed, or drained.

use std::time::Duration;

use super::super::{PATIENCE, in_time, settle};
use super::{CAPACITY, FAR_TOO_MANY, NUMBERS, publish_all, receive, receive_rest};
use crate::time::Instant;
use crate::{Bus, BusError, BusExt, TryReceiveError};

/// Both ways to publish are refused for good, and what was to be published comes back.
pub async fn a_closed_topic_gives_events_back_and_says_so(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let _subscriber = bus.subscribe(&NUMBERS).expect("it opens");
    publish_all(&publisher, [1]).await;
    bus.close();
    let refused = in_time(publisher.publish(2)).await;
    let refused = refused.expect_err("it is closed");
    assert!(refused.is_closed() && !refused.is_full());
    assert_eq!((refused.event, &*refused.topic), (2, "conformance.numbers"));
    let refused = publisher.try_publish(3).expect_err("it is closed");
    assert!(refused.is_closed() && !refused.is_full());
    assert_eq!(refused.event, 3);
}

/// Closing takes nothing back: subscribers get all that was accepted, and then `None`, for good.
pub async fn a_closed_topic_delivers_what_it_accepted_and_ends(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let mut first = bus.subscribe(&topic).expect("it opens");
    let mut second = bus.subscribe(&topic).expect("it opens");
    let mut accepted = 0;
    while publisher.try_publish(accepted).is_ok() {
        accepted += 1;
        assert!(accepted < FAR_TOO_MANY, "never full");
    }
    bus.close();
    let mut late = bus.subscribe(&topic).expect("it is there still");
    let (first_received, second_received) =
        tokio::join!(receive_rest(&mut first), receive_rest(&mut second));
    assert!(first_received.into_iter().eq(0..accepted));
    assert!(second_received.into_iter().eq(0..accepted));
    assert_eq!(first.try_recv().err(), Some(TryReceiveError::Closed));
    assert!(in_time(first.recv()).await.is_none());
    // Whether it subscribed before the last events had arrived is a matter of the bus.
    receive_rest(&mut late).await;
}

/// Whoever waits for an event learns of the end, and whoever waits for room gets an answer: what
/// `publish` took is delivered, what it refused is not.
pub async fn closing_wakes_all_who_wait(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let mut slow = bus.subscribe(&topic).expect("it opens");
    let idle = NUMBERS.with_name("conformance.idle");
    let mut idle = bus.subscribe(&idle).expect("it opens");
    let publish_until_refused = async {
        for number in 0..FAR_TOO_MANY {
            if let Err(refused) = publisher.publish(number).await {
                assert!(refused.is_closed());
                return number;
            }
        }
        panic!("never full");
    };
    let close = async {
        settle().await;
        bus.close();
        receive_rest(&mut slow).await
    };
    let all = async { tokio::join!(publish_until_refused, idle.recv(), close) };
    let (accepted, nothing, received) = in_time(all).await;
    assert!(nothing.is_none());
    assert!(received.into_iter().eq(0..accepted));
}

/// What begins after the end is refused with its name.
pub async fn a_closed_bus_opens_no_new_topic(bus: &dyn Bus) {
    assert!(!bus.is_closed());
    bus.close();
    assert!(bus.is_closed());
    let refused = bus.publisher(&NUMBERS).expect_err("the bus is closed");
    let BusError::Closed { topic } = refused else {
        panic!("{refused}");
    };
    assert_eq!(topic, "conformance.numbers");
}

/// A drain closes the bus, and is through as soon as all that was accepted has been received.
pub async fn a_drain_is_complete_when_all_has_been_received(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let mut first = bus.subscribe(&NUMBERS).expect("it opens");
    let mut second = bus.subscribe(&NUMBERS).expect("it opens");
    for number in 1..=20 {
        publisher.try_publish(number).expect("there is room");
        // So that a bus that sends events away can.
        tokio::task::yield_now().await;
    }
    let begin = Instant::now();
    let (drained, first, second) = tokio::join!(
        bus.drain(PATIENCE),
        receive_rest(&mut first),
        receive_rest(&mut second),
    );
    assert!(drained.is_complete(), "{drained:?}");
    assert!(begin.elapsed() < PATIENCE, "it waited for nothing");
    assert!(first.into_iter().eq(1..=20) && second.into_iter().eq(1..=20));
    assert!(
        publisher
            .try_publish(21)
            .is_err_and(|refused| refused.is_closed())
    );
}

/// At its deadline a drain says what is left, and what is left can still be received.
pub async fn a_drain_reports_what_is_left_at_its_deadline(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let mut slow = bus.subscribe(&NUMBERS).expect("it opens");
    let other = NUMBERS.with_name("conformance.received");
    let mut quick = bus.subscribe(&other).expect("it opens");
    publish_all(&publisher, 1..=5).await;
    publish_all(&bus.publisher(&other).expect("it opens"), [1]).await;
    assert_eq!(receive(&mut slow, 2).await, [1, 2]);
    assert_eq!(receive(&mut quick, 1).await, [1]);
    let begin = Instant::now();
    let drained = in_time(bus.drain(Duration::from_secs(5))).await;
    assert!(
        begin.elapsed() >= Duration::from_secs(5),
        "it gave up early"
    );
    assert!(!drained.is_complete());
    let left: Vec<_> = drained.left.iter().map(|topic| &*topic.topic).collect();
    assert_eq!(left, ["conformance.numbers"]);
    let lags: Vec<_> = drained.left[0]
        .subscribers
        .iter()
        .map(|each| each.ledger.in_flight)
        .collect();
    assert_eq!(lags, [3]);
    assert_eq!(receive_rest(&mut slow).await, [3, 4, 5]);
}

/// One subscriber is closed: it gets what was published before, and holds nobody up.
pub async fn a_closed_subscriber_gets_what_came_before_and_ends(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(super::CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let mut one = bus.subscribe(&topic).expect("it opens");
    publish_all(&publisher, 1..=3).await;
    assert_eq!(receive(&mut one, 1).await, [1]);
    one.close();
    publish_all(&publisher, 4..=100).await;
    assert_eq!(receive_rest(&mut one).await, [2, 3]);
    let ledger = one.ledger();
    assert_eq!(
        (ledger.published, ledger.delivered, ledger.in_flight),
        (3, 3, 0)
    );
    // And the topic is none the worse for it.
    let mut other = bus.subscribe(&topic).expect("it opens");
    publish_all(&publisher, [101]).await;
    assert_eq!(receive(&mut other, 1).await, [101]);
}

/// A subscriber is drained: what it accepted is handled, at most until the deadline.
pub async fn a_subscriber_is_drained_until_its_deadline(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let mut one = bus.subscribe(&NUMBERS).expect("it opens");
    publish_all(&publisher, 1..=5).await;
    let mut handled = Vec::new();
    let drained = one.drain(Duration::from_millis(350), async |number| {
        handled.push(*number);
        crate::time::sleep(Duration::from_millis(100)).await;
    });
    let ledger = in_time(drained).await;
    assert_eq!(handled, [1, 2, 3, 4]);
    assert_eq!((ledger.delivered, ledger.in_flight), (4, 1));
    assert_eq!(receive_rest(&mut one).await, [5]);
}

/// A topic is drained alone: the others stay open, and the account says what was delivered.
pub async fn a_topic_is_drained_alone(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let other = bus.publisher(&NUMBERS.with_name("conformance.open"));
    let other = other.expect("it opens");
    let mut one = bus.subscribe(&NUMBERS).expect("it opens");
    publish_all(&publisher, 1..=20).await;
    assert_eq!(receive(&mut one, 5).await, [1, 2, 3, 4, 5]);
    let (drained, rest) = tokio::join!(publisher.drain(PATIENCE), receive_rest(&mut one));
    assert!(drained.is_complete(), "{drained:?}");
    assert_eq!((drained.delivered, rest.len()), (15, 15));
    let refused = publisher.try_publish(21);
    assert!(refused.is_err_and(|refused| refused.is_closed()));
    publish_all(&other, [1]).await;
}
