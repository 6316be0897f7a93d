//! How durations are summed up.

use std::time::Duration;

use coord_monitor::{DurationSummary, MAX_DURATION};
use proptest::prelude::*;

use crate::stage::{Stage, completed, millis, seconds};

async fn summary(durations: impl IntoIterator<Item = Duration>) -> Option<DurationSummary> {
    let stage = Stage::new();
    for duration in durations {
        stage.tell(completed("test", duration)).await;
    }
    let metrics = stage.monitor.performance_metrics();
    assert_eq!(metrics.missed, 0);
    metrics.step("build/test")?.duration.clone()
}

/// Whether a percentile is within the 1 % that are promised.
fn is_about(measured: f64, exact: f64) -> bool {
    (measured - exact).abs() <= exact * 0.01 + 1e-6
}

#[tokio::test(start_paused = true)]
async fn percentiles_of_known_durations_are_within_one_percent() {
    let summary = summary((1..=10_000).map(millis)).await.unwrap();
    assert_eq!(summary.count, 10_000);
    assert_eq!((summary.min, summary.max), (0.001, 10.0));
    assert!((summary.mean - 5.0005).abs() < 1e-9);
    for (measured, exact) in [
        (summary.p50, 5.0),
        (summary.p90, 9.0),
        (summary.p95, 9.5),
        (summary.p99, 9.9),
        (summary.p999, 9.99),
    ] {
        assert!(is_about(measured, exact), "{measured} instead of {exact}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_duration_is_each_of_its_percentiles() {
    let summary = summary([millis(1234)]).await.unwrap();
    let DurationSummary {
        min,
        mean,
        p50,
        p999,
        max,
        ..
    } = summary;
    assert_eq!([min, mean, p50, p999, max], [1.234; 5]);
}

#[tokio::test(start_paused = true)]
async fn nothing_and_more_than_a_day_are_durations_too() {
    let week = 7 * MAX_DURATION;
    let summary = summary([Duration::ZERO, week, week]).await.unwrap();
    assert_eq!((summary.min, summary.max), (0.0, week.as_secs_f64()));
    assert!(is_about(summary.p50, MAX_DURATION.as_secs_f64()));
}

#[tokio::test(start_paused = true)]
async fn where_there_is_none_there_is_no_summary() {
    let stage = Stage::new();
    assert_eq!(stage.monitor.performance_metrics().workflows.duration, None);
    assert_eq!(summary([]).await, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_summary_is_that_of_the_sorted_durations(
        micros in prop::collection::vec(0..10_000_000u64, 1..300),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let durations = micros.iter().map(|micros| Duration::from_micros(*micros));
        let summary = runtime.block_on(summary(durations)).unwrap();
        let mut sorted = micros;
        sorted.sort_unstable();
        let exact = |quantile: f64| {
            let rank = (quantile * sorted.len() as f64).ceil().max(1.0) as usize;
            sorted[rank - 1] as f64 / 1e6
        };
        for (measured, exact) in [
            (summary.p50, exact(0.5)),
            (summary.p90, exact(0.9)),
            (summary.p95, exact(0.95)),
            (summary.p99, exact(0.99)),
        ] {
            prop_assert!(is_about(measured, exact), "{} for {}", measured, exact);
        }
        let last = sorted.len() - 1;
        let exactly = |micros| Duration::from_micros(micros).as_secs_f64();
        prop_assert_eq!(summary.min, exactly(sorted[0]));
        prop_assert_eq!(summary.max, exactly(sorted[last]));
        prop_assert!(summary.p50 <= summary.p90 && summary.p90 <= summary.p999);
        prop_assert!(summary.max <= seconds(10).as_secs_f64());
    }
}
