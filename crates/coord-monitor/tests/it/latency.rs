//! How long events are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use coord_bus::{Backoff, BusExt, Delivery, Envelope, Failure, HandlerOptions, Timestamp};
use coord_monitor::{LatencyMetrics, MAX_LATENCY_TOPICS, OTHER};

use crate::stage::{Stage, TICKS, millis, pass, seconds};

fn ticks(stage: &Stage) -> LatencyMetrics {
    let metrics = stage.monitor.performance_metrics();
    metrics.latency("ticks").expect("it is measured").clone()
}

/// The one duration that there is.
fn one(summary: &Option<coord_monitor::DurationSummary>) -> f64 {
    let summary = summary.as_ref().expect("something was recorded");
    assert_eq!(summary.count, 1);
    summary.max
}

#[tokio::test(start_paused = true)]
async fn time_queued_is_told_apart_from_time_handled() {
    let stage = Stage::new();
    let latency = stage.monitor.latency("ticks");
    let publisher = stage.bus.publisher(&TICKS).unwrap();
    let mut reader = stage.bus.subscribe(&TICKS).unwrap();
    publisher.publish_with(latency.stamp(1)).await.unwrap();
    stage.clock.advance(millis(300));
    let event = reader.recv().await.unwrap();
    let handling = latency.begin(event.meta());
    pass(millis(20)).await;
    handling.done();
    let row = ticks(&stage);
    assert_eq!((one(&row.queued), one(&row.handled)), (0.3, 0.02));
    assert_eq!((one(&row.total), row.unstamped), (0.32, 0));
}

#[tokio::test(start_paused = true)]
async fn a_topic_of_which_nobody_asks_has_none_and_its_events_are_not_stamped() {
    let stage = Stage::new();
    let mut reader = stage.bus.subscribe(&TICKS).unwrap();
    stage.publish(&TICKS, 1);
    assert_eq!(reader.recv().await.unwrap().meta().time(), None);
    assert!(stage.monitor.performance_metrics().latencies.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_not_stamped_is_counted_and_counts_as_handled_only() {
    let stage = Stage::new();
    let latency = stage.monitor.latency("ticks");
    let mut reader = stage.bus.subscribe(&TICKS).unwrap();
    stage.publish(&TICKS, 1);
    latency.begin(reader.recv().await.unwrap().meta()).done();
    let row = ticks(&stage);
    assert_eq!((row.queued, row.total, row.unstamped), (None, None, 1));
    assert_eq!(row.handled.unwrap().count, 1);
}

#[tokio::test(start_paused = true)]
async fn a_time_that_an_event_has_already_stays_and_one_from_the_future_is_no_time_at_all() {
    let stage = Stage::new();
    let latency = stage.monitor.latency("ticks");
    let envelope = latency.stamp(Envelope::new(1).time(Timestamp::MAX));
    let publisher = stage.bus.publisher(&TICKS).unwrap();
    let mut reader = stage.bus.subscribe(&TICKS).unwrap();
    publisher.publish_with(envelope).await.unwrap();
    latency.begin(reader.recv().await.unwrap().meta()).done();
    assert_eq!(one(&ticks(&stage).queued), 0.0);
}

#[tokio::test(start_paused = true)]
async fn of_a_handler_the_attempt_that_succeeds_counts_and_a_dropped_handling_does_not() {
    let stage = Stage::new();
    let latency = stage.monitor.latency("ticks");
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let handle = latency.handler(move |event: Delivery<u32>| {
        let attempt = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            pass(millis(10)).await;
            match attempt {
                0 => Err(Failure::message(format!("not yet, {}", *event))),
                _ => Ok(()),
            }
        }
    });
    let options = HandlerOptions::new().backoff(Backoff::constant(seconds(1)));
    let handler = stage.bus.on_with(&TICKS, &options, handle).unwrap();
    let publisher = stage.bus.publisher(&TICKS).unwrap();
    publisher.publish_with(latency.stamp(1)).await.unwrap();
    let report = handler.drain(seconds(60)).await;
    assert_eq!((report.handled, attempts.load(Ordering::Relaxed)), (1, 2));
    assert_eq!(one(&ticks(&stage).handled), 0.01);

    let mut reader = stage.bus.subscribe(&TICKS).unwrap();
    stage.publish(&TICKS, 1);
    let handling = latency.begin(reader.recv().await.unwrap().meta());
    drop(handling);
    assert_eq!(ticks(&stage).handled.unwrap().count, 1);
}

#[tokio::test(start_paused = true)]
async fn topics_beyond_the_limit_share_a_row() {
    let stage = Stage::new();
    for number in 0..MAX_LATENCY_TOPICS + 5 {
        let latency = stage.monitor.latency(&number.to_string());
        latency.record(millis(1), millis(1));
    }
    stage.monitor.latency("0").record(millis(1), millis(1));
    let metrics = stage.monitor.performance_metrics();
    assert_eq!(metrics.latencies.len(), MAX_LATENCY_TOPICS + 1);
    let count = |topic| {
        metrics
            .latency(topic)
            .unwrap()
            .total
            .as_ref()
            .unwrap()
            .count
    };
    assert_eq!((count(OTHER), count("0")), (5, 2));
}

#[tokio::test(start_paused = true)]
async fn the_history_tells_percentiles_of_each_interval() {
    let stage = Stage::new();
    let latency = stage.monitor.latency("ticks");
    pass(millis(1)).await;
    for handled in [Some(10), None, Some(1000)] {
        for _ in 0..100 {
            if let Some(handled) = handled {
                latency.record(millis(0), millis(handled));
            }
        }
        pass(seconds(1)).await;
    }
    let history = stage.monitor.history();
    let [p50, p99] = [&history.latencies[0].p50, &history.latencies[0].p99];
    let rounded = |list: &[Option<f64>]| -> Vec<_> {
        list.iter()
            .map(|it| it.map(|it| (it * 100.0).round()))
            .collect()
    };
    assert_eq!(rounded(p50), [Some(1.0), None, Some(100.0)]);
    assert_eq!(rounded(p99), [Some(1.0), None, Some(100.0)]);
}

#[tokio::test(start_paused = true)]
async fn a_reset_begins_anew() {
    let stage = Stage::new();
    let latency = stage.monitor.latency("ticks");
    latency.record(seconds(5), seconds(5));
    pass(millis(1001)).await;
    stage.monitor.reset();
    assert_eq!(ticks(&stage).total, None);
    latency.record(millis(1), millis(1));
    assert_eq!(one(&ticks(&stage).total), 0.002);
}
