//! Over what time thresholds look.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::vocabulary::{AlertState, PERFORMANCE_ALERT, PerformanceAlert, Severity};
use coord_bus::{BusExt, LocalBus, Overflow, Subscriber};
use coord_monitor::{PerformanceMetrics, PerformanceMonitor, Threshold};
use proptest::prelude::*;

use crate::errors::detected;
use crate::stage::{Stage, TICKS, millis, pass, seconds};

/// A monitor with one threshold on the bus of a stage.
fn watching(
    stage: &Stage,
    threshold: Threshold,
) -> (PerformanceMonitor, Subscriber<PerformanceAlert>) {
    let alerts = stage.bus.subscribe(&PERFORMANCE_ALERT).expect("it is free");
    let monitor = PerformanceMonitor::builder(Arc::new(stage.bus.clone()))
        .threshold(threshold)
        .build()
        .expect("it is sound");
    (monitor, alerts)
}

fn heard(alerts: &mut Subscriber<PerformanceAlert>) -> Vec<(AlertState, Option<f64>)> {
    let mut heard = Vec::new();
    while let Ok(alert) = alerts.try_recv() {
        heard.push((alert.state, alert.value));
    }
    heard
}

fn dropped(metrics: &PerformanceMetrics) -> Option<f64> {
    Some(metrics.topic("ticks")?.dropped as f64)
}

fn p99(metrics: &PerformanceMetrics) -> Option<f64> {
    Some(metrics.latency("ticks")?.total.as_ref()?.p99)
}

fn errors(metrics: &PerformanceMetrics) -> Option<f64> {
    Some(metrics.errors.detected() as f64)
}

fn published(metrics: &PerformanceMetrics) -> Option<f64> {
    Some(metrics.topic("ticks")?.published as f64)
}

