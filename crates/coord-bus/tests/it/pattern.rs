//! Patterns, and the subscribers of patterns, beyond what every bus must do.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Poll, Wake, Waker};
use std::thread;

use coord_bus::{
    AnyDelivery, AnyDeliveryError, Bus, BusError, BusExt, ByteBus, LocalBus, Overflow, Pattern,
    PatternOptions, PatternSubscriber, Topic, TryReceiveError,
};
use proptest::prelude::*;
use tokio::task::coop;
use tokio_stream::StreamExt;

use crate::link::{Scripted, arrival};

const NUMBERS: Topic<u64> = Topic::new("numbers");

fn numbers(name: impl Into<String>) -> Topic<u64> {
    NUMBERS.with_name(name)
}

/// Whether tokens match, by the rules as one would say them.
fn naive(pattern: &[&str], name: &[&str]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([">"], [_, ..]) => true,
        (["*", pattern @ ..], [_, name @ ..]) => naive(pattern, name),
        ([token, pattern @ ..], [same, name @ ..]) if token == same => naive(pattern, name),
        _ => false,
    }
}

/// Whether a text is a pattern, by the rules as one would say them.
fn is_pattern(text: &str) -> bool {
    let tokens: Vec<_> = text.split('.').collect();
    (1..=255).contains(&text.len())
        && tokens.iter().enumerate().all(|(index, token)| {
            let is_last = index == tokens.len() - 1;
            let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '*' && c != '>';
            *token == "*"
                || (*token == ">" && is_last)
                || (!token.is_empty() && token.chars().all(is_plain))
        })
}

