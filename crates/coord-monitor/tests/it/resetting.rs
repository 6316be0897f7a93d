//! Counting anew.

use std::sync::{Arc, Mutex};

use coord_bus::time::Clock;
use coord_bus::vocabulary::Transition;
use coord_bus::{BusExt, LocalBus, Timestamp};
use coord_monitor::PerformanceMonitor;

use crate::stage::{Stage, TICKS, completed, finished, millis, pass, seconds};

#[tokio::test(start_paused = true)]
async fn counts_durations_peaks_and_the_history_begin_anew() {
    let stage = Stage::new();
    let mut reader = stage.bus.subscribe(&TICKS).unwrap();
    stage.publish(&TICKS, 100);
    for _ in 0..40 {
        reader.recv().await.unwrap();
    }
    stage.tell(Transition::RunStarted { steps: 1 }).await;
    stage.tell(completed("test", seconds(9))).await;
    stage
        .tell_of("build", "0", finished("failed", seconds(9)))
        .await;
    pass(millis(1500)).await;
    assert_eq!(
        stage
            .monitor
            .performance_metrics()
            .topic("ticks")
            .unwrap()
            .peak_per_second,
        100.0
    );

    stage.monitor.reset();
    let metrics = stage.monitor.performance_metrics();
    let ticks = metrics.topic("ticks").unwrap();
    assert_eq!((ticks.published, ticks.delivered), (0, 0));
    assert_eq!((ticks.per_second, ticks.peak_per_second), (0.0, 0.0));
    // What is there, and not counted, stays.
    assert_eq!(ticks.lag, 60);
    assert!(ticks.depth >= 60);
    assert_eq!(metrics.workflows.active, 1);
    assert_eq!(
        (metrics.workflows.failed, metrics.workflows.steps.completed),
        (0, 0)
    );
    assert_eq!((metrics.workflows.duration, metrics.steps.len()), (None, 0));
    assert_eq!((metrics.uptime, metrics.measured), (1.5, 0.0));
    assert!(stage.monitor.history().at.is_empty());

    stage.publish(&TICKS, 7);
    for _ in 0..67 {
        reader.recv().await.unwrap();
    }
    stage.tell(finished("completed", seconds(1))).await;
    pass(seconds(1)).await;
    let metrics = stage.monitor.performance_metrics();
    let ticks = metrics.topic("ticks").unwrap();
    assert_eq!((ticks.published, ticks.delivered), (7, 67));
    assert_eq!(
        (metrics.workflows.active, metrics.workflows.completed),
        (0, 1)
    );
    assert_eq!((metrics.uptime, metrics.measured), (2.5, 1.0));
    // The next sample came half a second after the reset.
    assert_eq!((ticks.per_second, ticks.peak_per_second), (14.0, 14.0));
    assert_eq!(
        stage.monitor.history().topic("ticks").unwrap().per_second,
        [14.0]
    );
}

#[tokio::test(start_paused = true)]
async fn until_the_next_sample_rates_are_since_the_reset() {
    let stage = Stage::new();
    stage.publish(&TICKS, 100);
    pass(millis(1100)).await;
    stage.monitor.reset();
    stage.publish(&TICKS, 10);
    pass(millis(500)).await;
    let metrics = stage.monitor.performance_metrics();
    assert_eq!(metrics.topic("ticks").unwrap().per_second, 20.0);
}

/// A clock that, when it is asked next, has a monitor count anew: as another thread does at a moment at
/// which nobody looks.
#[derive(Debug, Default)]
struct Resetting(Mutex<Option<Arc<PerformanceMonitor>>>);

impl Clock for Resetting {
    fn now(&self) -> Timestamp {
        let monitor = self.0.lock().expect("nobody panics with it").take();
        if let Some(monitor) = monitor {
            monitor.reset();
        }
        Timestamp::UNIX_EPOCH
    }
}

#[tokio::test(start_paused = true)]
async fn a_latency_of_before_a_reset_is_in_no_sample_and_no_snapshot_that_it_falls_into() {
    let clock = Arc::new(Resetting::default());
    let monitor = PerformanceMonitor::builder(Arc::new(LocalBus::new()))
        .clock(clock.clone())
        .build();
    let monitor = Arc::new(monitor.unwrap());
    let reset_when_asked = || *clock.0.lock().unwrap() = Some(Arc::clone(&monitor));
    let latency = monitor.latency("ticks");

    latency.record(millis(1), seconds(9));
    reset_when_asked();
    pass(millis(1500)).await;
    let history = monitor.history();
    assert_eq!(
        (history.at.len(), history.latencies.len()),
        (1, 0),
        "{history:?}"
    );

    latency.record(millis(1), seconds(9));
    reset_when_asked();
    let metrics = monitor.performance_metrics();
    assert_eq!(metrics.measured, 0.0);
    assert_eq!(metrics.latency("ticks").unwrap().total, None);
}