#[tokio::test(start_paused = true)]
async fn an_alert_about_what_was_dropped_closes_once_nothing_more_was() {
    let stage = Stage::on(LocalBus::new());
    let threshold = Threshold::above("dropped", 0.0, dropped).over(seconds(10));
    let (_monitor, mut alerts) = watching(&stage, threshold);
    let few = TICKS.capacity(4);
    let _behind = stage
        .bus
        .subscribe_with(&few, Overflow::DropOldest)
        .unwrap();
    pass(millis(1)).await;
    stage.publish(&few, 7);
    pass(seconds(1)).await;
    assert_eq!(heard(&mut alerts), [(AlertState::Opened, Some(3.0))]);
    pass(seconds(9)).await;
    assert_eq!(heard(&mut alerts), []);
    pass(seconds(2)).await;
    assert_eq!(heard(&mut alerts), [(AlertState::Closed, Some(0.0))]);
    // And opens once more, of what was dropped since.
    stage.publish(&few, 2);
    pass(seconds(1)).await;
    assert_eq!(heard(&mut alerts), [(AlertState::Opened, Some(2.0))]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_about_what_is_slow_closes_once_it_is_fast_or_nothing_comes() {
    let stage = Stage::new();
    let threshold = Threshold::above("slow", 0.5, p99).over(seconds(10));
    let (monitor, mut alerts) = watching(&stage, threshold);
    let latency = monitor.latency("ticks");
    let states = |alerts: &mut Subscriber<PerformanceAlert>| {
        let heard = heard(alerts).into_iter();
        heard.map(|(state, _)| state).collect::<Vec<_>>()
    };
    pass(millis(1)).await;
    for _ in 0..100 {
        latency.record(millis(0), seconds(2));
    }
    pass(seconds(1)).await;
    assert_eq!(states(&mut alerts), [AlertState::Opened]);
    for _ in 0..12 {
        latency.record(millis(0), millis(10));
        pass(seconds(1)).await;
    }
    assert_eq!(states(&mut alerts), [AlertState::Closed]);
    latency.record(millis(0), seconds(2));
    pass(seconds(12)).await;
    assert_eq!(
        states(&mut alerts),
        [AlertState::Opened, AlertState::Closed]
    );
}

#[tokio::test(start_paused = true)]
async fn a_window_is_five_minutes_where_nothing_else_is_said() {
    let stage = Stage::new();
    let (_monitor, mut alerts) = watching(&stage, Threshold::above("errors", 0.0, errors));
    pass(millis(1)).await;
    detected(&stage, "panic", Severity::Error);
    pass(seconds(1)).await;
    assert_eq!(heard(&mut alerts), [(AlertState::Opened, Some(1.0))]);
    pass(seconds(298)).await;
    assert_eq!(heard(&mut alerts), []);
    pass(seconds(32)).await;
    assert_eq!(heard(&mut alerts), [(AlertState::Closed, Some(0.0))]);
}

#[tokio::test(start_paused = true)]
async fn the_longest_window_is_all_since_the_monitor_began() {
    let stage = Stage::new();
    // Before it began.
    stage.publish(&TICKS, 100);
    let threshold = Threshold::above("published", 3.0, published).over(Duration::MAX);
    let (_monitor, mut alerts) = watching(&stage, threshold);
    for _ in 0..4 {
        assert_eq!(heard(&mut alerts), []);
        stage.publish(&TICKS, 1);
        pass(seconds(500)).await;
    }
    assert_eq!(heard(&mut alerts), [(AlertState::Opened, Some(4.0))]);
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_an_alert_is_open_until_the_monitor_looks_and_counts_what_is_new() {
    let stage = Stage::new();
    let threshold = Threshold::above("published", 3.0, published).over(seconds(20));
    let (monitor, mut alerts) = watching(&stage, threshold);
    pass(millis(1)).await;
    stage.publish(&TICKS, 5);
    pass(seconds(1)).await;
    assert_eq!(heard(&mut alerts), [(AlertState::Opened, Some(5.0))]);
    pass(millis(500)).await;
    monitor.reset();
    assert_eq!(monitor.performance_metrics().alerts.len(), 1);
    stage.publish(&TICKS, 2);
    pass(millis(500)).await;
    assert_eq!(heard(&mut alerts), [(AlertState::Closed, Some(2.0))]);
    // Those two are in the window yet.
    stage.publish(&TICKS, 2);
    pass(seconds(1)).await;
    assert_eq!(heard(&mut alerts), [(AlertState::Opened, Some(4.0))]);
    pass(seconds(22)).await;
    assert_eq!(heard(&mut alerts), [(AlertState::Closed, Some(0.0))]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_window_holds_what_was_in_it_and_at_most_a_tenth_or_an_interval_more(
        events in prop::collection::vec(0..5u32, 1..80),
        window in 0..40u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let seen = runtime.block_on(async {
            let stage = Stage::new();
            let values = Arc::new(Mutex::new(Vec::new()));
            let taken = Arc::clone(&values);
            stage.publish(&TICKS, 1);
            let threshold = Threshold::above("all", f64::MAX, move |metrics| {
                taken.lock().unwrap().push((metrics.measured, published(metrics)));
                None
            });
            let (_monitor, _alerts) = watching(&stage, threshold.over(seconds(window)));
            pass(millis(1)).await;
            for events in &events {
                stage.publish(&TICKS, *events);
                pass(seconds(1)).await;
            }
            std::mem::take(&mut *values.lock().unwrap())
        });
        prop_assert_eq!(seen.len(), events.len());
        for (look, (measured, published)) in seen.into_iter().enumerate() {
            let passed = look as u64 + 1;
            let least = passed.min(window.max(1)) as f64;
            let most = passed.min(window + (window / 10).max(1)) as f64;
            prop_assert!((least..=most).contains(&measured.round()), "{measured} for {window}");
            prop_assert!((measured - measured.round()).abs() < 1e-6);
            let within = &events[look + 1 - measured.round() as usize..=look];
            prop_assert_eq!(published, Some(f64::from(within.iter().sum::<u32>())));
        }
    }
}
