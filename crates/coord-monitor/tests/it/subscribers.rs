//! What is said of the subscribers of a topic.

use coord_bus::{BusExt, Overflow, SubscribeOptions};
use coord_monitor::{MAX_SUBSCRIBERS, OTHER, PerformanceMetrics, SubscriberMetrics};

use crate::stage::{Stage, TICKS};

fn subscriber(stage: &Stage, name: &str) -> SubscriberMetrics {
    let metrics = stage.monitor.performance_metrics();
    let topic = metrics.topic("ticks").expect("it is open");
    let mut rows = topic.subscribers.iter();
    rows.find(|row| row.subscriber == name)
        .expect("it is there")
        .clone()
}

#[tokio::test(start_paused = true)]
async fn each_is_told_with_its_lag_and_what_it_lost() {
    let stage = Stage::new();
    let named = |name: &'static str| SubscribeOptions::new().named(name);
    let mut reader = stage.bus.subscribe_with(&TICKS, named("reader")).unwrap();
    let lossy = named("lossy").overflow(Overflow::DropNewest);
    let _lossy = stage.bus.subscribe_with(&TICKS, lossy).unwrap();
    let newest = named("newest").overflow(Overflow::Latest);
    let mut newest = stage.bus.subscribe_with(&TICKS, newest).unwrap();
    stage.publish(&TICKS, 1000);
    for _ in 0..700 {
        reader.recv().await.unwrap();
    }
    stage.publish(&TICKS, 200);
    newest.recv().await.unwrap();
    let row = subscriber(&stage, "reader");
    assert_eq!((row.subscribers, row.delivered, row.lag), (1, 700, 500));
    assert_eq!((row.dropped, row.conflated), (0, 0));
    let row = subscriber(&stage, "lossy");
    assert_eq!((row.delivered, row.dropped), (0, 1200 - 1024));
    let row = subscriber(&stage, "newest");
    assert_eq!((row.delivered, row.conflated, row.lag), (1, 1199, 0));
}

#[tokio::test(start_paused = true)]
async fn those_of_one_name_are_one_row_and_a_reset_begins_anew() {
    let stage = Stage::new();
    let named = || SubscribeOptions::new().named("worker");
    let mut first = stage.bus.subscribe_with(&TICKS, named()).unwrap();
    let second = stage.bus.subscribe_with(&TICKS, named()).unwrap();
    stage.publish(&TICKS, 10);
    for _ in 0..4 {
        first.recv().await.unwrap();
    }
    let row = subscriber(&stage, "worker");
    assert_eq!((row.subscribers, row.delivered, row.lag), (2, 4, 10));
    stage.monitor.reset();
    first.recv().await.unwrap();
    let row = subscriber(&stage, "worker");
    assert_eq!((row.subscribers, row.delivered, row.lag), (2, 1, 10));
    drop(second);
    assert_eq!(subscriber(&stage, "worker").lag, 5);
}

#[tokio::test(start_paused = true)]
async fn those_beyond_the_limit_are_one_row_that_says_how_many_they_are() {
    let stage = Stage::new();
    let subscribers = (0..MAX_SUBSCRIBERS + 7).map(|number| {
        let options = SubscribeOptions::new().named(number.to_string());
        stage.bus.subscribe_with(&TICKS, options).unwrap()
    });
    let _subscribers: Vec<_> = subscribers.collect();
    stage.publish(&TICKS, 3);
    let metrics = stage.monitor.performance_metrics();
    let rows = &metrics.topic("ticks").unwrap().subscribers;
    assert_eq!(rows.len(), MAX_SUBSCRIBERS + 1);
    assert_eq!(subscriber(&stage, OTHER).subscribers, 7);
    assert_eq!(subscriber(&stage, OTHER).lag, 3);
}

fn dropped(metrics: &PerformanceMetrics) -> u64 {
    let subscribers = &metrics.topic("ticks").expect("it is open").subscribers;
    subscribers.iter().map(|row| row.dropped).sum()
}

#[tokio::test(start_paused = true)]
async fn one_without_a_row_gets_none_when_another_leaves_so_that_it_is_counted_once() {
    let stage = Stage::new();
    let subscribe = |name: String| {
        let options = SubscribeOptions::new().named(name);
        let options = options.overflow(Overflow::DropNewest);
        stage.bus.subscribe_with(&TICKS, options).unwrap()
    };
    let named = (0..=MAX_SUBSCRIBERS).map(|number| subscribe(number.to_string()));
    let mut subscribers: Vec<_> = named.collect();
    let full = 1024;
    stage.publish(&TICKS, full + 5);
    let before = stage.monitor.performance_metrics();
    let each = MAX_SUBSCRIBERS as u64 + 1;
    assert_eq!(dropped(&before), 5 * each);
    drop(subscribers.remove(0));
    stage.publish(&TICKS, 1);
    let now = stage.monitor.performance_metrics();
    assert_eq!(dropped(&now.since(&before)), each - 1);
    assert_eq!(subscriber(&stage, OTHER).subscribers, 1);
    // Once nobody shares the row, those that are new have rows of their own again.
    drop(subscribers.pop());
    stage.monitor.performance_metrics();
    let _new = subscribe("new".to_owned());
    assert_eq!(subscriber(&stage, "new").subscribers, 1);
    let metrics = stage.monitor.performance_metrics();
    let rows = &metrics.topic("ticks").unwrap().subscribers;
    assert!(rows.iter().all(|row| row.subscriber != OTHER));
}
