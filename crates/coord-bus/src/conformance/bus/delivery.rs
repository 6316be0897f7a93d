//! Who gets which events, in which order, and what comes with them.

use std::pin::Pin;
use std::thread;

use futures_core::Stream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::{PATIENCE, in_time, settle};
use super::{CAPACITY, NUMBERS, publish_all, receive, receive_rest};
use crate::{Bus, BusExt, Delivery, Envelope, Subscriber, TaskScope, Topic, time};

const PUBLISHERS: u64 = 3;
const EACH: u64 = 50;

/// What each of three subscribers received while three publishers published at once: numbers that
/// say who published them (hundreds) and as which (units).
async fn crowd(bus: &dyn Bus) -> [Vec<u64>; 3] {
    let topic = NUMBERS.capacity(CAPACITY);
    let subscribe = || bus.subscribe(&topic).expect("it opens");
    let (mut first, mut second, mut third) = (subscribe(), subscribe(), subscribe());
    let publishers = TaskScope::new("publishers");
    for each in 0..PUBLISHERS {
        let publisher = bus.publisher(&topic).expect("it opens");
        publishers.spawn("publisher", async move {
            publish_all(&publisher, (0..EACH).map(|number| 100 * each + number)).await;
        });
    }
    let all = (PUBLISHERS * EACH) as usize;
    let (first, second, third) = tokio::join!(
        receive(&mut first, all),
        receive(&mut second, all),
        receive(&mut third, all),
    );
    let report = publishers.shutdown(PATIENCE).await;
    assert!(
        report.aborted.is_empty() && report.panicked == 0,
        "{report:?}"
    );
    [first, second, third]
}

/// Three publishers, three subscribers: nothing is lost, nothing comes twice, and all agree.
pub async fn every_subscriber_gets_every_event_in_the_same_order(bus: &dyn Bus) {
    let [first, second, third] = crowd(bus).await;
    assert_eq!(first, second);
    assert_eq!(first, third);
    let mut sorted = first;
    sorted.sort_unstable();
    let published = (0..PUBLISHERS).flat_map(|each| (0..EACH).map(move |n| 100 * each + n));
    assert_eq!(sorted, published.collect::<Vec<_>>());
}

/// However the events of several publishers mix, those of each keep their order.
pub async fn the_events_of_each_publisher_stay_in_their_order(bus: &dyn Bus) {
    for received in crowd(bus).await {
        for each in 0..PUBLISHERS {
            let of_each = received.iter().filter(|number| **number / 100 == each);
            let published = (0..EACH).map(|number| 100 * each + number);
            assert!(of_each.copied().eq(published), "{received:?}");
        }
    }
}

/// Nothing from before a subscription, and all from after it.
pub async fn a_subscriber_gets_what_is_published_after_it_subscribed(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    publish_all(&publisher, 1..=3).await;
    let mut early = bus.subscribe(&NUMBERS).expect("it opens");
    publish_all(&publisher, 4..=6).await;
    let mut late = bus.subscribe(&NUMBERS).expect("it opens");
    publish_all(&publisher, 7..=9).await;
    assert_eq!(receive(&mut early, 6).await, [4, 5, 6, 7, 8, 9]);
    assert_eq!(receive(&mut late, 3).await, [7, 8, 9]);
    settle().await;
    assert!(early.try_recv().is_err() && late.try_recv().is_err());
}

/// An event has the same sequence for every subscriber, and a higher one than those before it.
pub async fn sequences_rise_and_are_the_same_for_all(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let mut first = bus.subscribe(&NUMBERS).expect("it opens");
    let mut second = bus.subscribe(&NUMBERS).expect("it opens");
    publish_all(&publisher, 1..=20).await;
    let mut last = 0;
    for _ in 1..=20 {
        let event = in_time(first.recv()).await.expect("it is open");
        let (sequence, id) = (event.meta().sequence(), event.meta().id().into_owned());
        let same = in_time(second.recv()).await.expect("it is open");
        assert_eq!(
            (same.meta().sequence(), &*same.meta().id()),
            (sequence, &*id)
        );
        assert_eq!(id, format!("conformance.numbers#{sequence}"));
        assert!(sequence > last);
        last = sequence;
    }
}

/// Id, time, source, correlation, causation and headers cross; what was not said stays unsaid.
pub async fn details_arrive_with_their_event(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let mut subscriber = bus.subscribe(&NUMBERS).expect("it opens");
    let time = Timestamp::UNIX_EPOCH;
    let envelope = Envelope::new(7)
        .id("an id")
        .time(time)
        .source("a source")
        .correlation_id("an undertaking")
        .causation_id("a cause")
        .header("colour", "grün")
        .header("empty", "");
    let published = in_time(publisher.publish_with(envelope)).await;
    published.expect("it is open");
    publish_all(&publisher, [8]).await;

    let event = in_time(subscriber.recv()).await.expect("it is open");
    let meta = event.meta();
    assert_eq!((*event, meta.topic()), (7, "conformance.numbers"));
    assert_eq!((&*meta.id(), meta.time()), ("an id", Some(time)));
    assert_eq!(meta.source(), Some("a source"));
    assert_eq!(meta.correlation_id(), Some("an undertaking"));
    assert_eq!(meta.causation_id(), Some("a cause"));
    assert_eq!(meta.header("colour"), Some("grün"));
    assert_eq!(meta.header("empty"), Some(""));
    assert_eq!(meta.header("absent"), None);

    let event = in_time(subscriber.recv()).await.expect("it is open");
    let meta = event.meta();
    assert_eq!((*event, meta.time(), meta.source()), (8, None, None));
    assert_eq!((meta.correlation_id(), meta.causation_id()), (None, None));
    assert_eq!(meta.header("colour"), None);
}

