//! A snapshot of many topics, while all of them are published to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use coord_bus::{Bus, BusExt, LocalBus, Publisher, Subscriber, Topic};
use coord_monitor::PerformanceMonitor;

use crate::report::{Report, Row};

const ROUNDS: usize = 25;

pub(super) fn run() {
    let runtime = crate::runtime(1);
    let _guard = runtime.enter();
    let names = ["snapshot", "of which the bus counts"];
    let report = Report::new("a snapshot while publishers go on", "µs", names);
    for topics in [100, 1000, 10_000] {
        let bus = LocalBus::new();
        let (publishers, subscribers) = opened(&bus, topics);
        let monitor = PerformanceMonitor::new(Arc::new(bus.clone())).unwrap();
        let stop = AtomicBool::new(false);
        let longest = thread::scope(|scope| {
            let publishing = scope.spawn(|| publish(&publishers, subscribers, &stop));
            let row = Row::rounds(
                format!("{topics} topics"),
                names.len(),
                ROUNDS,
                |contender| {
                    let began = Instant::now();
                    match contender {
                        0 => drop(monitor.performance_metrics()),
                        _ => drop(bus.stats()),
                    }
                    began.elapsed().as_nanos() as f64 / 1e3
                },
            );
            report.row(&row);
            stop.store(true, Ordering::Relaxed);
            publishing.join().unwrap()
        });
        println!(
            "the longest that an event took meanwhile, of {} each: {longest:?}",
            topics
        );
    }
}

fn opened(bus: &LocalBus, topics: usize) -> (Vec<Publisher<u64>>, Vec<Subscriber<u64>>) {
    let topics =
        (0..topics).map(|number| Topic::<u64>::new("topic").with_name(format!("topic.{number}")));
    let handles = topics.map(|topic| {
        (
            bus.publisher(&topic).unwrap(),
            bus.subscribe(&topic).unwrap(),
        )
    });
    handles.unzip()
}

/// Publishes to each in turn, and reads it. The longest that one of them took.
fn publish(
    publishers: &[Publisher<u64>],
    mut subscribers: Vec<Subscriber<u64>>,
    stop: &AtomicBool,
) -> Duration {
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        for (publisher, subscriber) in publishers.iter().zip(&mut subscribers) {
            let began = Instant::now();
            publisher.try_publish(1).unwrap();
            longest = longest.max(began.elapsed());
            assert!(subscriber.try_recv().is_ok());
        }
    }
    longest
}
