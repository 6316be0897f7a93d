//! What an idle topic and an idle subscriber keep, and what an event allocates on its way.
//!
//! A program of its own, as its allocator counts; its figures are exact, and need no rounds.
#![expect(clippy::print_stdout, reason = "a program whose output is its point")]

mod event;

use allocation_counter::measure;
use coord_bus::{BusExt, LocalBus, Log, Overflow, Publisher, Subscriber, Topic};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use event::{Sample, Small, text};

const TOPICS: usize = 10_000;
const SUBSCRIBERS_PER_TOPIC: usize = 10;
const CAPACITY: usize = 1024;

fn main() {
    println!("\n# bus memory: bytes, 10,000 topics with 10 subscribers each, 32-byte events\n");
    println!("| case | an idle topic | an idle subscriber |\n|---|---|---|");
    for (name, events) in [
        ("never used", 0),
        ("has carried one event at a time", 1),
        ("has carried 1,000 at once", 1_000),
    ] {
        let (topic, subscriber) = idle(events);
        println!("| {name} | {topic:.0} | {subscriber:.0} |");
    }

    println!(
        "\n# bus memory: allocations per event, steady state, 32-byte events, capacity 1024\n"
    );
    println!("| case | 1 event at a time | 100 at a time | as many as there is room for |");
    println!("|---|---|---|---|");
    for (name, subscribers) in [("1 subscriber", 1), ("16 subscribers", 16)] {
        let [single, hundred, all] =
            [1, 100, CAPACITY].map(|batch| allocations(subscribers, batch));
        println!("| {name} | {single:.4} | {hundred:.4} | {all:.4} |");
    }
}

/// Bytes for each topic and for each subscriber, once `events` at a time have gone through.
fn idle(events: u64) -> (f64, f64) {
    let bus = LocalBus::new();
    let topics: Vec<Topic<Small>> = (0..TOPICS)
        .map(|number| Topic::in_process("").with_name(format!("topic.{number}")))
        .collect();
    let mut publishers: Vec<Publisher<Small>> = Vec::new();
    let mut subscribers: Vec<Subscriber<Small>> = Vec::new();
    let text = text();
    let mut kept = [0; 2];
    let opened = measure(|| {
        publishers.reserve_exact(TOPICS);
        publishers.extend(
            topics
                .iter()
                .map(|topic| bus.publisher(topic).expect("it opens")),
        );
    });
    kept[0] += opened.bytes_current;
    let subscribed = measure(|| {
        subscribers.reserve_exact(TOPICS * SUBSCRIBERS_PER_TOPIC);
        for topic in &topics {
            let each = (0..SUBSCRIBERS_PER_TOPIC).map(|_| bus.subscribe(topic).expect("it opens"));
            subscribers.extend(each);
        }
    });
    kept[1] += subscribed.bytes_current;
    let carried = measure(|| {
        let groups = subscribers.chunks_mut(SUBSCRIBERS_PER_TOPIC);
        for (publisher, subscribers) in publishers.iter().zip(groups) {
            for id in 0..events {
                let published = publisher.try_publish(Small::new(id, &text));
                published.expect("there is room");
            }
            for subscriber in subscribers {
                let mut received = 0;
                while subscriber.try_recv().is_ok() {
                    received += 1;
                }
                assert_eq!(received, events);
            }
        }
    });
    kept[0] += carried.bytes_current;
    (
        kept[0] as f64 / TOPICS as f64,
        kept[1] as f64 / (TOPICS * SUBSCRIBERS_PER_TOPIC) as f64,
    )
}

/// Allocations for each event that subscribers, as tasks of one thread, receive in batches.
fn allocations(subscribers: usize, batch: usize) -> f64 {
    const EVENTS: usize = 100 * CAPACITY;
    let runtime = Builder::new_current_thread().build().expect("it starts");
    let log = Log::new("updates", CAPACITY);
    let mut tasks = JoinSet::new();
    for _ in 0..subscribers {
        let mut updates = log.subscribe(Overflow::Block);
        let receive = async move {
            let mut sum = 0_u64;
            while let Some(update) = updates.recv().await {
                sum += Small::read(&update);
            }
            sum
        };
        tasks.spawn_on(receive, runtime.handle());
    }
    // What grows to its size does so before.
    publish(&runtime, &log, EVENTS, batch);
    let counted = measure(|| publish(&runtime, &log, EVENTS, batch));
    log.close();
    let sums = runtime.block_on(tasks.join_all());
    assert!(sums.len() == subscribers && sums.iter().all(|sum| *sum == sums[0] && *sum > 0));
    counted.count_total as f64 / EVENTS as f64
}

fn publish(runtime: &Runtime, log: &Log<Small>, events: usize, batch: usize) {
    let text = text();
    runtime.block_on(async {
        for id in 0..events {
            let event = Small::new(id as u64, &text);
            assert!(log.append(event.into()).await.is_ok(), "the log is open");
            if (id + 1).is_multiple_of(batch) {
                log.drained().await;
            }
        }
        log.drained().await;
    });
}
