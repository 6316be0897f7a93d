//! When alerts open and close.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coord_bus::vocabulary::{
    AlertState, ERROR_DETECTED, LOG_EVENTS, LogLevel, PERFORMANCE_ALERT, PerformanceAlert, Severity,
};
use coord_bus::{BusExt, LocalBus, Subscriber};
use coord_monitor::{MAX_THRESHOLDS, MonitorError, PerformanceMonitor, Threshold};
use proptest::prelude::*;

use crate::stage::{TICKS, millis, pass, seconds};

/// A figure that a test sets, and what it is held against.
#[derive(Clone)]
struct Gauge(Arc<AtomicU64>);

impl Gauge {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// `u64::MAX` is no value.
    fn read(&self) -> Option<f64> {
        let value = self.0.load(Ordering::Relaxed);
        (value != u64::MAX).then_some(value as f64)
    }

    fn above(&self, limit: f64) -> Threshold {
        let gauge = self.clone();
        Threshold::above("gauge", limit, move |_| gauge.read())
    }
}

fn monitor(bus: &LocalBus, threshold: Threshold) -> PerformanceMonitor {
    let builder = PerformanceMonitor::builder(Arc::new(bus.clone()));
    builder
        .threshold(threshold)
        .log(true)
        .build()
        .expect("it is sound")
}

