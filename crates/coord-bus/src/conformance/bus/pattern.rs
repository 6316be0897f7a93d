//! What the subscriber of a pattern receives, of all topics that there are and will be.

use std::collections::BTreeMap;

use super::super::{in_time, settle};
use super::{CAPACITY, NUMBERS, publish_all};
use crate::{
    Bus, BusError, BusExt, Overflow, PatternOptions, PatternSubscriber, Publisher, Topic,
    TryReceiveError,
};

fn open(bus: &dyn Bus, name: &str) -> Publisher<u64> {
    let topic = NUMBERS.with_name(name).capacity(CAPACITY);
    bus.publisher(&topic).expect("it opens")
}

async fn next(subscriber: &mut PatternSubscriber) -> Option<(String, u64)> {
    let event = in_time(subscriber.recv()).await?;
    let number = event.decode().expect("it is a number");
    Some((event.topic().to_owned(), number))
}

async fn receive(subscriber: &mut PatternSubscriber, count: usize) -> Vec<(String, u64)> {
    let mut events = Vec::new();
    while events.len() < count {
        events.push(next(subscriber).await.expect("the bus is open"));
    }
    events
}

/// Receives until the bus is closed: the numbers of each topic, in the order in which they came.
async fn receive_rest(subscriber: &mut PatternSubscriber) -> BTreeMap<String, Vec<u64>> {
    let mut numbers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    while let Some((topic, number)) = next(subscriber).await {
        numbers.entry(topic).or_default().push(number);
    }
    numbers
}

/// Topics that were opened before and after, from the moment of subscribing or opening on.
pub async fn a_pattern_receives_from_topics_that_are_there_and_from_later_ones(bus: &dyn Bus) {
    let earlier = open(bus, "conformance.earlier");
    publish_all(&earlier, [1]).await;
    let all = bus.subscribe_pattern("conformance.*", Overflow::Block);
    let mut all = all.expect("it subscribes");
    publish_all(&earlier, [2]).await;
    assert_eq!(
        next(&mut all).await,
        Some(("conformance.earlier".to_owned(), 2))
    );
    // One that sleeps is woken by a topic that it has never heard of.
    let (event, ()) = tokio::join!(next(&mut all), async {
        settle().await;
        let later = open(bus, "conformance.later");
        publish_all(&later, [3]).await;
    });
    assert_eq!(event, Some(("conformance.later".to_owned(), 3)));
    assert_eq!(all.try_recv().err(), Some(TryReceiveError::Empty));
}

/// What a topic retains is received by a pattern that subscribes later.
pub async fn a_pattern_receives_what_is_retained(bus: &dyn Bus) {
    let topic = NUMBERS.retain(1);
    let publisher = bus.publisher(&topic).expect("it opens");
    publish_all(&publisher, [1, 2]).await;
    let all = bus.subscribe_pattern(">", Overflow::Block);
    let mut all = all.expect("it subscribes");
    let received = receive(&mut all, 1).await;
    let last = received.first().expect("there is one").1;
    assert!(last <= 2);
    if last == 1 {
        // A bus may keep more than it was asked for.
        receive(&mut all, 1).await;
    }
    assert_eq!(all.try_recv().err(), Some(TryReceiveError::Empty));
}

/// `*` is one token, `>` one or more, anything else itself; also for names that begin with signs
/// which other buses keep for themselves.
pub async fn a_pattern_matches_whole_tokens(bus: &dyn Bus) {
    let names = ["a", "a.b", "a.c", "a.b.c", "b", "ab", "$a.b", "_a.b.c"];
    let patterns: [(&str, &[&str]); 9] = [
        ("a", &["a"]),
        ("a.b", &["a.b"]),
        ("*", &["a", "b", "ab"]),
        ("a.*", &["a.b", "a.c"]),
        ("*.b", &["a.b", "$a.b"]),
        ("*.b.*", &["a.b.c", "_a.b.c"]),
        ("a.>", &["a.b", "a.c", "a.b.c"]),
        ("*.*.>", &["a.b.c", "_a.b.c"]),
        (">", &names),
    ];
    // Half of the names are there before the patterns, and half come after them.
    let (earlier, later) = names.split_at(4);
    let mut publishers: Vec<_> = earlier.iter().map(|name| open(bus, name)).collect();
    let subscribed = patterns.map(|(pattern, matching)| {
        let subscriber = bus.subscribe_pattern(pattern, Overflow::Block);
        (pattern, matching, subscriber.expect("it subscribes"))
    });
    publishers.extend(later.iter().map(|name| open(bus, name)));
    for publisher in &publishers {
        publish_all(publisher, [7]).await;
    }
    bus.close();
    for (pattern, matching, mut subscriber) in subscribed {
        let received = receive_rest(&mut subscriber).await;
        let mut expected = matching.to_vec();
        expected.sort_unstable();
        assert!(received.keys().eq(&expected), "{pattern}: {received:?}");
        assert!(received.values().all(|numbers| *numbers == [7]));
    }
}