/// As a stream, a subscriber gives events that are there when it is not.
pub async fn deliveries_outlive_their_subscriber(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let mut subscriber = bus.subscribe(&NUMBERS).expect("it opens");
    publish_all(&publisher, 1..=20).await;
    let mut deliveries = Vec::new();
    for _ in 1..=20 {
        deliveries.push(in_time(next_delivery(&mut subscriber)).await);
    }
    drop((publisher, subscriber));
    bus.close();
    assert!(deliveries.iter().map(|delivery| **delivery).eq(1..=20));
    let sequences = deliveries.iter().map(|delivery| delivery.meta().sequence());
    assert!(sequences.is_sorted());
    assert!(deliveries.iter().all(|delivery| delivery.lag() == 0));
    assert_eq!(deliveries[0].meta().topic(), "conformance.numbers");
}

async fn next_delivery(subscriber: &mut Subscriber<u64>) -> Delivery<u64> {
    let next = std::future::poll_fn(|cx| Pin::new(&mut *subscriber).poll_next(cx)).await;
    next.expect("it is open")
}

/// A receive that is given up, before or after an event has come, takes none with it.
pub async fn a_cancelled_receive_loses_nothing(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let mut subscriber = bus.subscribe(&NUMBERS).expect("it opens");
    for number in 1..=40 {
        let given_up = time::timeout(PATIENCE, subscriber.recv()).await;
        assert!(given_up.is_err(), "nothing has been published");
        // Given up with the event on its way or just there, depending on who is asked first.
        let publish = publish_all(&publisher, [number]);
        let received = if number % 2 == 0 {
            tokio::select! { biased; event = subscriber.recv() => Some(*event.expect("it is open")), () = publish => None }
        } else {
            tokio::select! { biased; () = publish => None, event = subscriber.recv() => Some(*event.expect("it is open")) }
        };
        let received = match received {
            Some(received) => received,
            None => receive(&mut subscriber, 1).await[0],
        };
        assert_eq!(received, number);
    }
}

/// A number that only decodes if it is even.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct Even(pub(super) u64);

impl TryFrom<u64> for Even {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        match number % 2 {
            0 => Ok(Self(number)),
            _ => Err("it is odd"),
        }
    }
}

/// Where a bus carries bytes, the next event says how many before it could not be decoded.
pub async fn what_cannot_be_decoded_is_counted_in_its_place(bus: &dyn Bus) {
    let topic: Topic<Even> = Topic::new("conformance.even");
    let publisher = bus.publisher(&topic).expect("it opens");
    let mut subscriber = bus.subscribe(&topic).expect("it opens");
    for number in [1, 3, 5, 6, 8, 9, 10] {
        let published = in_time(publisher.publish(Even(number))).await;
        published.expect("it is open");
    }
    let mut decoded = Vec::new();
    let mut received = 0;
    while received < 7 {
        let event = in_time(subscriber.recv()).await.expect("it is open");
        assert_eq!(event.lag(), 0, "nothing was lost by overflow");
        received += 1 + event.undecodable();
        decoded.push((event.event().0, event.undecodable()));
    }
    let over_bytes = [(6, 3), (8, 0), (10, 1)];
    let in_process = [(1, 0), (3, 0), (5, 0), (6, 0), (8, 0), (9, 0), (10, 0)];
    assert!(
        decoded == over_bytes || decoded == in_process,
        "{decoded:?}"
    );
}

/// `publish_blocking` serves threads without a runtime, and makes them wait for room too.
pub async fn a_thread_outside_the_runtime_publishes(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let mut subscriber = bus.subscribe(&topic).expect("it opens");
    let publisher = bus.publisher(&topic).expect("it opens");
    let thread = thread::spawn(move || {
        for number in 0..100 {
            let published = publisher.publish_blocking(number);
            published.expect("it is open");
        }
    });
    // Not `recv`: a runtime that idles while the thread works would let the paused time pass.
    let mut received = Vec::new();
    while !thread.is_finished() {
        received.extend(subscriber.try_recv().map(|number| *number).ok());
        tokio::task::yield_now().await;
    }
    thread.join().expect("the thread has published all");
    bus.close();
    received.extend(receive_rest(&mut subscriber).await);
    assert!(received.into_iter().eq(0..100));
}
