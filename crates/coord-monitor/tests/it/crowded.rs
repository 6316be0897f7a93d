//! More topics than there are rows.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::{
    BoxFuture, Bus, BusError, Drained, LocalBus, Opening, Port, TopicStats, Watch, Watching,
};
use coord_monitor::{MAX_TOPICS, OTHER, PerformanceMetrics, PerformanceMonitor};

use crate::stage::{Stage, TICKS, millis, pass, seconds};

/// A bus that forgets topics.
#[derive(Clone)]
struct Forgetful {
    bus: LocalBus,
    forgotten: Arc<Mutex<BTreeSet<String>>>,
}

impl Forgetful {
    fn on(bus: LocalBus) -> Self {
        Self {
            bus,
            forgotten: Arc::default(),
        }
    }

    fn forget(&self, topic: &str) {
        let mut forgotten = self.forgotten.lock().expect("nobody panicked");
        forgotten.insert(topic.to_owned());
    }
}

impl Bus for Forgetful {
    fn open(&self, topic: &Opening<'_>) -> Result<Port, BusError> {
        self.bus.open(topic)
    }

    fn watch(&self, watch: Watch) -> Result<Watching, BusError> {
        self.bus.watch(watch)
    }

    fn stats(&self) -> Vec<TopicStats> {
        let mut stats = self.bus.stats();
        let forgotten = self.forgotten.lock().expect("nobody panicked");
        stats.retain(|topic| !forgotten.contains(&*topic.topic));
        stats
    }

    fn close(&self) {
        self.bus.close();
    }

    fn is_closed(&self) -> bool {
        self.bus.is_closed()
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, Drained> {
        self.bus.drain(deadline)
    }
}

fn published(metrics: &PerformanceMetrics) -> u64 {
    metrics.topics.iter().map(|topic| topic.published).sum()
}

/// Fills all rows but one with topics of one event each.
fn fill(stage: &Stage) {
    let there = stage.monitor.performance_metrics().topics.len();
    for number in 0..MAX_TOPICS - there - 1 {
        stage.publish(&TICKS.with_name(format!("topic.{number}")), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_keeps_its_row_when_one_that_comes_before_it_by_name_is_opened() {
    let stage = Stage::new();
    fill(&stage);
    stage.publish(&TICKS.with_name("zebra"), 5);
    let first = stage.monitor.performance_metrics();
    assert_eq!(first.topics.len(), MAX_TOPICS);
    stage.publish(&TICKS.with_name("aardvark"), 3);
    let second = stage.monitor.performance_metrics();
    assert_eq!(second.topic("zebra").unwrap().published, 5);
    assert_eq!(second.topic(OTHER).unwrap().published, 3);
    assert_eq!(published(&second.since(&first)), 3);
    pass(millis(1001)).await;
    stage.publish(&TICKS.with_name("aardvark"), 2);
    let third = stage.monitor.performance_metrics();
    assert_eq!(published(&third.since(&second)), 2);
}

#[tokio::test(start_paused = true)]
async fn a_topic_without_a_row_gets_none_when_one_is_free_so_that_it_is_counted_once() {
    let bus = Forgetful::on(LocalBus::new());
    let stage = Stage::on(bus.bus.clone());
    let monitor = PerformanceMonitor::new(Arc::new(bus.clone())).unwrap();
    fill(&stage);
    stage.publish(&TICKS.with_name("gone"), 1);
    pass(millis(1001)).await;
    stage.publish(&TICKS.with_name("late"), 7);
    let mut before = monitor.performance_metrics();
    assert_eq!(before.topic(OTHER).unwrap().published, 7);
    bus.forget("gone");
    for _ in 0..3 {
        stage.publish(&TICKS.with_name("late"), 2);
        pass(seconds(1)).await;
        let now = monitor.performance_metrics();
        assert_eq!(published(&now.since(&before)), 2);
        assert!(now.topic("gone").is_none());
        before = now;
    }
    // With a reset, everyone counts anew.
    monitor.reset();
    pass(seconds(1)).await;
    stage.publish(&TICKS.with_name("late"), 4);
    assert_eq!(published(&monitor.performance_metrics()), 4);
    // Once nobody shares the row, those that are new have rows of their own again.
    bus.forget("late");
    pass(seconds(2)).await;
    stage.publish(&TICKS.with_name("new"), 1);
    let metrics = monitor.performance_metrics();
    assert_eq!(metrics.topic("new").unwrap().published, 1);
    assert!(metrics.topic(OTHER).is_none());
}
