//! Figures that others count.

use std::sync::Arc;

use coord_bus::vocabulary::{ERROR_DETECTED, PERFORMANCE_REPORT};
use coord_bus::{BusExt, LocalBus};
use coord_monitor::{MAX_READINGS, MAX_SOURCES, MonitorError, PerformanceMonitor, Reading};

use crate::stage::{Stage, millis, pass, seconds};

#[tokio::test(start_paused = true)]
async fn they_are_read_anew_for_each_snapshot() {
    let stage = Stage::new();
    let bus = stage.bus.clone();
    let topics = move || {
        let topics = coord_bus::Bus::stats(&bus).len() as u64;
        vec![Reading::new("bus", "topics", topics)]
    };
    stage.monitor.add_source(topics).unwrap();
    let read = || stage.monitor.performance_metrics().readings;
    let before = read()[0].value;
    stage.publish(&crate::stage::TICKS, 1);
    assert_eq!(read(), [Reading::new("bus", "topics", before + 1)]);
}

#[tokio::test(start_paused = true)]
async fn those_beyond_the_limit_are_counted() {
    let stage = Stage::new();
    for source in 0..2 {
        let many = move || {
            let readings = 0..MAX_READINGS as u64 - 100;
            readings
                .map(|at| Reading::new(format!("{source}"), "at", at))
                .collect()
        };
        stage.monitor.add_source(many).unwrap();
    }
    let metrics = stage.monitor.performance_metrics();
    assert_eq!(
        (metrics.readings.len(), metrics.unread),
        (MAX_READINGS, MAX_READINGS - 200)
    );
}

#[tokio::test(start_paused = true)]
async fn more_sources_than_the_limit_are_refused() {
    let stage = Stage::new();
    for _ in 0..MAX_SOURCES {
        stage.monitor.add_source(Vec::new).unwrap();
    }
    let error = stage.monitor.add_source(Vec::new).unwrap_err();
    assert!(matches!(error, MonitorError::TooManySources));
    assert!(error.to_string().contains("100 sources"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_gives_none_and_neither_a_snapshot_nor_the_monitor_ends() {
    let bus = LocalBus::new();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let mut reports = bus.subscribe(&PERFORMANCE_REPORT).unwrap();
    let monitor = PerformanceMonitor::builder(Arc::new(bus))
        .report_every(seconds(1))
        .build()
        .unwrap();
    let broken = || -> Vec<Reading> { panic!("it is poisoned") };
    monitor.add_source(broken).unwrap();
    let sound = || vec![Reading::new("cache", "hits", 7)];
    monitor.add_source(sound).unwrap();
    for _ in 0..2 {
        let readings = monitor.performance_metrics().readings;
        assert_eq!(readings, [Reading::new("cache", "hits", 7)]);
        pass(millis(1001)).await;
        assert!(reports.try_recv().is_ok());
    }
    let error = errors.try_recv().unwrap();
    assert_eq!(error.source, "performance-monitor/source 1");
    assert!(errors.try_recv().is_err());
    // Two snapshots, two reports, and this one.
    assert_eq!(monitor.performance_metrics().panicked, 5);
}
