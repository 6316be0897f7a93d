//! The bus that remembers what was published.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use coord_bus::time::Instant;
use coord_bus::{
    Bus, BusExt, MAX_RECORDED, Overflow, RecordingBus, TaskScope, Topic, catch, panic_message,
};
use serde::{Deserialize, Serialize};

mod conformance {
    coord_bus::conformance_bus!(coord_bus::RecordingBus::new());
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

fn order(item: &str, count: u32) -> Order {
    let item = item.to_owned();
    Order { item, count }
}

const ORDERS: Topic<Order> = Topic::new("orders");
const NUMBERS: Topic<u64> = Topic::new("numbers");

/// What an assertion panics with.
async fn failure<T>(assertion: impl Future<Output = T>) -> String {
    let Err(panic) = catch(AssertUnwindSafe(assertion)).await else {
        panic!("it did not fail");
    };
    panic_message(&*panic).to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_was_published_is_recorded_with_its_details_though_nobody_subscribed() {
    let recording = RecordingBus::new();
    let publisher = recording.publisher(&ORDERS).unwrap();
    let tea = coord_bus::Envelope::new(order("tea", 1)).source("shop");
    publisher.publish_with(tea).await.unwrap();
    publisher.publish(order("milk", 2)).await.unwrap();
    let published = recording.published(&ORDERS);
    let orders: Vec<_> = published.iter().map(|order| (**order).clone()).collect();
    assert_eq!(orders, [order("tea", 1), order("milk", 2)]);
    assert_eq!(published[0].meta().source(), Some("shop"));
    assert_eq!(published[1].meta().sequence(), 2);
    assert!(!publisher.is_heard());
    assert!(recording.published(&NUMBERS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_sees_what_the_topic_retains_and_nothing_of_the_recording() {
    let recording = RecordingBus::new();
    let retaining = NUMBERS.with_name("retaining").retain(2);
    for topic in [&NUMBERS, &retaining] {
        let publisher = recording.publisher(topic).unwrap();
        for number in 1..=300 {
            publisher.publish(number).await.unwrap();
        }
        let mut subscribers = Vec::new();
        for overflow in [Overflow::Block, Overflow::DropOldest, Overflow::DropNewest] {
            subscribers.push(recording.subscribe_with(topic, overflow).unwrap());
        }
        publisher.publish(301).await.unwrap();
        for mut subscriber in subscribers {
            subscriber.close();
            let mut received = Vec::new();
            while let Some(number) = subscriber.recv().await {
                assert_eq!(number.lag(), 0);
                received.push(*number);
            }
            let expected: &[u64] = match topic.name() {
                "retaining" => &[299, 300, 301],
                _ => &[301],
            };
            assert_eq!(received, expected);
        }
        assert_eq!(recording.published(topic).len(), 301);
    }
}

#[tokio::test(start_paused = true)]
async fn an_expectation_finds_what_came_before_it_and_waits_for_what_comes_later() {
    let recording = RecordingBus::new();
    let publisher = recording.publisher(&ORDERS).unwrap();
    publisher.publish(order("tea", 1)).await.unwrap();
    let tea = recording.expect(&ORDERS, |order| order.item == "tea").await;
    assert_eq!(tea.count, 1);

    let scope = TaskScope::new("test");
    scope.spawn("publish", async move {
        for count in 1..=50 {
            coord_bus::time::sleep(Duration::from_millis(10)).await;
            publisher.publish(order("milk", count)).await.unwrap();
        }
    });
    let begin = Instant::now();
    let milk = recording.expect(&ORDERS, |order| order.count == 50).await;
    assert_eq!(milk.meta().sequence(), 51);
    assert_eq!(begin.elapsed(), Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn many_wait_for_one_topic_and_each_is_woken() {
    let recording = RecordingBus::new();
    let publisher = recording.publisher(&NUMBERS).unwrap();
    let publish = async {
        tokio::task::yield_now().await;
        for number in 1..=3 {
            publisher.publish(number).await.unwrap();
        }
    };
    let begin = Instant::now();
    let (one, three, ()) = tokio::join!(
        recording.expect(&NUMBERS, |number| *number == 1),
        recording.expect(&NUMBERS, |number| *number == 3),
        publish,
    );
    assert_eq!((*one, *three), (1, 3));
    assert_eq!(begin.elapsed(), Duration::ZERO);
    let stats = &recording.stats()[0];
    assert_eq!((stats.ledger.published, stats.subscribers.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_expectation_that_fails_says_where_and_lists_what_was_published_instead() {
    let recording = RecordingBus::new();
    let publisher = recording.publisher(&ORDERS).unwrap();
    publisher.publish(order("tea", 1)).await.unwrap();
    let begin = Instant::now();
    let line = line!() + 1;
    let text = failure(recording.expect(&ORDERS, |order| order.item == "milk")).await;
    assert_eq!(begin.elapsed(), Duration::from_secs(5));
    let place = format!("{}:{line}", file!());
    for part in [&*place, "`orders`", "5s", r#"#1 {"item":"tea","count":1}"#] {
        assert!(text.contains(part), "{text}");
    }
    let text = failure(recording.expect(&NUMBERS, |_| true)).await;
    assert!(text.contains("nothing was"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_long_failure_shows_the_end_and_long_events_are_cut() {
    let recording = RecordingBus::new();
    let words: Topic<String> = Topic::new("words");
    let publisher = recording.publisher(&words).unwrap();
    for index in 0..100 {
        let word = format!("{index} {}", "ö".repeat(1000));
        publisher.publish(word).await.unwrap();
    }
    let text = failure(recording.expect(&words, |_| false)).await;
    assert_eq!(text.lines().count(), 21);
    assert!(text.contains("100 were, of which the last 20"), "{text}");
    assert!(
        text.contains("#100 \"99 ö") && !text.contains("#80 "),
        "{text}"
    );
    assert!(text.chars().count() < 21 * 300);
}

#[tokio::test(start_paused = true)]
async fn an_expectation_ends_with_its_topic_and_with_its_own_patience() {
    let recording = RecordingBus::new().patience(Duration::from_secs(60));
    let publisher = recording.publisher(&NUMBERS).unwrap();
    let begin = Instant::now();
    let close = async {
        tokio::task::yield_now().await;
        publisher.close();
    };
    let (text, ()) = tokio::join!(failure(recording.expect(&NUMBERS, |_| true)), close);
    assert!(text.contains("before it was closed"), "{text}");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    let text = failure(recording.expect(&ORDERS, |_| true)).await;
    assert!(text.contains("60s"), "{text}");
    assert_eq!(begin.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn that_nothing_comes_is_checked_before_and_within_a_time() {
    let recording = RecordingBus::new();
    let publisher = recording.publisher(&NUMBERS).unwrap();
    publisher.publish(1).await.unwrap();
    let second = Duration::from_secs(1);
    let begin = Instant::now();
    recording.expect_none(&NUMBERS, second, |n| *n > 1).await;
    assert_eq!(begin.elapsed(), second);
    let text = failure(recording.expect_none(&NUMBERS, second, |n| *n == 1)).await;
    assert!(text.contains("#1 1"), "{text}");
    let publish = async {
        coord_bus::time::sleep(second / 2).await;
        publisher.publish(2).await.unwrap();
    };
    let (text, ()) = tokio::join!(
        failure(recording.expect_none(&NUMBERS, second, |n| *n == 2)),
        publish,
    );
    assert!(text.contains("#2 2"), "{text}");
    assert_eq!(begin.elapsed(), second + second / 2);
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_has_lost_its_beginning_says_so() {
    let recording = RecordingBus::new();
    let publisher = recording.publisher(&NUMBERS).unwrap();
    let count = MAX_RECORDED as u64 + 7;
    for number in 1..=count {
        publisher.publish(number).await.unwrap();
    }
    let published = recording.published(&NUMBERS);
    assert_eq!(published.len(), MAX_RECORDED);
    assert_eq!((*published[0], published[0].lag()), (8, 7));
    assert!(published[1..].iter().all(|event| event.lag() == 0));
    let none = recording.expect_none(&NUMBERS, Duration::ZERO, |n| *n == 1);
    for text in [
        failure(recording.expect(&NUMBERS, |n| *n == 1)).await,
        failure(none).await,
    ] {
        assert!(text.contains("lost its beginning (7 events"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_without_serde_is_recorded_too() {
    struct Handle(u64);
    let recording = RecordingBus::new();
    let topic: Topic<Handle> = Topic::in_process("handles");
    let publisher = recording.publisher(&topic).unwrap();
    publisher.publish(Handle(7)).await.unwrap();
    let handle = recording.expect(&topic, |handle| handle.0 == 7).await;
    assert_eq!(handle.0, 7);
    let text = failure(recording.expect(&topic, |_| false)).await;
    assert!(text.contains("#1") && text.contains("Handle"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_topic_of_another_type_is_told_at_once() {
    let recording = RecordingBus::new();
    recording.publisher(&NUMBERS).unwrap();
    let words: Topic<String> = Topic::new("numbers");
    let text = failure(async { recording.published(&words).len() }).await;
    assert!(text.contains("u64") && text.contains("String"), "{text}");
}