fn heard(alerts: &mut Subscriber<PerformanceAlert>) -> Vec<(AlertState, Option<f64>)> {
    let mut heard = Vec::new();
    while let Ok(alert) = alerts.try_recv() {
        assert_eq!(alert.alert, "gauge");
        heard.push((alert.state, alert.value));
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn an_alert_opens_beyond_the_limit_and_closes_well_within_it_once_each() {
    let (bus, gauge) = (LocalBus::new(), Gauge::new());
    let mut alerts = bus.subscribe(&PERFORMANCE_ALERT).unwrap();
    let monitor = monitor(&bus, gauge.above(100.0).severity(Severity::Critical));
    pass(millis(1)).await;
    let mut open = Vec::new();
    for value in [100, 101, 99, 120, 91, 90, 100, 101] {
        gauge.set(value);
        pass(seconds(1)).await;
        open.push(monitor.performance_metrics().alerts.len());
    }
    assert_eq!(open, [0, 1, 1, 1, 1, 0, 0, 1]);
    assert_eq!(
        heard(&mut alerts),
        [
            (AlertState::Opened, Some(101.0)),
            (AlertState::Closed, Some(90.0)),
            (AlertState::Opened, Some(101.0)),
        ]
    );
    let alert = &monitor.performance_metrics().alerts[0];
    assert_eq!(
        (&*alert.alert, alert.limit, alert.value),
        ("gauge", 100.0, Some(101.0))
    );
    assert_eq!(alert.severity, Severity::Critical);
}

#[tokio::test(start_paused = true)]
async fn what_is_beyond_too_shortly_is_no_alert() {
    let (bus, gauge) = (LocalBus::new(), Gauge::new());
    let mut alerts = bus.subscribe(&PERFORMANCE_ALERT).unwrap();
    let _monitor = monitor(&bus, gauge.above(10.0).lasting(seconds(3)));
    pass(millis(1)).await;
    for value in [11, 11, 11, 10, 11, 11, 11] {
        gauge.set(value);
        pass(seconds(1)).await;
    }
    assert_eq!(heard(&mut alerts), []);
    pass(seconds(1)).await;
    assert_eq!(heard(&mut alerts), [(AlertState::Opened, Some(11.0))]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_measured_any_more_closes() {
    let (bus, gauge) = (LocalBus::new(), Gauge::new());
    let mut alerts = bus.subscribe(&PERFORMANCE_ALERT).unwrap();
    let _monitor = monitor(&bus, gauge.above(10.0));
    gauge.set(11);
    pass(millis(1001)).await;
    gauge.set(u64::MAX);
    pass(millis(1001)).await;
    let states = heard(&mut alerts);
    assert_eq!(
        states,
        [(AlertState::Opened, Some(11.0)), (AlertState::Closed, None)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_floor_is_a_limit_too_and_what_is_measured_is_the_monitors() {
    let bus = LocalBus::new();
    let ticks = bus.publisher(&TICKS).unwrap();
    let mut alerts = bus.subscribe(&PERFORMANCE_ALERT).unwrap();
    let quiet = Threshold::below("gauge", 5.0, |metrics| {
        Some(metrics.topic("ticks")?.per_second)
    });
    // What it is between two looks.
    let quiet = quiet.over(seconds(1)).lasting(seconds(1));
    let _monitor = monitor(&bus, quiet);
    pass(millis(1)).await;
    for events in [10, 10, 4, 5, 5, 6] {
        for event in 0..events {
            ticks.publish(event).await.unwrap();
        }
        pass(seconds(1)).await;
    }
    // Open at 4 and still at 5, which is not the 10 % within the limit that clear it.
    let states: Vec<_> = heard(&mut alerts)
        .into_iter()
        .map(|(state, _)| state)
        .collect();
    assert_eq!(states, []);
    pass(seconds(2)).await;
    let states: Vec<_> = heard(&mut alerts)
        .into_iter()
        .map(|(state, _)| state)
        .collect();
    assert_eq!(states, [AlertState::Opened]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_finds_no_room_is_told_later_or_not_at_all() {
    let (bus, gauge) = (LocalBus::new(), Gauge::new());
    let full = PERFORMANCE_ALERT.capacity(1);
    let mut alerts = bus.subscribe(&full).unwrap();
    let monitor = PerformanceMonitor::builder(Arc::new(bus.clone()))
        .threshold(gauge.above(10.0))
        .build();
    // The topic is as it was opened first, and the monitor agrees to that or says so.
    let Ok(_monitor) = monitor else {
        panic!("a capacity that is stated by one only is no conflict");
    };
    for value in [11, 0, 11, 0, 11] {
        gauge.set(value);
        pass(millis(1001)).await;
    }
    assert_eq!(heard(&mut alerts), [(AlertState::Opened, Some(11.0))]);
    // It is open again, so there is nothing to tell; then it closes.
    pass(millis(1001)).await;
    assert_eq!(heard(&mut alerts), []);
    gauge.set(0);
    pass(millis(1001)).await;
    assert_eq!(heard(&mut alerts), [(AlertState::Closed, Some(0.0))]);
}

#[tokio::test(start_paused = true)]
async fn alerts_reach_the_log() {
    let (bus, gauge) = (LocalBus::new(), Gauge::new());
    let mut log = bus.subscribe(&LOG_EVENTS).unwrap();
    let _monitor = monitor(&bus, gauge.above(10.0).severity(Severity::Error));
    for value in [11, 0] {
        gauge.set(value);
        pass(millis(1001)).await;
    }
    let opened = log.recv().await.unwrap();
    assert_eq!(opened.level, LogLevel::Error);
    assert_eq!(opened.message, "alert `gauge` opened: 11, the limit is 10");
    assert_eq!(log.recv().await.unwrap().level, LogLevel::Info);
}

#[tokio::test(start_paused = true)]
async fn a_threshold_that_panics_is_told_of_once_and_the_others_go_on() {
    let (bus, gauge) = (LocalBus::new(), Gauge::new());
    let mut alerts = bus.subscribe(&PERFORMANCE_ALERT).unwrap();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let broken = Threshold::above("broken", 1.0, |_| panic!("there is no such topic"));
    let monitor = PerformanceMonitor::builder(Arc::new(bus.clone()))
        .threshold(broken)
        .threshold(gauge.above(10.0))
        .build()
        .unwrap();
    pass(millis(1)).await;
    for value in [11, 0, 11] {
        gauge.set(value);
        pass(seconds(1)).await;
    }
    assert_eq!(
        heard(&mut alerts),
        [
            (AlertState::Opened, Some(11.0)),
            (AlertState::Closed, Some(0.0)),
            (AlertState::Opened, Some(11.0)),
        ]
    );
    let error = errors.try_recv().unwrap();
    assert_eq!(error.source, "performance-monitor/threshold `broken`");
    assert_eq!(
        (&*error.kind, &*error.message),
        ("panic", "there is no such topic")
    );
    assert!(errors.try_recv().is_err());
    assert_eq!(monitor.performance_metrics().panicked, 3);
    monitor.reset();
    assert_eq!(monitor.performance_metrics().panicked, 0);
}

#[tokio::test(start_paused = true)]
async fn thresholds_that_cannot_work_are_refused() {
    let builder = || PerformanceMonitor::builder(Arc::new(LocalBus::new()));
    let gauge = Gauge::new();
    let error = builder()
        .threshold(gauge.above(10.0).clear_at(11.0))
        .build()
        .unwrap_err();
    assert!(matches!(error, MonitorError::ClearBeyondLimit { .. }));
    assert!(
        error.to_string().contains("`gauge` would close at 11"),
        "{error}"
    );
    let error = builder()
        .threshold(gauge.above(f64::NAN))
        .build()
        .unwrap_err();
    assert!(matches!(error, MonitorError::ClearBeyondLimit { .. }));
    let twice = builder()
        .threshold(gauge.above(1.0))
        .threshold(gauge.above(2.0));
    let error = twice.build().unwrap_err();
    assert!(matches!(error, MonitorError::DuplicateThreshold { .. }));
    let mut many = builder();
    for number in 0..=MAX_THRESHOLDS {
        many = many.threshold(Threshold::above(number.to_string(), 1.0, |_| None));
    }
    let error = many.build().unwrap_err();
    assert!(matches!(
        error,
        MonitorError::TooManyThresholds { thresholds: 101 }
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Beside the rule, written down once more in the plainest way.
    #[test]
    fn alerts_open_and_close_in_turn_and_as_the_rule_says(
        values in prop::collection::vec(prop_oneof![0..20u64, Just(u64::MAX)], 1..60),
        lasting in 0..4usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (told, is_open) = runtime.block_on(async {
            let (bus, gauge) = (LocalBus::new(), Gauge::new());
            let mut alerts = bus.subscribe(&PERFORMANCE_ALERT).unwrap();
            let threshold = gauge.above(10.0).clear_at(8.0).lasting(seconds(lasting as u64));
            let monitor = monitor(&bus, threshold);
            pass(millis(1)).await;
            for value in &values {
                gauge.set(*value);
                pass(seconds(1)).await;
            }
            (heard(&mut alerts), !monitor.performance_metrics().alerts.is_empty())
        });
        let mut expected = Vec::new();
        let (mut open, mut beyond) = (false, 0);
        for value in &values {
            let value = (*value != u64::MAX).then_some(*value);
            beyond = if value.is_some_and(|value| value > 10) { beyond + 1 } else { 0 };
            if !open && beyond > lasting {
                open = true;
                expected.push((AlertState::Opened, value.map(|value| value as f64)));
            } else if open && value.is_none_or(|value| value <= 8) {
                open = false;
                expected.push((AlertState::Closed, value.map(|value| value as f64)));
            }
        }
        prop_assert_eq!(told, expected);
        prop_assert_eq!(is_open, open);
    }
}
