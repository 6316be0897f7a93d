//! The bus at full speed, with a monitor that looks on and without one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coord_bus::{BusExt, LocalBus, Topic};
use coord_monitor::PerformanceMonitor;

use crate::report::{Report, Row};

const TOPIC: Topic<u64> = Topic::new("updates");
/// Enough for several samples of a monitor that looks five times a second.
const EVENTS: u64 = 20_000_000;
const ROUNDS: usize = 11;

pub(super) fn run() {
    let names = ["off", "on, once a second", "on, five times a second"];
    let report = Report::new("monitoring beside the bus", "ns for each event", names);
    for (name, workers) in [("1 subscriber, current thread", 1), ("two workers", 2)] {
        let row = Row::rounds(name.to_owned(), names.len(), ROUNDS, |contender| {
            let interval = match contender {
                0 => None,
                1 => Some(Duration::from_secs(1)),
                _ => Some(Duration::from_millis(200)),
            };
            crate::runtime(workers).block_on(measure(interval))
        });
        report.row(&row);
    }
}

async fn measure(interval: Option<Duration>) -> f64 {
    let bus = LocalBus::new();
    let monitor = interval.map(|interval| {
        let monitor = PerformanceMonitor::builder(Arc::new(bus.clone())).interval(interval);
        monitor.build().unwrap()
    });
    let mut reader = bus.subscribe(&TOPIC).unwrap();
    let publisher = bus.publisher(&TOPIC).unwrap();
    let began = Instant::now();
    let publishing = tokio::spawn(async move {
        for event in 0..EVENTS {
            publisher.publish(event).await.unwrap();
        }
    });
    let mut sum = 0;
    for _ in 0..EVENTS {
        sum += *reader.recv().await.unwrap();
    }
    publishing.await.unwrap();
    let took = began.elapsed().as_nanos() as f64 / EVENTS as f64;
    assert_eq!(sum, EVENTS * (EVENTS - 1) / 2);
    if let Some(monitor) = monitor {
        let metrics = monitor.performance_metrics();
        assert_eq!(metrics.topic("updates").unwrap().delivered, EVENTS);
        monitor.shutdown(Duration::from_secs(5)).await;
    }
    took
}
