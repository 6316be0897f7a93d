//! Figures that others count.

use coord_monitor::{MAX_READINGS, MAX_SOURCES, MonitorError, Reading};

use crate::stage::Stage;

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
