//! The last samples.

use std::sync::Arc;

use coord_bus::{BusExt, LocalBus, Topic};
use coord_monitor::{DEFAULT_HISTORY, MAX_HISTORY, MonitorError, PerformanceMonitor};

use crate::stage::{Stage, TICKS, millis, pass, seconds};

#[tokio::test(start_paused = true)]
async fn each_sample_is_kept_the_oldest_first() {
    const LATE: Topic<u32> = Topic::new("late");
    let stage = Stage::new();
    pass(millis(1)).await;
    for second in 1..=4 {
        stage.clock.advance(seconds(1));
        stage.publish(&TICKS, second * 10);
        if second == 3 {
            stage.publish(&LATE, 5);
        }
        pass(seconds(1)).await;
    }
    let history = stage.monitor.history();
    let at: Vec<_> = history.at.iter().map(|at| at.as_second()).collect();
    assert_eq!(at, [1, 2, 3, 4]);
    assert_eq!(
        history.topic("ticks").unwrap().per_second,
        [10.0, 20.0, 30.0, 40.0]
    );
    assert_eq!(
        history.topic("late").unwrap().per_second,
        [0.0, 0.0, 5.0, 0.0]
    );
    assert_eq!(history.cpu_percent.len(), 4);
    assert_eq!(history.memory_bytes.len(), 4);
    assert!(history.memory_bytes.iter().all(|bytes| *bytes > 1 << 20));
}

#[tokio::test(start_paused = true)]
async fn thinned_it_has_the_mean_of_rates_and_the_most_of_what_is_behind() {
    let stage = Stage::new();
    let mut slow = stage.bus.subscribe(&TICKS).unwrap();
    pass(millis(1)).await;
    for second in 1..=5 {
        stage.clock.advance(seconds(1));
        stage.publish(&TICKS, second * 10);
        pass(seconds(1)).await;
    }
    let history = stage.monitor.history();
    assert_eq!(history.thinned(5), history);
    assert_eq!(history.thinned(600), history);
    let thin = history.thinned(3);
    let at: Vec<_> = thin.at.iter().map(|at| at.as_second()).collect();
    assert_eq!(at, [2, 4, 5]);
    let ticks = thin.topic("ticks").unwrap();
    assert_eq!(ticks.per_second, [15.0, 35.0, 50.0]);
    assert_eq!(ticks.lag, [30, 100, 150]);
    let memory = |from: usize, to| history.memory_bytes[from..to].iter().max().copied();
    assert_eq!(Some(thin.memory_bytes[1]), memory(2, 4));
    assert_eq!(history.thinned(0).at.len(), 1);
    assert!(slow.try_recv().is_ok());
}

#[tokio::test(start_paused = true)]
async fn it_keeps_as_many_as_it_should_and_no_more() {
    let bus = LocalBus::new();
    let stage = Stage::on(bus.clone());
    let short = PerformanceMonitor::builder(Arc::new(bus))
        .history(3)
        .build()
        .unwrap();
    for second in 0..200 {
        stage.publish(&TICKS, second);
        pass(seconds(1)).await;
    }
    let history = short.history();
    assert_eq!(history.at.len(), 3);
    let ticks = history.topic("ticks").unwrap();
    assert_eq!(ticks.per_second.len(), 3);
    let history = stage.monitor.history();
    assert_eq!(history.at.len(), DEFAULT_HISTORY);
    assert_eq!(
        history.topic("ticks").unwrap().per_second.len(),
        DEFAULT_HISTORY
    );
}

#[tokio::test(start_paused = true)]
async fn a_longer_one_than_the_limit_is_refused() {
    let builder = || PerformanceMonitor::builder(Arc::new(LocalBus::new()));
    assert!(builder().history(MAX_HISTORY).build().is_ok());
    let error = builder().history(MAX_HISTORY + 1).build().unwrap_err();
    assert!(matches!(
        error,
        MonitorError::HistoryTooLong { samples: 3601 }
    ));
    assert_eq!(
        error.to_string(),
        "a monitor cannot keep 3601 samples: use 3600 or fewer"
    );
}
