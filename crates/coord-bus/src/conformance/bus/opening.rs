//! What a topic's name stands for, who may open it, and what a bus tells of it.

use std::any::type_name;

use super::super::in_time;
use super::{CAPACITY, NUMBERS, publish_all, receive};
use crate::{Bus, BusError, BusExt, MAX_NAME_LENGTH, Overflow, Topic};

/// Another type for a name is refused, with both types and both places.
pub async fn one_name_has_one_type(bus: &dyn Bus) {
    let line = line!() + 1;
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let words: Topic<String> = Topic::new("conformance.numbers");
    let refused = bus.subscribe(&words).expect_err("it carries numbers");
    let asked_line = line!() - 1;
    let text = refused.to_string();
    let BusError::TypeConflict {
        topic,
        opened,
        opened_at,
        asked,
        asked_at,
    } = refused
    else {
        panic!("{text}");
    };
    assert_eq!(topic, "conformance.numbers");
    assert_eq!((opened, asked), (type_name::<u64>(), type_name::<String>()));
    assert_eq!((opened_at.file(), opened_at.line()), (file!(), line));
    assert_eq!((asked_at.file(), asked_at.line()), (file!(), asked_line));
    let (place, asked_place) = (opened_at.to_string(), asked_at.to_string());
    for part in ["conformance.numbers", opened, asked, &place, &asked_place] {
        assert!(text.contains(part), "{text}");
    }
    // And the first is none the worse for it.
    let mut subscriber = bus.subscribe(&NUMBERS).expect("it opens");
    publish_all(&publisher, [1]).await;
    assert_eq!(receive(&mut subscriber, 1).await, [1]);
}

/// Two stated capacities must agree, and two numbers of retained events; who states none takes
/// what there is.
pub async fn one_name_has_one_set_of_options(bus: &dyn Bus) {
    let line = line!() + 1;
    bus.publisher(&NUMBERS.capacity(8).retain(2))
        .expect("it opens");
    bus.publisher(&NUMBERS.capacity(8)).expect("it opens");
    bus.publisher(&NUMBERS.retain(2)).expect("it opens");
    bus.publisher(&NUMBERS).expect("it opens");
    let others = [
        (NUMBERS.capacity(9), ("capacity", 8, 9)),
        (NUMBERS.retain(0), ("retain", 2, 0)),
    ];
    for (topic, expected) in others {
        let refused = bus.subscribe(&topic).expect_err("it has others");
        let asked_line = line!() - 1;
        let text = refused.to_string();
        let BusError::OptionConflict {
            topic,
            option,
            opened,
            opened_at,
            asked,
            asked_at,
        } = refused
        else {
            panic!("{text}");
        };
        assert_eq!(
            (&*topic, (option, opened, asked)),
            ("conformance.numbers", expected)
        );
        assert_eq!((opened_at.file(), opened_at.line()), (file!(), line));
        assert_eq!((asked_at.file(), asked_at.line()), (file!(), asked_line));
        for part in [option, &opened_at.to_string(), &asked_at.to_string()] {
            assert!(text.contains(part), "{text}");
        }
    }
}

/// Names are tokens parted by dots.
pub async fn a_name_that_cannot_be_one_is_refused(bus: &dyn Bus) {
    let longest = "n".repeat(MAX_NAME_LENGTH);
    for good in [
        "a",
        "process.output",
        "process-output",
        "größe.µ",
        "$JS.1",
        &longest,
    ] {
        let opened = bus.publisher(&NUMBERS.with_name(good));
        opened.unwrap_or_else(|error| panic!("{error}"));
    }
    let too_long = "n".repeat(MAX_NAME_LENGTH + 1);
    let bad = [
        "", ".", ".a", "a.", "a..b", "a b", "a\tb", "a\n", "a\0", "a.*", "a.>", "*", ">",
    ];
    for bad in bad.into_iter().chain([&*too_long]) {
        let refused = bus.publisher(&NUMBERS.with_name(bad));
        let Err(BusError::InvalidName { name, .. }) = refused else {
            panic!("{bad:?} was not refused");
        };
        assert_eq!(name, bad);
    }
}

/// An event without serde is carried as it is, or refused before anything is published.
pub async fn an_in_process_topic_is_carried_or_refused_by_name(bus: &dyn Bus) {
    struct Handle(u64);
    let topic: Topic<Handle> = Topic::in_process("conformance.handles");
    match bus.publisher(&topic) {
        Ok(publisher) => {
            let mut subscriber = bus.subscribe(&topic).expect("it opens");
            in_time(publisher.publish(Handle(7)))
                .await
                .expect("it is open");
            let handle = in_time(subscriber.recv()).await.expect("it is open");
            assert_eq!(handle.0, 7);
        }
        Err(BusError::InProcessOnly { topic: name, event }) => {
            assert_eq!(name, "conformance.handles");
            assert_eq!(event, type_name::<Handle>());
            let subscribed = bus.subscribe(&topic);
            assert!(matches!(subscribed, Err(BusError::InProcessOnly { .. })));
            // The refusal has not taken the name.
            let opened = bus.publisher(&NUMBERS.with_name("conformance.handles"));
            opened.unwrap_or_else(|error| panic!("{error}"));
        }
        Err(error) => panic!("{error}"),
    }
}

/// What a bus counts is what happened.
pub async fn stats_agree_with_what_was_counted(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    let mut lossless = bus.subscribe(&topic).expect("it opens");
    publish_all(&publisher, 1..=4).await;
    assert_eq!(receive(&mut lossless, 3).await, [1, 2, 3]);
    let lossy = bus.subscribe_with(&topic, Overflow::DropOldest);
    let mut lossy = lossy.expect("it opens");
    let (mut received, mut missed) = (0, 0);
    for number in 5..=100 {
        publish_all(&publisher, [number]).await;
        assert_eq!(receive(&mut lossless, 1).await, [number - 1]);
    }
    while received + missed < 96 {
        let event = in_time(lossy.recv()).await.expect("it is open");
        received += 1;
        missed += event.lag();
    }
    bus.publisher(&NUMBERS.with_name("conformance.another"))
        .expect("it opens");
    let stats = bus.stats();
    let mut shown = Vec::new();
    bus.for_each_stats(&mut |stats| shown.push(stats.clone()));
    assert_eq!(shown, stats);
    let names: Vec<_> = stats.iter().map(|topic| &*topic.topic).collect();
    assert_eq!(names, ["conformance.another", "conformance.numbers"]);
    let stats = &stats[1];
    assert_eq!(
        (stats.published, stats.capacity, stats.closed),
        (100, CAPACITY, false)
    );
    let ledger = stats.ledger;
    assert_eq!(
        (ledger.delivered, ledger.dropped.oldest),
        (99 + received, missed)
    );
    let of = |overflow| {
        let mut subscribers = stats.subscribers.iter();
        let stats = subscribers.find(|each| each.overflow == overflow);
        stats.map(|each| {
            let ledger = each.ledger;
            (ledger.delivered, ledger.dropped.total(), ledger.in_flight)
        })
    };
    assert_eq!(of(Overflow::Block), Some((99, 0, 1)));
    assert_eq!(of(Overflow::DropOldest), Some((received, missed, 0)));
}
