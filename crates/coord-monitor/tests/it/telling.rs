//! What a monitor tells by itself.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::vocabulary::{
    LOG_EVENTS, LogLevel, PERFORMANCE_REPORT, PerformanceReport, Severity,
};
use coord_bus::{Bus, BusExt, LocalBus, Subscriber};
use coord_monitor::{MonitorError, PerformanceMonitor};

use crate::stage::{TICKS, millis, pass, seconds};

fn reporting(bus: &LocalBus) -> PerformanceMonitor {
    let builder = PerformanceMonitor::builder(Arc::new(bus.clone()));
    builder
        .report_every(seconds(10))
        .log(true)
        .build()
        .expect("it is sound")
}

fn publish(bus: &LocalBus, events: u32) {
    let ticks = bus.publisher(&TICKS).expect("it is of this type");
    for event in 0..events {
        ticks.try_publish(event).expect("there is room");
    }
}

/// What was published to `ticks`, by the reports that are there. Their own events do not count.
fn next(reports: &mut Subscriber<PerformanceReport>) -> Option<PerformanceReport> {
    reports.try_recv().ok().map(|report| (*report).clone())
}

#[tokio::test(start_paused = true)]
async fn a_report_in_each_interval_is_of_what_was_since_the_one_before() {
    let bus = LocalBus::new();
    let mut reports = bus.subscribe(&PERFORMANCE_REPORT).unwrap();
    let behind = bus.subscribe(&TICKS).unwrap();
    publish(&bus, 500);
    let _monitor = reporting(&bus);
    let mut told = Vec::new();
    for events in [40, 0, 120] {
        publish(&bus, events);
        pass(millis(10_001)).await;
        let report = next(&mut reports).unwrap();
        assert_eq!(report.measured, seconds(10));
        told.push((report.published, report.lag, report.lagging.clone()));
        assert!(report.memory_bytes > 1 << 20);
    }
    let ticks = || Some("ticks".to_owned());
    // Besides the ticks, a report and its line in the log.
    assert_eq!(
        told,
        [(40, 540, ticks()), (2, 540, ticks()), (122, 660, ticks())]
    );
    drop(behind);
}

#[tokio::test(start_paused = true)]
async fn reports_never_pile_up_and_one_that_waited_is_followed_by_one_of_all_the_time_since() {
    let bus = LocalBus::new();
    let mut reports = bus.subscribe(&PERFORMANCE_REPORT).unwrap();
    let _monitor = reporting(&bus);
    // Not at the moment of a report.
    pass(millis(1)).await;
    for _ in 0..30 {
        publish(&bus, 10);
        pass(seconds(10)).await;
    }
    let topics = bus.stats();
    let topic = topics
        .iter()
        .find(|topic| topic.topic == "performance-report");
    assert_eq!(topic.unwrap().ledger.in_flight, 1);
    let first = next(&mut reports).unwrap();
    assert_eq!((first.measured, first.published), (seconds(10), 10));
    assert_eq!(next(&mut reports), None);
    publish(&bus, 7);
    pass(seconds(10)).await;
    let rest = next(&mut reports).unwrap();
    // The report before and its line in the log are two more.
    assert_eq!((rest.measured, rest.published), (seconds(300), 290 + 7 + 2));
    assert_eq!(next(&mut reports), None);
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_a_report_is_of_what_was_since() {
    let bus = LocalBus::new();
    let mut reports = bus.subscribe(&PERFORMANCE_REPORT).unwrap();
    let monitor = reporting(&bus);
    publish(&bus, 900);
    pass(seconds(4)).await;
    monitor.reset();
    publish(&bus, 5);
    pass(millis(6001)).await;
    let report = next(&mut reports).unwrap();
    assert_eq!((report.measured, report.published), (seconds(6), 5));
}

#[tokio::test(start_paused = true)]
async fn reports_and_errors_reach_the_log_and_what_finds_no_room_there_is_counted() {
    let bus = LocalBus::new();
    let mut log = bus.subscribe(&LOG_EVENTS).unwrap();
    let stage = crate::stage::Stage::on(bus.clone());
    let monitor = reporting(&bus);
    crate::errors::detected(&stage, "panic", Severity::Critical);
    pass(millis(10_001)).await;
    let error = log.recv().await.unwrap();
    assert_eq!((error.level, &*error.source), (LogLevel::Error, "module"));
    assert_eq!(error.message, "panic: it went wrong");
    let report = log.recv().await.unwrap();
    assert_eq!(
        (report.level, &*report.source),
        (LogLevel::Info, "performance-monitor")
    );
    assert!(report.message.contains("1 errors"), "{}", report.message);

    let lines = bus.publisher(&LOG_EVENTS).unwrap();
    while lines.try_publish((*report).clone()).is_ok() {}
    for _ in 0..3 {
        crate::errors::detected(&stage, "panic", Severity::Error);
    }
    pass(millis(1)).await;
    assert_eq!(monitor.performance_metrics().unlogged, 3);
}

#[tokio::test(start_paused = true)]
async fn of_errors_that_repeat_a_few_are_logged_and_then_how_many_more_there_were() {
    let bus = LocalBus::new();
    let mut log = bus.subscribe(&LOG_EVENTS).unwrap();
    let stage = crate::stage::Stage::on(bus.clone());
    let _monitor = reporting(&bus);
    let mut logged = async |kind: &str, times: usize| {
        for _ in 0..times {
            crate::errors::detected(&stage, kind, Severity::Error);
        }
        pass(millis(1)).await;
        let mut messages = Vec::new();
        while let Ok(line) = log.try_recv() {
            messages.push(line.message.clone());
        }
        messages
    };
    assert_eq!(logged("refused", 25).await, ["refused: it went wrong"; 10]);
    assert_eq!(logged("full", 1).await, ["full: it went wrong"]);
    pass(millis(4_990)).await;
    assert!(logged("refused", 1).await.is_empty());
    pass(millis(10)).await;
    let more = "refused: it went wrong; 16 more before it were not logged";
    let messages = logged("refused", 2).await;
    assert_eq!(messages, [more, "refused: it went wrong"]);
}

#[tokio::test(start_paused = true)]
async fn without_being_asked_it_tells_nothing() {
    let bus = LocalBus::new();
    let stage = crate::stage::Stage::on(bus.clone());
    let mut reports = bus.subscribe(&PERFORMANCE_REPORT).unwrap();
    let mut log = bus.subscribe(&LOG_EVENTS).unwrap();
    crate::errors::detected(&stage, "panic", Severity::Critical);
    pass(Duration::from_secs(3600)).await;
    assert!(reports.try_recv().is_err() && log.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_topic_and_stops_when_it_is_shut_down() {
    let bus = LocalBus::new();
    let monitor = reporting(&bus);
    pass(seconds(15)).await;
    bus.close();
    pass(seconds(15)).await;
    assert!(
        format!("{monitor:?}").contains(r#"["sample"]"#),
        "{monitor:?}"
    );
    assert!(monitor.shutdown(seconds(1)).await.aborted.is_empty());
}

#[tokio::test(start_paused = true)]
async fn reports_that_come_more_often_than_samples_are_refused() {
    let builder = PerformanceMonitor::builder(Arc::new(LocalBus::new()));
    let error = builder.report_every(millis(999)).build().unwrap_err();
    assert!(matches!(error, MonitorError::ReportsTooOften { .. }));
    assert!(error.to_string().contains("every 999ms"), "{error}");
}
