//! Rates over longer than one interval.

use coord_bus::{BusExt, LocalBus, Topic};
use coord_monitor::{PerformanceMonitor, Rates};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

use crate::stage::{Stage, TICKS, millis, pass, seconds};

fn rates(stage: &Stage) -> Rates {
    let metrics = stage.monitor.performance_metrics();
    metrics.topic("ticks").expect("it is open").rates
}

#[tokio::test(start_paused = true)]
async fn each_window_looks_as_far_back_as_it_says() {
    let stage = Stage::new();
    // Not at the moment of a sample.
    pass(millis(1)).await;
    // Five minutes at 10 a second, then nothing for 9 s, then 100 in one second.
    for _ in 0..300 {
        stage.publish(&TICKS, 10);
        pass(seconds(1)).await;
    }
    pass(seconds(9)).await;
    stage.publish(&TICKS, 100);
    pass(seconds(1)).await;
    let rates = rates(&stage);
    assert_eq!(
        (rates.second.round(), rates.ten_seconds.round()),
        (100.0, 10.0)
    );
    assert!((rates.minute - 600.0 / 60.0).abs() < 1.0, "{rates:?}");
    assert!(
        (rates.five_minutes - 3000.0 / 300.0).abs() < 0.2,
        "{rates:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_window_that_has_not_passed_yet_is_since_the_beginning() {
    let stage = Stage::new();
    stage.publish(&TICKS, 60);
    pass(seconds(2)).await;
    let rates = rates(&stage);
    assert_eq!((rates.second, rates.ten_seconds), (0.0, 30.0));
    assert_eq!((rates.minute, rates.five_minutes), (30.0, 30.0));
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_came_later_had_published_nothing_before() {
    const LATE: Topic<u32> = Topic::new("late");
    let stage = Stage::new();
    pass(seconds(30)).await;
    stage.publish(&LATE, 60);
    pass(seconds(20)).await;
    let metrics = stage.monitor.performance_metrics();
    let rates = metrics.topic("late").unwrap().rates;
    assert_eq!((rates.ten_seconds, rates.minute), (0.0, 60.0 / 50.0));
}

#[tokio::test(start_paused = true)]
async fn a_reset_forgets_what_was_published_before_it() {
    let stage = Stage::new();
    stage.publish(&TICKS, 500);
    pass(seconds(5)).await;
    stage.monitor.reset();
    stage.publish(&TICKS, 20);
    pass(seconds(2)).await;
    assert_eq!(rates(&stage).five_minutes, 10.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Beside a monitor that kept the time of each event.
    #[test]
    fn rates_are_those_of_all_events_of_a_window(
        bursts in prop::collection::vec((0..2000u64, 0..50u32), 1..120),
        interval in prop::sample::select(vec![200u64, 500, 1000, 3000]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let bus = LocalBus::new();
            let ticks = bus.publisher(&TICKS).unwrap();
            let monitor = PerformanceMonitor::builder(Arc::new(bus))
                .interval(millis(interval))
                .build()
                .unwrap();
            let began = coord_bus::time::Instant::now();
            let mut published = Vec::new();
            for (wait, events) in bursts {
                pass(millis(wait)).await;
                for event in 0..events {
                    ticks.try_publish(event).unwrap();
                    published.push(began.elapsed());
                }
            }
            pass(millis(1)).await;
            let now = began.elapsed();
            let metrics = monitor.performance_metrics();
            let rates = metrics.topic("ticks").unwrap().rates;
            for (rate, window, slack) in [
                (rates.second, seconds(1), Duration::ZERO),
                (rates.ten_seconds, seconds(10), Duration::ZERO),
                (rates.minute, seconds(60), seconds(5)),
                (rates.five_minutes, seconds(300), seconds(5)),
            ] {
                // The window begins at some sample from here to there.
                let last = now.saturating_sub(window);
                let first = last.saturating_sub(slack + millis(interval + 2));
                let within = |from| published.iter().filter(|at| **at >= from).count() as f64;
                let least = within(last + millis(2)) / (now - first).as_secs_f64();
                let most = within(first) / (now - last).as_secs_f64();
                prop_assert!(
                    rate >= least * 0.999 && rate <= most * 1.001 + 1e-9,
                    "{} over {:?}, not from {} to {}", rate, window, least, most
                );
            }
            Ok(())
        })?;
    }
}
