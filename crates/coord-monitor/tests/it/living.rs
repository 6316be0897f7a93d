//! How a monitor begins and ends, and what it says of the program itself.

use std::sync::Arc;

use coord_bus::vocabulary::{WORKFLOW_EVENTS, WorkflowEvent};
use coord_bus::{Bus, BusExt, LocalBus, Timestamp};
use coord_monitor::{MIN_INTERVAL, MonitorError, PerformanceMonitor};

use crate::stage::{Stage, TICKS, millis, pass, seconds, started};

#[tokio::test(start_paused = true)]
async fn it_says_how_long_it_has_run_and_what_time_it_is() {
    let stage = Stage::new();
    stage.clock.advance(seconds(17));
    pass(millis(1500)).await;
    let metrics = stage.monitor.performance_metrics();
    assert_eq!(metrics.at, Timestamp::from_second(17).unwrap());
    assert_eq!((metrics.uptime, metrics.measured), (1.5, 1.5));
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_the_program_is_known_from_the_beginning() {
    let stage = Stage::new();
    let bytes = stage.monitor.performance_metrics().process.memory_bytes;
    assert!(bytes > 1 << 20, "{bytes}");
    let ballast = vec![1u8; 64 << 20];
    pass(seconds(2)).await;
    let grown = stage.monitor.performance_metrics().process.memory_bytes;
    assert!(grown >= bytes + (32 << 20), "{bytes}, then {grown}");
    drop(ballast);
}

#[tokio::test(start_paused = true)]
async fn it_samples_at_its_interval() {
    let bus = LocalBus::new();
    let stage = Stage::on(bus.clone());
    let often = PerformanceMonitor::builder(Arc::new(bus))
        .interval(MIN_INTERVAL)
        .build()
        .unwrap();
    pass(millis(10_001)).await;
    assert_eq!(often.history().at.len(), 50);
    assert_eq!(stage.monitor.history().at.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn too_short_an_interval_is_refused() {
    let builder = PerformanceMonitor::builder(Arc::new(LocalBus::new()));
    let error = builder.interval(millis(199)).build().unwrap_err();
    assert!(matches!(error, MonitorError::IntervalTooShort { .. }));
    assert_eq!(
        error.to_string(),
        "a monitor cannot sample every 199ms: use 200ms or more"
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_it_measures_no_more_and_still_answers() {
    let stage = Stage::new();
    stage.tell(started("test")).await;
    pass(millis(1001)).await;
    let report = stage.monitor.shutdown(seconds(1)).await;
    assert!(report.aborted.is_empty());
    stage.tell(started("test")).await;
    stage.publish(&TICKS, 3);
    pass(seconds(10)).await;
    let metrics = stage.monitor.performance_metrics();
    assert_eq!(metrics.step("build/test").unwrap().attempts, 1);
    assert_eq!(metrics.topic("ticks").unwrap().published, 3);
    assert_eq!(stage.monitor.history().at.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_published_before_a_shutdown_is_still_measured() {
    let stage = Stage::new();
    let events = stage.bus.publisher(&WORKFLOW_EVENTS).unwrap();
    for _ in 0..5 {
        // In one go, so that nobody has read it yet.
        let event = WorkflowEvent {
            workflow: "build".to_owned(),
            run: "1".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            transition: started("test"),
        };
        events.try_publish(event).unwrap();
    }
    assert!(stage.monitor.shutdown(seconds(1)).await.aborted.is_empty());
    let metrics = stage.monitor.performance_metrics();
    assert_eq!(metrics.step("build/test").unwrap().attempts, 5);
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_sampling_when_its_bus_is_closed() {
    let stage = Stage::new();
    stage.bus.close();
    pass(millis(3001)).await;
    assert_eq!(stage.monitor.history().at.len(), 3);
    assert!(stage.monitor.shutdown(seconds(1)).await.aborted.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_closed_bus_cannot_be_monitored() {
    let bus = LocalBus::new();
    bus.close();
    let error = PerformanceMonitor::new(Arc::new(bus)).unwrap_err();
    assert!(matches!(error, MonitorError::Bus(_)));
}

#[tokio::test(start_paused = true)]
async fn metrics_and_history_are_flat_json() {
    let stage = Stage::new();
    stage.publish(&TICKS, 3);
    pass(millis(1001)).await;
    let metrics = serde_json::to_value(stage.monitor.performance_metrics()).unwrap();
    assert_eq!(metrics["at"], "1970-01-01T00:00:00Z");
    assert_eq!(metrics["workflows"]["active"], 0);
    let topics = metrics["topics"].as_array().unwrap();
    let ticks = topics
        .iter()
        .find(|topic| topic["topic"] == "ticks")
        .unwrap();
    assert_eq!(ticks["published"], 3);
    let history = serde_json::to_value(stage.monitor.history()).unwrap();
    assert_eq!(history["at"][0], "1970-01-01T00:00:00Z");
}