/// A text that is no pattern is refused with what is wrong.
pub async fn a_pattern_that_cannot_be_one_is_refused(bus: &dyn Bus) {
    for bad in ["", "a..b", ".", "a b", "a.>.b", "a*", "a.b>", "**", ">>"] {
        let refused = bus.subscribe_pattern(bad, Overflow::Block);
        let Err(BusError::InvalidPattern { pattern, .. }) = refused else {
            panic!("{bad:?} was not refused");
        };
        assert_eq!(pattern, bad);
    }
}

/// Nothing is lost, nothing comes twice, and each topic's events come in the topic's order, though
/// all topics are full again and again.
pub async fn a_pattern_receives_every_event_once_in_its_topics_order(bus: &dyn Bus) {
    let all = bus.subscribe_pattern("conformance.>", Overflow::Block);
    let mut all = all.expect("it subscribes");
    let publish = |name: &'static str| async move {
        let publisher = open(bus, name);
        publish_all(&publisher, 0..100).await;
    };
    let everybody = async {
        tokio::join!(
            publish("conformance.a"),
            publish("conformance.b"),
            publish("conformance.c.d"),
        );
        bus.close();
    };
    let ((), received) = tokio::join!(everybody, receive_rest(&mut all));
    assert_eq!(received.len(), 3);
    for (topic, numbers) in received {
        assert!(numbers.into_iter().eq(0..100), "{topic}");
    }
    let ledger = all.ledger();
    assert_eq!((ledger.published, ledger.delivered), (300, 300));
}

/// A topic with many events does not keep another waiting.
pub async fn topics_that_have_something_take_turns(bus: &dyn Bus) {
    let (busy, calm) = (open(bus, "conformance.busy"), open(bus, "conformance.calm"));
    let all = bus.subscribe_pattern("conformance.*", Overflow::Block);
    let mut all = all.expect("it subscribes");
    publish_all(&busy, 0..CAPACITY as u64).await;
    publish_all(&calm, [0, 1]).await;
    let received = receive(&mut all, 4).await;
    let calm = received.iter().filter(|(topic, _)| topic.ends_with("calm"));
    assert_eq!(calm.count(), 2, "{received:?}");
}

/// One that loses nothing holds back the topics that are full, and no other.
pub async fn a_pattern_that_loses_nothing_makes_publish_wait(bus: &dyn Bus) {
    let all = bus.subscribe_pattern("conformance.*", Overflow::Block);
    let mut all = all.expect("it subscribes");
    let full = open(bus, "conformance.full");
    let mut accepted = 0;
    while full.try_publish(accepted).is_ok() {
        accepted += 1;
        assert!(accepted < super::FAR_TOO_MANY, "never full");
        settle().await;
    }
    let other = open(bus, "conformance.other");
    publish_all(&other, [0]).await;
    let waiting = async {
        let published = full.publish(accepted).await;
        published.expect("the topic is open");
        bus.close();
    };
    let ((), received) = tokio::join!(waiting, receive_rest(&mut all));
    assert!(
        received["conformance.full"]
            .iter()
            .copied()
            .eq(0..=accepted)
    );
    assert_eq!(received["conformance.other"], [0]);
}

