//! What the monitor tells of the other parts, and by itself.

use coordination::bus::vocabulary::{
    ERROR_DETECTED, ErrorDetected, LOG_EVENTS, LogEvent, LogLevel, PERFORMANCE_ALERT,
    PERFORMANCE_REPORT, STREAM_REPORT, Severity,
};
use coordination::bus::{Bus, BusExt, Failure, LocalBus, Timestamp, Topic, time};
use coordination::flow::EventFlow;
use coordination::monitor::Threshold;
use coordination::recovery::{ErrorPattern, Matched};
use coordination::{CoordinationConfig, CoordinationModule};
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::StreamExt;

fn start(bus: &LocalBus, config: CoordinationConfig) -> CoordinationModule {
    CoordinationModule::start(Arc::new(bus.clone()), config).expect("nothing is in its way")
}

/// How many lines are logged in a quarter of a minute after one error is.
async fn lines_after_an_error(bus: &LocalBus) -> u64 {
    let line = LogEvent {
        at: Timestamp::UNIX_EPOCH,
        level: LogLevel::Error,
        source: "db".to_owned(),
        message: "the disk is full".to_owned(),
    };
    let lines = bus.publisher(&LOG_EVENTS).unwrap();
    lines.publish(line).await.unwrap();
    time::sleep(Duration::from_secs(15)).await;
    lines.stats().ledger.published
}

#[tokio::test(start_paused = true)]
async fn a_flow_of_the_log_that_fails_is_not_logged_for_that() {
    let bus = LocalBus::new();
    let module = start(&bus, CoordinationConfig::default());
    let flow = EventFlow::from(&LOG_EVENTS).enrich(4, |_| async {
        Err::<LogEvent, _>(Failure::message("refused"))
    });
    let flow = flow.to(&Topic::<LogEvent>::new("shipped")).named("ship");
    module
        .choreographer()
        .unwrap()
        .add_event_flow(flow)
        .unwrap();
    assert_eq!(lines_after_an_error(&bus).await, 1);
    let flows = module.choreographer().unwrap().event_flows();
    let shipped = flows.iter().find(|flow| flow.name == "ship").unwrap();
    assert_eq!(shipped.stats.failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_pattern_of_errors_in_the_log_that_leads_to_more_of_them_does_so_a_few_times() {
    let bus = LocalBus::new();
    let module = start(&bus, CoordinationConfig::default());
    let pattern = ErrorPattern::on(&LOG_EVENTS, "logged", |line| {
        let is_error = line.level == LogLevel::Error;
        is_error.then(|| Matched::new("log", line.message.clone()))
    });
    module.register_error_pattern(pattern).unwrap();
    let lines = lines_after_an_error(&bus).await;
    assert!((2..=100).contains(&lines), "{lines}");
}

#[tokio::test(start_paused = true)]
async fn flows_and_streams_are_in_its_snapshots_until_they_are_gone() {
    let bus = LocalBus::new();
    let module = start(&bus, CoordinationConfig::default());
    let optimizer = module.optimizer().unwrap();
    let _stream = optimizer.subscribe(&LOG_EVENTS).unwrap();
    let readings = module.monitor().unwrap().performance_metrics().readings;
    let has = |subject: &str, figure: &str| {
        let mut readings = readings.iter();
        readings.any(|reading| reading.subject == subject && reading.figure == figure)
    };
    assert!(
        has("flow process-lifecycle-to-log", "received"),
        "{readings:?}"
    );
    assert!(has("stream log-events", "given out"), "{readings:?}");
}

#[tokio::test(start_paused = true)]
async fn a_module_reports_once_a_minute_and_into_the_log_unless_it_is_told_not_to() {
    for is_on in [true, false] {
        let bus = LocalBus::new();
        let mut config = CoordinationConfig::default();
        if !is_on {
            config.performance_reporting_interval = None;
            config.performance_log = false;
        }
        let mut reports = bus.subscribe(&PERFORMANCE_REPORT).unwrap();
        let mut log = bus.subscribe(&LOG_EVENTS).unwrap();
        let _module = start(&bus, config);
        let errors = bus.publisher(&ERROR_DETECTED).unwrap();
        let error = ErrorDetected {
            source: "test".to_owned(),
            kind: "panic".to_owned(),
            message: "it went wrong".to_owned(),
            severity: Severity::Error,
            at: Timestamp::UNIX_EPOCH,
        };
        errors.publish(error).await.unwrap();
        time::sleep(Duration::from_millis(60_001)).await;
        assert_eq!(reports.try_recv().is_ok(), is_on);
        let mut lines = 0;
        while log.try_recv().is_ok() {
            lines += 1;
        }
        // The error, and the report.
        assert_eq!(lines, if is_on { 2 } else { 0 });
    }
}

fn line() -> LogEvent {
    LogEvent {
        at: Timestamp::UNIX_EPOCH,
        level: LogLevel::Info,
        source: "test".to_owned(),
        message: "a line".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_became_of_streams_is_reported_once_a_minute_until_the_module_is_shut_down() {
    let bus = LocalBus::new();
    let module = start(&bus, CoordinationConfig::default());
    let mut reports = bus.subscribe(&STREAM_REPORT).unwrap();
    let mut log = module.optimizer().unwrap().subscribe(&LOG_EVENTS).unwrap();
    let lines = bus.publisher(&LOG_EVENTS).unwrap();
    lines.publish(line()).await.unwrap();
    assert_eq!(log.next().await.unwrap().len(), 1);
    let report = reports.recv().await.unwrap();
    assert_eq!(report.streams[0].stream, "log-events");
    assert!(report.streams[0].given_out >= 1);
    let _ = module.shutdown(Duration::from_secs(1)).await;
    lines.publish(line()).await.unwrap();
    assert!(log.next().await.is_some());
    time::sleep(Duration::from_secs(61)).await;
    assert!(reports.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn thresholds_of_the_configuration_are_watched() {
    let bus = LocalBus::new();
    let mut config = CoordinationConfig::default();
    let topics =
        |metrics: &coordination::monitor::PerformanceMetrics| Some(metrics.topics.len() as f64);
    config.performance_thresholds = vec![Threshold::above("topics", 1.0, topics)];
    let mut alerts = bus.subscribe(&PERFORMANCE_ALERT).unwrap();
    let _module = start(&bus, config);
    time::sleep(Duration::from_millis(1001)).await;
    assert_eq!(alerts.recv().await.unwrap().alert, "topics");
    assert!(bus.stats().len() > 1);
}
