//! Streams of a bus's topics, and the settings that they follow.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::{Bus, BusExt, ByteBus, LocalBus, Publisher, TaskScope, Topic};
use coord_optimize::{
    Batches, DEFAULT_BUFFER_SIZE, EventStreamOptimizer, MAX_BUFFER_SIZE, MAX_TOPICS, OptimizeError,
    Rate, per_second,
};
use tokio_stream::StreamExt;

use crate::stage::ms;

const NUMBERS: Topic<u64> = Topic::new("numbers").capacity(1024);
const NARROW: Topic<u64> = Topic::new("narrow").capacity(4);

fn stage(topic: &Topic<u64>) -> (Arc<LocalBus>, EventStreamOptimizer, Publisher<u64>) {
    let bus = Arc::new(LocalBus::new());
    let publisher = bus.publisher(topic).unwrap();
    let optimizer = EventStreamOptimizer::new(bus.clone());
    (bus, optimizer, publisher)
}

async fn publish(publisher: &Publisher<u64>, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        publisher.publish(number).await.unwrap();
    }
}

async fn next(batches: &mut Batches<u64>) -> Vec<u64> {
    let batch = batches.next().await.unwrap();
    batch.iter().map(|event| **event).collect()
}

#[tokio::test(start_paused = true)]
async fn by_default_a_batch_is_what_is_ready_but_at_most_a_hundred() {
    let (bus, optimizer, publisher) = stage(&NUMBERS);
    let mut batches = optimizer.subscribe(&NUMBERS).unwrap();
    publish(&publisher, 0..250).await;
    assert_eq!(DEFAULT_BUFFER_SIZE, 100);
    assert_eq!(next(&mut batches).await, (0..100).collect::<Vec<_>>());
    assert_eq!(next(&mut batches).await, (100..200).collect::<Vec<_>>());
    assert_eq!(next(&mut batches).await, (200..250).collect::<Vec<_>>());
    publish(&publisher, [250]).await;
    bus.close();
    assert_eq!(next(&mut batches).await, [250]);
    assert!(batches.next().await.is_none());
    assert!(batches.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn batches_come_no_faster_than_the_rate() {
    let (bus, optimizer, publisher) = stage(&NUMBERS);
    optimizer
        .configure_rate_limit(&NUMBERS, per_second(10))
        .unwrap();
    let mut batches = optimizer.subscribe(&NUMBERS).unwrap();
    let start = Instant::now();
    publish(&publisher, [1]).await;
    assert_eq!(next(&mut batches).await, [1]);
    publish(&publisher, [2]).await;
    let (batch, ()) = tokio::join!(next(&mut batches), async {
        time::sleep(ms(50)).await;
        publish(&publisher, [3]).await;
    });
    assert_eq!((batch, start.elapsed()), (vec![2, 3], ms(100)));
    publish(&publisher, [4]).await;
    bus.close();
    assert_eq!(next(&mut batches).await, [4]);
    assert_eq!(start.elapsed(), ms(200));
    assert!(batches.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn settings_hold_from_the_next_batch_on() {
    let (_bus, optimizer, publisher) = stage(&NUMBERS);
    let mut batches = optimizer.subscribe(&NUMBERS).unwrap();
    publish(&publisher, 0..10).await;
    optimizer.configure_buffer_size(&NUMBERS, 2).unwrap();
    assert_eq!(next(&mut batches).await, [0, 1]);
    optimizer.configure_buffer_size(&NUMBERS, 3).unwrap();
    optimizer
        .configure_rate_limit(&NUMBERS, Rate::every(ms(100)))
        .unwrap();
    let start = Instant::now();
    assert_eq!(next(&mut batches).await, [2, 3, 4]);
    assert_eq!(start.elapsed(), ms(0));
    optimizer.configure_rate_limit(&NUMBERS, None).unwrap();
    assert_eq!(next(&mut batches).await, [5, 6, 7]);
    assert_eq!(start.elapsed(), ms(100));
    assert_eq!(next(&mut batches).await, [8, 9]);
    assert_eq!(start.elapsed(), ms(100));
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_that_waits_for_its_turn_holds_up_publishers() {
    let (_bus, optimizer, publisher) = stage(&NARROW);
    optimizer.configure_buffer_size(&NARROW, 2).unwrap();
    optimizer
        .configure_rate_limit(&NARROW, per_second(1))
        .unwrap();
    let mut batches = optimizer.subscribe(&NARROW).unwrap();
    publish(&publisher, [1]).await;
    assert_eq!(next(&mut batches).await, [1]);
    let scope = TaskScope::new("consumer");
    scope.spawn(
        "consume",
        async move { while batches.next().await.is_some() {} },
    );
    // Two are in the batch and four in the topic.
    let start = Instant::now();
    publish(&publisher, 2..8).await;
    assert_eq!(start.elapsed(), ms(0));
    publish(&publisher, [8]).await;
    assert_eq!(start.elapsed(), ms(1000));
}

#[tokio::test(start_paused = true)]
async fn a_slow_screen_holds_up_no_lossless_publisher_and_shows_the_last_state() {
    const EVENTS: u64 = 10_000;
    let (bus, optimizer, publisher) = stage(&NARROW);
    optimizer
        .configure_rate_limit(&NARROW, per_second(1))
        .unwrap();
    let sum = |sum: &mut (u64, u64), event: coord_bus::Delivery<u64>| {
        *sum = (*event, sum.1 + *event);
    };
    let mut states = optimizer
        .conflate(&NARROW, |event| (*event, *event), sum)
        .unwrap();
    let start = Instant::now();
    let publishing = async {
        publish(&publisher, 1..=EVENTS).await;
        bus.close();
        start.elapsed()
    };
    let drawing = async {
        let mut drawn = Vec::new();
        while let Some(state) = states.next().await {
            drawn.push(state);
        }
        drawn
    };
    let (published_after, drawn) = tokio::join!(publishing, drawing);
    assert_eq!(published_after, ms(0));
    // One at once, and one a second later, with all the rest.
    assert_eq!((drawn.len(), start.elapsed()), (2, ms(1000)));
    assert_eq!(drawn[1].0, EVENTS);
    assert_eq!(
        drawn.iter().map(|state| state.1).sum::<u64>(),
        EVENTS * (EVENTS + 1) / 2
    );
}

#[tokio::test(start_paused = true)]
async fn a_conflated_topic_follows_a_new_rate() {
    let (_bus, optimizer, publisher) = stage(&NUMBERS);
    let last = |last: &mut u64, event: coord_bus::Delivery<u64>| *last = *event;
    let mut states = optimizer.conflate(&NUMBERS, |event| *event, last).unwrap();
    let start = Instant::now();
    publish(&publisher, [1]).await;
    assert_eq!(states.next().await, Some(1));
    optimizer
        .configure_rate_limit(&NUMBERS, per_second(2))
        .unwrap();
    publish(&publisher, [2, 3]).await;
    assert_eq!(states.next().await, Some(3));
    assert_eq!(start.elapsed(), ms(0));
    publish(&publisher, [4]).await;
    assert_eq!(states.next().await, Some(4));
    assert_eq!(start.elapsed(), ms(500));
}

#[tokio::test(start_paused = true)]
async fn it_works_over_a_bus_of_bytes() {
    let bus = Arc::new(ByteBus::new());
    let optimizer = EventStreamOptimizer::new(bus.clone());
    let mut batches = optimizer.subscribe(&NARROW).unwrap();
    let publisher = bus.publisher(&NARROW).unwrap();
    let consuming = async {
        let mut numbers = Vec::new();
        while let Some(batch) = batches.next().await {
            numbers.extend(batch.iter().map(|event| **event));
        }
        numbers
    };
    let publishing = async {
        publish(&publisher, 0..50).await;
        bus.close();
    };
    let (numbers, ()) = tokio::join!(consuming, publishing);
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
}

#[test]
fn settings_out_of_range_are_refused() {
    let (_bus, optimizer, _) = stage(&NUMBERS);
    for size in [0, MAX_BUFFER_SIZE + 1] {
        let error = optimizer.configure_buffer_size(&NUMBERS, size).unwrap_err();
        assert!(matches!(error, OptimizeError::BufferSize { .. }));
        let message =
            format!("the buffer of topic `numbers` cannot have a size of {size}: it must");
        assert!(error.to_string().starts_with(&message), "{error}");
    }
    let day = Duration::from_secs(24 * 60 * 60);
    for rate in [per_second(0), Rate::every(ms(0)), Rate::every(day + ms(1))] {
        let error = optimizer.configure_rate_limit(&NUMBERS, rate).unwrap_err();
        assert!(matches!(error, OptimizeError::RateLimit { .. }), "{error}");
    }
    optimizer
        .configure_buffer_size(&NUMBERS, MAX_BUFFER_SIZE)
        .unwrap();
    optimizer
        .configure_rate_limit(&NUMBERS, Rate::every(day))
        .unwrap();
}

#[test]
fn what_the_bus_refuses_is_the_cause() {
    let (_bus, optimizer, _) = stage(&NUMBERS);
    let other = Topic::<String>::new("numbers");
    let error = optimizer.subscribe(&other).unwrap_err();
    assert!(matches!(error, OptimizeError::Bus(_)));
    assert!(error.to_string().contains("carries u64"), "{error}");
    assert!(error.to_string().contains("topics.rs"), "{error}");
    assert!(error.source().is_none(), "the message is the bus's own");
    assert!(optimizer.statistics().is_empty());
}

#[test]
fn the_number_of_topics_has_a_limit() {
    let (_bus, optimizer, _) = stage(&NUMBERS);
    for number in 0..MAX_TOPICS {
        let topic = NUMBERS.with_name(format!("numbers.{number}"));
        optimizer.configure_buffer_size(&topic, 1).unwrap();
    }
    let error = optimizer.subscribe(&NUMBERS).unwrap_err();
    assert!(matches!(error, OptimizeError::TooManyTopics { .. }));
    assert!(error.to_string().contains("65536 topics"), "{error}");
    // Those that it knows it still serves.
    let known = NUMBERS.with_name("numbers.7");
    optimizer.configure_buffer_size(&known, 2).unwrap();
}
