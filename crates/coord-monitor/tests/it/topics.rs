//! What is said of topics.

use coord_bus::{BusExt, LocalBus, Overflow, Topic};
use coord_monitor::{MAX_TOPICS, OTHER, TopicMetrics};

use crate::stage::{Stage, TICKS, millis, pass, seconds};

fn ticks(stage: &Stage) -> TopicMetrics {
    let metrics = stage.monitor.performance_metrics();
    metrics.topic("ticks").expect("it is open").clone()
}

#[tokio::test(start_paused = true)]
async fn counts_are_those_of_the_moment_in_which_they_are_asked_for() {
    let stage = Stage::new();
    let mut reader = stage.bus.subscribe(&TICKS).unwrap();
    let mut lossy = stage
        .bus
        .subscribe_with(&TICKS, Overflow::DropOldest)
        .unwrap();
    let behind = stage.bus.subscribe(&TICKS).unwrap();
    stage.publish(&TICKS, 1000);
    for _ in 0..400 {
        reader.recv().await.unwrap();
    }
    let topic = ticks(&stage);
    assert_eq!(
        (topic.published, topic.delivered, topic.dropped),
        (1000, 400, 0)
    );
    assert_eq!(
        (topic.depth, topic.lag, topic.waiting_publishers),
        (1000, 1000, 0)
    );
    drop(behind);
    for _ in 0..600 {
        reader.recv().await.unwrap();
    }
    stage.publish(&TICKS, 524);
    lossy.recv().await.unwrap();
    let topic = ticks(&stage);
    assert_eq!(
        (topic.published, topic.delivered, topic.lag),
        (1524, 1001, 1023)
    );
    assert_eq!(topic.dropped, 500);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_waits_is_seen() {
    let stage = Stage::new();
    let mut reader = stage.bus.subscribe(&TICKS).unwrap();
    stage.publish(&TICKS, 1024);
    let publisher = stage.bus.publisher(&TICKS).unwrap();
    let waiting = tokio::spawn(async move { publisher.publish(0).await.is_ok() });
    pass(millis(1)).await;
    assert_eq!(ticks(&stage).waiting_publishers, 1);
    for _ in 0..1024 {
        reader.recv().await.unwrap();
    }
    assert!(waiting.await.unwrap());
    assert_eq!(ticks(&stage).waiting_publishers, 0);
}

#[tokio::test(start_paused = true)]
async fn rates_are_of_the_last_interval_and_the_peak_stays() {
    let stage = Stage::new();
    let mut rates = Vec::new();
    for events in [10, 50, 0, 20] {
        pass(millis(500)).await;
        stage.publish(&TICKS, events);
        pass(millis(500)).await;
        // The sample is taken at this very moment.
        pass(millis(1)).await;
        let topic = ticks(&stage);
        rates.push((topic.per_second.round(), topic.peak_per_second.round()));
    }
    assert_eq!(
        rates,
        [(10.0, 10.0), (50.0, 50.0), (0.0, 50.0), (20.0, 50.0)]
    );
}

#[tokio::test(start_paused = true)]
async fn before_the_first_sample_rates_are_since_the_beginning() {
    let bus = LocalBus::new();
    bus.publisher(&TICKS).unwrap().publish(0).await.unwrap();
    let stage = Stage::on(bus);
    assert_eq!(ticks(&stage).per_second, 0.0);
    stage.publish(&TICKS, 30);
    pass(millis(500)).await;
    let topic = ticks(&stage);
    // The event before the monitor is counted by its topic, and not a part of the rate.
    assert_eq!((topic.published, topic.per_second), (31, 60.0));
}

#[tokio::test(start_paused = true)]
async fn topics_that_are_opened_later_are_seen() {
    const LATE: Topic<u32> = Topic::new("late");
    let stage = Stage::new();
    pass(millis(1500)).await;
    assert!(stage.monitor.performance_metrics().topic("late").is_none());
    stage.publish(&LATE, 7);
    let metrics = stage.monitor.performance_metrics();
    assert_eq!(metrics.topic("late").unwrap().published, 7);
    pass(seconds(1)).await;
    let metrics = stage.monitor.performance_metrics();
    assert_eq!(metrics.topic("late").unwrap().per_second, 7.0);
}

#[tokio::test(start_paused = true)]
async fn topics_beyond_the_limit_are_one_row() {
    let stage = Stage::new();
    let topic = |number: usize| TICKS.with_name(format!("topic.{number}"));
    for number in 0..MAX_TOPICS {
        stage.publish(&topic(number), 1);
    }
    pass(millis(1001)).await;
    // Some of those have a row and some have not; those that come now certainly have none.
    for number in MAX_TOPICS..MAX_TOPICS + 10 {
        stage.publish(&topic(number), 3);
    }
    pass(seconds(1)).await;
    let metrics = stage.monitor.performance_metrics();
    assert_eq!(metrics.topics.len(), MAX_TOPICS + 1);
    assert!(metrics.topic(&format!("topic.{}", MAX_TOPICS)).is_none());
    let published: u64 = metrics
        .topics
        .iter()
        .filter(|row| row.topic == OTHER || row.topic.starts_with("topic."))
        .map(|row| row.published)
        .sum();
    assert_eq!(published, MAX_TOPICS as u64 + 30);
    let other = metrics.topic(OTHER).unwrap();
    assert!(other.published >= 30);
    assert_eq!(other.per_second, 30.0);
}