proptest! {
    #[test]
    fn a_pattern_matches_as_a_naive_one_does(
        pattern in "([ab*]\\.){0,4}[ab*>]",
        name in "([ab]\\.){0,4}[ab]",
    ) {
        let tokens: Vec<_> = pattern.split('.').collect();
        let names: Vec<_> = name.split('.').collect();
        let parsed = Pattern::new(&*pattern).unwrap();
        prop_assert_eq!(parsed.matches(&name), naive(&tokens, &names));
    }

    #[test]
    fn what_the_rules_allow_is_a_pattern_and_nothing_else(
        text in prop_oneof!["[ab*>. \\n]{0,8}", "\\PC{0,12}", "[a.]{250,260}"],
    ) {
        match Pattern::new(&*text) {
            Ok(pattern) => {
                prop_assert!(is_pattern(&text));
                prop_assert_eq!(pattern.to_string(), &*text);
                prop_assert_eq!(text.parse::<Pattern>().unwrap(), pattern);
            }
            Err(BusError::InvalidPattern { pattern, .. }) => {
                prop_assert!(!is_pattern(&text));
                prop_assert_eq!(pattern, text);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn a_pattern_without_wildcards_is_a_name(name in "[a>*. ]{0,6}", other in "[a.]{0,6}") {
        let is_name = LocalBus::new().publisher(&numbers(&*name)).is_ok();
        let pattern = Pattern::new(&*name);
        prop_assert_eq!(is_name, pattern.is_ok() && !name.contains(['*', '>']));
        if is_name {
            prop_assert_eq!(pattern.unwrap().matches(&other), name == other);
        }
    }
}

#[test]
fn an_error_says_where_a_pattern_is_wrong_and_what_to_write() {
    let too_long = "n".repeat(256);
    for (bad, fault) in [
        ("", "it is empty"),
        ("a..b", "token 2 is empty"),
        (
            "a.b c",
            "token 2 has white space or a control character in it",
        ),
        ("a.>.c.>", "token 2 is `>`, which can only be the last"),
        (
            "a.b.c*",
            "token 3, `c*`, has a `*` in it and is not `*` alone",
        ),
        (
            "größe>.b",
            "token 1, `größe>`, has a `>` in it and is not `>` alone",
        ),
        (&too_long, "it is longer than 255 bytes"),
    ] {
        let error = Pattern::new(bad).unwrap_err().to_string();
        let text = format!("`{bad}` cannot be a pattern: {fault} (patterns are tokens parted");
        assert!(error.starts_with(&text), "{error}");
        assert!(error.contains("`process.*` and `process.>`"), "{error}");
    }
}

/// What is there now, as topics and numbers.
fn receive_all(subscriber: &mut PatternSubscriber) -> Vec<(String, u64)> {
    let events = std::iter::from_fn(|| subscriber.try_recv().ok());
    let events = events.map(|event| {
        let number = event.downcast_ref::<u64>().expect("it is a number");
        (event.topic().to_owned(), *number)
    });
    events.collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_is_lent_as_what_was_published_and_outlives_its_subscriber() {
    struct Handle(u64);
    let bus = LocalBus::new();
    let mut all = bus.subscribe_pattern(">", Overflow::Block).unwrap();
    let handles: Topic<Handle> = Topic::in_process("handles");
    bus.publisher(&handles)
        .unwrap()
        .publish(Handle(7))
        .await
        .unwrap();
    let event = all.recv().await.unwrap();
    drop((all, bus));
    assert_eq!(event.downcast_ref::<Handle>().unwrap().0, 7);
    assert!(event.downcast_ref::<u64>().is_none());
    let error = event.to_json().unwrap_err();
    assert!(matches!(&error, AnyDeliveryError::InProcessOnly { topic, .. } if topic == "handles"));
    let error = error.to_string();
    for part in ["`handles`", "Topic::new", "Handle", "serde"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_become_json_or_come_back_is_named() {
    let bus = LocalBus::new();
    let mut all = bus.subscribe_pattern(">", Overflow::Block).unwrap();
    // JSON has no keys that are pairs.
    let pairs: Topic<BTreeMap<(u8, u8), u8>> = Topic::new("pairs");
    let event = BTreeMap::from([((1, 2), 3)]);
    bus.publisher(&pairs).unwrap().publish(event).await.unwrap();
    let error = all.recv().await.unwrap().to_json().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the event `pairs#1` could not be encoded"
    );
    bus.publisher(&NUMBERS).unwrap().publish(7).await.unwrap();
    let error = all.recv().await.unwrap().decode::<String>().unwrap_err();
    let text = "the event `numbers#1` could not be decoded as alloc::string::String";
    assert_eq!(error.to_string(), text);
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test(start_paused = true)]
async fn over_bytes_an_event_has_no_type_until_it_is_decoded() {
    let bus = ByteBus::new();
    let mut all = bus.subscribe_pattern(">", Overflow::Block).unwrap();
    bus.publisher(&NUMBERS).unwrap().publish(7).await.unwrap();
    let event = all.recv().await.unwrap();
    assert_eq!(event.downcast_ref::<u64>(), None);
    assert_eq!(event.decode::<u64>().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_latest_of_a_pattern_is_the_newest_of_each_topic() {
    let bus = LocalBus::new();
    let mut latest = bus.subscribe_pattern("cpu.*", Overflow::Latest).unwrap();
    for name in ["cpu.0", "cpu.1"] {
        let publisher = bus.publisher(&numbers(name)).unwrap();
        for number in 1..=10 {
            publisher.publish(number).await.unwrap();
        }
    }
    let newest = [("cpu.0".to_owned(), 10), ("cpu.1".to_owned(), 10)];
    assert_eq!(receive_all(&mut latest), newest);
    assert_eq!(latest.ledger().conflated, 18);
}

#[tokio::test(start_paused = true)]
async fn topics_take_turns_event_by_event() {
    let bus = LocalBus::new();
    let mut all = bus.subscribe_pattern(">", Overflow::Block).unwrap();
    for name in ["a", "b", "c"] {
        let publisher = bus.publisher(&numbers(name)).unwrap();
        for number in 0..200 {
            publisher.publish(number).await.unwrap();
        }
    }
    let received = receive_all(&mut all);
    let expected =
        (0..200).flat_map(|number| ["a", "b", "c"].map(|name| (name.to_owned(), number)));
    assert!(received.into_iter().eq(expected));
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_of_a_pattern_is_a_stream() {
    let bus = LocalBus::new();
    let all = bus.subscribe_pattern("*", Overflow::Block).unwrap();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    for number in 0..5 {
        publisher.publish(number).await.unwrap();
    }
    bus.close();
    let received: Vec<AnyDelivery> = all.collect().await;
    let received = received.iter().map(|event| event.meta().sequence());
    assert!(received.eq(1..=5));
}

#[tokio::test(start_paused = true)]
async fn a_closed_topic_is_not_the_end_but_a_bus_that_is_gone_is() {
    let bus = LocalBus::new();
    let mut all = bus.subscribe_pattern("*", Overflow::Block).unwrap();
    let first = bus.publisher(&numbers("first")).unwrap();
    first.publish(1).await.unwrap();
    first.close();
    assert_eq!(receive_all(&mut all), [("first".to_owned(), 1)]);
    assert_eq!(all.try_recv().err(), Some(TryReceiveError::Empty));
    let second = bus.publisher(&numbers("second")).unwrap();
    drop(bus);
    second.publish(2).await.unwrap();
    assert_eq!(*all.recv().await.unwrap().downcast_ref::<u64>().unwrap(), 2);
    assert_eq!(all.try_recv().err(), Some(TryReceiveError::Empty));
    drop(second);
    assert!(all.recv().await.is_none());
    let ledger = all.ledger();
    assert_eq!((ledger.published, ledger.delivered), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_subscriber_of_a_pattern() {
    let bus = LocalBus::new();
    let mut all = bus.subscribe_pattern(">", Overflow::Block).unwrap();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    publisher.publish(1).await.unwrap();
    let seconds = std::time::Duration::from_secs(1);
    let drained = bus.drain(seconds).await;
    assert!(!drained.is_complete());
    assert_eq!(receive_all(&mut all).len(), 1);
    assert!(bus.drain(seconds).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn what_was_not_looked_at_yet_counts_too() {
    let bus = LocalBus::new();
    let mut all = bus.subscribe_pattern(">", Overflow::Block).unwrap();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    for number in 0..3 {
        publisher.publish(number).await.unwrap();
    }
    let in_flight = |all: &PatternSubscriber| {
        let ledger = all.ledger();
        assert!(ledger.is_balanced());
        ledger.in_flight
    };
    assert_eq!(in_flight(&all), 3);
    all.try_recv().unwrap();
    assert_eq!(in_flight(&all), 2);
}

#[tokio::test(start_paused = true)]
async fn on_each_topic_it_goes_by_its_name_or_else_its_pattern() {
    let bus = LocalBus::new();
    bus.publisher(&NUMBERS).unwrap();
    let line = line!() + 1;
    let _plain = bus.subscribe_pattern("*", Overflow::DropOldest).unwrap();
    let named = PatternOptions::new().named("audit");
    let _named = bus.subscribe_pattern(">", named).unwrap();
    let stats = bus.stats().remove(0);
    let names: Vec<_> = stats
        .subscribers
        .iter()
        .map(|each| each.name.as_deref())
        .collect();
    assert_eq!(names, [Some("*"), Some("audit")]);
    assert_eq!(stats.subscribers[0].place.line(), line);
    assert_eq!(stats.subscribers[0].overflow, Overflow::DropOldest);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_sleeps_over_many_topics_is_woken_once_for_what_it_has_not_looked_at() {
    const TOPICS: usize = 1000;
    let bus = LocalBus::new();
    let mut publishers = Vec::new();
    for index in 0..TOPICS {
        publishers.push(bus.publisher(&numbers(format!("many.{index}"))).unwrap());
    }
    let mut all = bus.subscribe_pattern("many.*", Overflow::Block).unwrap();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut recv = Box::pin(all.recv());
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(recv.as_mut().poll(&mut cx).is_pending());
    for publisher in &publishers {
        publisher.try_publish(1).unwrap();
        publisher.try_publish(2).unwrap();
    }
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(recv.as_mut().poll(&mut cx).is_ready());
    drop(recv);
    assert_eq!(receive_all(&mut all).len(), 2 * TOPICS - 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_only_receives_still_lets_its_neighbours_run() {
    let bus = LocalBus::new();
    let mut all = bus.subscribe_pattern("*", Overflow::Block).unwrap();
    let publisher = bus.publisher(&NUMBERS.capacity(10_000)).unwrap();
    for number in 0..10_000 {
        publisher.publish(number).await.unwrap();
    }
    let neighbour = Arc::new(AtomicBool::new(false));
    let ran = Arc::clone(&neighbour);
    let neighbour_task = tokio::spawn(async move { ran.store(true, Ordering::Relaxed) });
    let mut before = 0;
    while !neighbour.load(Ordering::Relaxed) {
        all.recv().await.unwrap();
        before += 1;
    }
    assert!(before < 10_000);
    neighbour_task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn over_bytes_a_task_that_has_run_long_enough_misses_nothing() {
    let bus = ByteBus::new();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    // For some count, the last unit goes to the subscriber itself and none is left for the link.
    for spent in 0..200 {
        let mut all = bus.subscribe_pattern("*", Overflow::Block).unwrap();
        tokio::task::yield_now().await;
        poll_fn(|cx| {
            for _ in 0..spent {
                if let Poll::Ready(unit) = coop::poll_proceed(cx) {
                    unit.made_progress();
                }
            }
            assert!(Box::pin(all.recv()).as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        publisher.publish(spent).await.unwrap();
        let event = all.recv().await.unwrap();
        assert_eq!(event.decode::<u64>().unwrap(), spent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_asks_for_another_turn_lets_other_tasks_run_first() {
    let bus = Scripted::default();
    bus.will_deliver([None, None, arrival("7", 1, 0)]);
    let mut all = bus.subscribe_pattern(">", Overflow::Block).unwrap();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = std::task::Context::from_waker(&waker);
    let mut recv = Box::pin(all.recv());
    for woken in 1..=2 {
        assert!(recv.as_mut().poll(&mut cx).is_pending());
        assert_eq!(count.0.load(Ordering::Relaxed), woken);
    }
    let Poll::Ready(Some(event)) = recv.as_mut().poll(&mut cx) else {
        panic!("its turn has come");
    };
    assert_eq!(event.decode::<u64>().unwrap(), 7);
    drop(recv);
    // The link ends, and the bus, which is given up at once, opens no other.
    assert!(all.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_link_that_takes_no_subscriber_refuses_the_pattern() {
    let refused = Scripted::default().subscribe_pattern(">", Overflow::Block);
    let error = refused.unwrap_err();
    assert!(matches!(&error, BusError::Link { topic, .. } if topic == "numbers"));
    // A pattern that does not match has nothing to do with the link.
    let other = Scripted::default().subscribe_pattern("other", Overflow::Block);
    assert!(other.unwrap().recv().await.is_none());
}

/// Receives to the end: how often each event of each topic came.
fn count_rest(mut subscriber: PatternSubscriber) -> BTreeMap<String, BTreeMap<u64, u64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let mut counts: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        while let Some(event) = subscriber.recv().await {
            let topic = counts.entry(event.topic().to_owned()).or_default();
            *topic.entry(event.meta().sequence()).or_insert(0) += 1;
        }
        counts
    })
}

/// While two threads open topics and publish to them, two others subscribe patterns and drop them.
/// A pattern misses nothing of a topic from somewhere on, and gets nothing twice, also of topics
/// that are opened at the very moment at which it subscribes; and nothing is left of it.
#[test]
fn threads_may_open_topics_while_patterns_come_and_go() {
    const TOPICS: usize = 1500;
    const EVENTS: u64 = 3;
    let bus = LocalBus::new();
    let all = bus.subscribe_pattern("t.>", Overflow::Block).unwrap();
    let opening = AtomicUsize::new(2);
    thread::scope(|scope| {
        for thread in 0..2 {
            let (bus, opening) = (&bus, &opening);
            scope.spawn(move || {
                for topic in 0..TOPICS {
                    let topic = numbers(format!("t.{thread}.{topic}"));
                    let publisher = bus.publisher(&topic).unwrap();
                    for number in 1..=EVENTS {
                        publisher.try_publish(number).unwrap();
                    }
                }
                opening.fetch_sub(1, Ordering::Relaxed);
            });
            scope.spawn(move || {
                while opening.load(Ordering::Relaxed) > 0 {
                    let goes = bus.subscribe_pattern("t.0.>", Overflow::Block).unwrap();
                    let mut stays = bus.subscribe_pattern("t.*.*", Overflow::Block).unwrap();
                    drop(goes);
                    thread::yield_now();
                    stays.close();
                    for (topic, counts) in count_rest(stays) {
                        let first = *counts.keys().next().unwrap();
                        let last = *counts.keys().last().unwrap();
                        assert!(
                            counts.keys().copied().eq(first..=last),
                            "{topic}: {counts:?}"
                        );
                        assert!(
                            counts.values().all(|count| *count == 1),
                            "{topic}: {counts:?}"
                        );
                    }
                }
            });
        }
    });
    bus.close();
    let counts = count_rest(all);
    assert_eq!(counts.len(), 2 * TOPICS);
    let once: BTreeMap<_, _> = (1..=EVENTS).map(|sequence| (sequence, 1)).collect();
    assert!(counts.values().all(|counts| *counts == once));
    let stats = bus.stats();
    assert!(stats.iter().all(|topic| topic.subscribers.is_empty()));
}

/// Whoever has opened a topic, first or not, publishes to all patterns, though others are about to
/// be asked whether they match.
#[test]
fn an_event_published_right_after_its_topic_was_opened_is_received() {
    const THREADS: usize = 2;
    const TOPICS: usize = 500;
    let bus = LocalBus::new();
    // They make opening take a while.
    let others = (0..300).map(|other| {
        let pattern = format!("t.*.{other}");
        bus.subscribe_pattern(pattern, Overflow::Block).unwrap()
    });
    let _others: Vec<_> = others.collect();
    let all = bus.subscribe_pattern(">", Overflow::Block).unwrap();
    let receiver = thread::spawn(move || count_rest(all));
    let together = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for topic in 0..TOPICS {
                    let topic = numbers(format!("t.{topic}"));
                    together.wait();
                    let publisher = bus.publisher(&topic).unwrap();
                    publisher.publish_blocking(1).unwrap();
                }
            });
        }
    });
    bus.close();
    let counts = receiver.join().unwrap();
    assert_eq!(counts.len(), TOPICS);
    let once = BTreeMap::from([(1, 1), (2, 1)]);
    assert!(counts.values().all(|counts| *counts == once));
}
