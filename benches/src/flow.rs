//! What a flow costs beside a loop that somebody writes by hand: `filter → map → map → filter → to`,
//! and a hundred flows on one topic.

mod long;

use std::sync::Arc;
use std::time::{Duration, Instant};

use coord_bus::{BusExt, LocalBus, Publisher, Subscriber};
use coord_flow::{EventChoreographer, EventFlow};
use tokio::task::JoinSet;

use crate::report::{Report, Row};
use crate::runtime;
use long::{NUMBERS, RESULTS, expected, long_flow, long_loop};

const ROUNDS: usize = 25;
const EVENTS: u64 = 500_000;
const MANY: u64 = 100;
const EVENTS_OF_MANY: u64 = 20_000;

const CONTENDERS: [&str; 2] = ["by hand", "coord-flow"];

/// One of many, which goes on with one event of a hundred.
fn one_of_many(number: u64) -> EventFlow {
    EventFlow::from(&NUMBERS)
        .filter(move |n| n % MANY == number)
        .map(|n| n + 1)
        .to(&RESULTS)
        .named(format!("flow {number}"))
}

async fn one_loop_of_many(number: u64, mut numbers: Subscriber<u64>, results: Publisher<u64>) {
    while let Some(n) = numbers.recv().await {
        if *n % MANY == number {
            results.publish(*n + 1).await.expect("the topic is open");
        }
    }
}

/// What runs between the two topics.
#[derive(Clone, Copy)]
enum Between {
    Long,
    Many,
}

/// From the first event published until the last result is read.
async fn measure(between: Between, by_hand: bool) -> Duration {
    let bus = Arc::new(LocalBus::new());
    let choreographer = EventChoreographer::new(bus.clone()).expect("the topic opens");
    let mut loops = JoinSet::new();
    let numbers = || bus.subscribe(&NUMBERS).expect("the topic opens");
    let entrance = || bus.publisher(&RESULTS).expect("the topic opens");
    match (between, by_hand) {
        (Between::Long, true) => drop(loops.spawn(long_loop(numbers(), entrance()))),
        (Between::Long, false) => choreographer.add_event_flow(long_flow()).expect("it runs"),
        (Between::Many, true) => (0..MANY).for_each(|number| {
            loops.spawn(one_loop_of_many(number, numbers(), entrance()));
        }),
        (Between::Many, false) => (0..MANY).for_each(|number| {
            let added = choreographer.add_event_flow(one_of_many(number));
            added.expect("it runs");
        }),
    }
    let mut results = bus.subscribe(&RESULTS).expect("the topic opens");
    let publisher = bus.publisher(&NUMBERS).expect("the topic opens");
    let (events, expected) = match between {
        Between::Long => (EVENTS, expected(EVENTS)),
        Between::Many => (EVENTS_OF_MANY, (1..=EVENTS_OF_MANY).sum()),
    };
    let start = Instant::now();
    let publishing = tokio::spawn(async move {
        for n in 0..events {
            publisher.publish(n).await.expect("the topic is open");
        }
    });
    let mut sum = 0;
    while sum < expected {
        sum += *results.recv().await.expect("the topic is open");
    }
    let elapsed = start.elapsed();
    assert_eq!(sum, expected, "results were lost or doubled");
    publishing.await.expect("it does not panic");
    elapsed
}

pub(crate) fn run() {
    let report = Report::new("flow", "ns an event, of each flow", CONTENDERS);
    for (name, between, events) in [
        ("filter → map → map → filter → to", Between::Long, EVENTS),
        ("100 on one topic", Between::Many, EVENTS_OF_MANY * MANY),
    ] {
        for workers in [1, 2] {
            let threads = if workers == 1 {
                "current thread"
            } else {
                "two workers"
            };
            let name = format!("{name}, {threads}");
            let row = Row::rounds(name, CONTENDERS.len(), ROUNDS, |contender| {
                let measuring = measure(between, contender == 0);
                let elapsed = runtime(workers).block_on(async { tokio::spawn(measuring).await });
                let elapsed = elapsed.expect("a contender panicked");
                elapsed.as_nanos() as f64 / events as f64
            });
            report.row(&row);
        }
    }
}