/// One that drops the oldest never holds a publisher up, and learns what it missed of each topic.
pub async fn a_pattern_that_drops_the_oldest_holds_nobody_up(bus: &dyn Bus) {
    let all = bus.subscribe_pattern("conformance.*", Overflow::DropOldest);
    let mut all = all.expect("it subscribes");
    let topics = ["conformance.a", "conformance.b"];
    for (index, name) in (1..).zip(topics) {
        publish_all(&open(bus, name), 1..=100 * index).await;
    }
    bus.close();
    let mut last = BTreeMap::new();
    while let Some(event) = in_time(all.recv()).await {
        let number: u64 = event.decode().expect("it is a number");
        let last: &mut u64 = last.entry(event.topic().to_owned()).or_default();
        assert_eq!(number, *last + 1 + event.lag(), "the gap is elsewhere");
        assert_eq!(event.meta().sequence(), number);
        *last = number;
    }
    assert_eq!(last.into_values().collect::<Vec<_>>(), [100, 200]);
    let ledger = all.ledger();
    assert!(ledger.is_balanced() && ledger.dropped.oldest > 0);
    assert_eq!(ledger.delivered + ledger.dropped.oldest, 300);
}

/// Closing the bus takes nothing back, and wakes one that sleeps, also where no topic matches.
pub async fn a_pattern_ends_with_its_bus(bus: &dyn Bus) {
    let publisher = open(bus, "conformance.a");
    let all = bus.subscribe_pattern("conformance.>", Overflow::Block);
    let mut all = all.expect("it subscribes");
    let nothing = bus.subscribe_pattern("nothing.>", Overflow::Block);
    let mut nothing = nothing.expect("it subscribes");
    publish_all(&publisher, 0..CAPACITY as u64).await;
    let (none, ()) = tokio::join!(next(&mut nothing), async {
        settle().await;
        bus.close();
    });
    assert_eq!(none, None);
    let received = receive_rest(&mut all).await;
    assert!(
        received["conformance.a"]
            .iter()
            .copied()
            .eq(0..CAPACITY as u64)
    );
    assert!(in_time(all.recv()).await.is_none());
    assert_eq!(all.try_recv().err(), Some(TryReceiveError::Closed));
    let late = bus.subscribe_pattern("conformance.>", Overflow::Block);
    let mut late = late.expect("it subscribes");
    assert_eq!(receive_rest(&mut late).await, BTreeMap::new());
}

/// A closed subscriber receives what was published before and nothing after, and takes no topic
/// that is opened later; a dropped one is gone.
pub async fn a_pattern_that_is_closed_or_dropped_takes_nothing_more(bus: &dyn Bus) {
    let publisher = open(bus, "conformance.a");
    let all = bus.subscribe_pattern(">", PatternOptions::new().named("closed"));
    let mut all = all.expect("it subscribes");
    let dropped = bus.subscribe_pattern(">", Overflow::Block);
    publish_all(&publisher, [1, 2]).await;
    drop(dropped);
    all.close();
    // Far more than there is room for: nobody is waited for.
    publish_all(&publisher, 3..100).await;
    publish_all(&open(bus, "conformance.b"), 0..100).await;
    let received = receive_rest(&mut all).await;
    let expected = ("conformance.a".to_owned(), vec![1, 2]);
    assert_eq!(received, BTreeMap::from([expected]));
    drop(all);
    let stats = bus.stats();
    assert!(stats.iter().all(|topic| topic.subscribers.is_empty()));
}

/// JSON is the same on every bus, whether it carries values or bytes, and details go with it.
pub async fn events_of_unknown_types_are_read_as_json(bus: &dyn Bus) {
    let all = bus.subscribe_pattern(">", Overflow::Block);
    let mut all = all.expect("it subscribes");
    let words: Topic<Vec<String>> = Topic::new("conformance.words");
    let publisher = bus.publisher(&words).expect("it opens");
    let event = crate::Envelope::new(vec!["größe".to_owned()]).source("a test");
    in_time(publisher.publish_with(event)).await.expect("open");
    let event = in_time(all.recv()).await.expect("it is open");
    assert_eq!(
        event.to_json().expect("it is JSON"),
        r#"["größe"]"#.as_bytes()
    );
    assert_eq!(event.decode::<[String; 1]>().expect("words"), ["größe"]);
    assert!(event.decode::<u64>().is_err());
    assert_eq!(event.downcast_ref::<u64>(), None);
    assert_eq!(event.meta().source(), Some("a test"));
    assert_eq!(event.meta().id(), "conformance.words#1");
}
