//! What happened between two snapshots.

use std::time::Duration;

use coord_bus::vocabulary::Severity;
use coord_monitor::{DurationSummary, PerformanceMetrics};
use proptest::prelude::*;

use crate::errors::detected;
use crate::stage::{Stage, TICKS, completed, finished, pass, seconds};

#[tokio::test(start_paused = true)]
async fn counts_are_of_the_time_between_and_states_are_of_now() {
    let stage = Stage::new();
    let behind = coord_bus::BusExt::subscribe(&stage.bus, &TICKS).unwrap();
    stage.publish(&TICKS, 100);
    stage.tell(completed("test", seconds(1))).await;
    stage.tell(finished("failed", seconds(1))).await;
    detected(&stage, "panic", Severity::Error);
    pass(seconds(3)).await;
    let earlier = stage.monitor.performance_metrics();
    stage.publish(&TICKS, 30);
    stage.tell(completed("test", seconds(7))).await;
    stage.tell(completed("other", seconds(2))).await;
    detected(&stage, "timeout", Severity::Warning);
    pass(seconds(2)).await;

    let between = stage.monitor.performance_metrics().since(&earlier);
    assert_eq!((between.uptime, between.measured), (5.0, 2.0));
    let ticks = between.topic("ticks").unwrap();
    assert_eq!(
        (ticks.published, ticks.per_second, ticks.lag),
        (30, 15.0, 130)
    );
    assert_eq!(
        (between.workflows.failed, between.workflows.steps.completed),
        (0, 2)
    );
    assert_eq!((between.errors.errors, between.errors.warnings), (0, 1));
    assert_eq!(between.errors.kinds.len(), 1);
    let test = between
        .step("build/test")
        .unwrap()
        .duration
        .as_ref()
        .unwrap();
    assert_eq!((test.count, test.mean), (1, 7.0));
    let other = between
        .step("build/other")
        .unwrap()
        .duration
        .as_ref()
        .unwrap();
    assert_eq!((other.count, other.min, other.max), (1, 2.0, 2.0));
    assert_eq!(between.workflows.duration, None);
    drop(behind);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_was_read_back_gives_counts_and_no_durations() {
    let stage = Stage::new();
    stage.tell(completed("test", seconds(1))).await;
    let written = serde_json::to_string(&stage.monitor.performance_metrics()).unwrap();
    let earlier: PerformanceMetrics = serde_json::from_str(&written).unwrap();
    stage.tell(completed("test", seconds(7))).await;
    let between = stage.monitor.performance_metrics().since(&earlier);
    assert_eq!(between.workflows.steps.completed, 1);
    assert_eq!(between.step("build/test").unwrap().duration, None);
}

fn summary(stage: &Stage) -> Option<DurationSummary> {
    let metrics = stage.monitor.performance_metrics();
    metrics.latency("ticks")?.total.clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn durations_between_are_those_that_were_recorded_between(
        before in prop::collection::vec(0..10_000_000_000u64, 0..200),
        after in prop::collection::vec(0..10_000_000_000u64, 1..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let _guard = runtime.enter();
        let (stage, alone) = (Stage::new(), Stage::new());
        let record = |stage: &Stage, nanos: &[u64]| {
            let latency = stage.monitor.latency("ticks");
            for nanos in nanos {
                latency.record(Duration::ZERO, Duration::from_nanos(*nanos));
            }
        };
        record(&stage, &before);
        let earlier = stage.monitor.performance_metrics();
        record(&stage, &after);
        record(&alone, &after);
        let between = stage.monitor.performance_metrics().since(&earlier);
        let between = between.latency("ticks").unwrap().total.clone().unwrap();
        let exact = summary(&alone).unwrap();
        prop_assert_eq!(between.count, exact.count);
        prop_assert!((between.mean - exact.mean).abs() <= 1e-9);
        for (between, exact) in [
            (between.min, exact.min),
            (between.p50, exact.p50),
            (between.p99, exact.p99),
            (between.max, exact.max),
        ] {
            prop_assert!((between - exact).abs() <= exact * 0.01 + 1e-9, "{between} for {exact}");
        }
    }

    #[test]
    fn percentiles_are_those_of_hdrhistogram(
        nanos in prop::collection::vec(0..u64::MAX >> 18, 1..300),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let _guard = runtime.enter();
        let stage = Stage::new();
        let latency = stage.monitor.latency("ticks");
        let mut histogram = hdrhistogram::Histogram::<u64>::new(2).unwrap();
        for nanos in &nanos {
            latency.record(Duration::ZERO, Duration::from_nanos(*nanos));
            histogram.record(*nanos).unwrap();
        }
        let summary = summary(&stage).unwrap();
        for (ours, quantile) in [(summary.p50, 0.5), (summary.p95, 0.95), (summary.p999, 0.999)] {
            let theirs = histogram.value_at_quantile(quantile) as f64 / 1e9;
            let theirs = theirs.clamp(summary.min, summary.max);
            prop_assert!((ours - theirs).abs() < 1e-9, "{ours} and {theirs}");
        }
    }
}
