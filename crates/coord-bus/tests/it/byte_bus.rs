//! The bus that carries bytes.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use coord_bus::{Bus, BusExt, ByteBus, Refusal, Topic};
use serde::{Deserialize, Serialize};
use tokio::task::coop;

mod conformance {
    coord_bus::conformance_bus!(coord_bus::ByteBus::new());
}

const NUMBERS: Topic<u64> = Topic::new("numbers");

#[tokio::test(start_paused = true)]
async fn an_event_arrives_as_another_value_made_from_bytes() {
    #[derive(Serialize, Deserialize)]
    struct Shown {
        text: String,
        #[serde(skip)]
        handle: Option<u8>,
    }
    let bus = ByteBus::new();
    let topic: Topic<Shown> = Topic::new("shown");
    let mut subscriber = bus.subscribe(&topic).unwrap();
    let shown = Shown {
        text: "größe".to_owned(),
        handle: Some(7),
    };
    let publisher = bus.publisher(&topic).unwrap();
    publisher.publish(shown).await.unwrap();
    let shown = subscriber.recv().await.unwrap();
    assert_eq!((&*shown.text, shown.handle), ("größe", None));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_become_bytes_comes_back() {
    let bus = ByteBus::new();
    // JSON has no keys that are pairs.
    let topic: Topic<BTreeMap<(u8, u8), u8>> = Topic::new("pairs");
    let publisher = bus.publisher(&topic).unwrap();
    let pairs = BTreeMap::from([((1, 2), 3)]);
    let waited = publisher.publish(pairs.clone()).await.unwrap_err();
    let tried = publisher.try_publish(pairs.clone()).unwrap_err();
    for refused in [waited, tried] {
        assert!(matches!(refused.reason, Refusal::Encode(_)), "{refused}");
        assert_eq!(refused.event, pairs);
    }
}

#[tokio::test(start_paused = true)]
async fn an_in_process_topic_is_refused_with_what_to_do() {
    struct Handle;
    let bus = ByteBus::new();
    let topic: Topic<Handle> = Topic::in_process("handles");
    let refused = bus.publisher(&topic).unwrap_err().to_string();
    for part in ["`handles`", "Topic::new", "Handle", "serde"] {
        assert!(refused.contains(part), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_bus_cuts_the_way() {
    let bus = ByteBus::new();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    let mut subscriber = bus.subscribe(&NUMBERS).unwrap();
    publisher.publish(1).await.unwrap();
    drop(bus);
    tokio::task::yield_now().await;
    assert!(publisher.publish(2).await.unwrap_err().is_closed());
    assert!(publisher.try_publish(3).unwrap_err().is_closed());
    assert_eq!(*subscriber.recv().await.unwrap(), 1);
    assert!(subscriber.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_has_arrived_is_found_also_by_a_task_that_should_let_others_run() {
    let bus = ByteBus::new();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    let mut subscriber = bus.subscribe(&NUMBERS).unwrap();
    publisher.publish(7).await.unwrap();
    poll_fn(|cx| {
        while let Poll::Ready(budget) = coop::poll_proceed(cx) {
            budget.made_progress();
        }
        Poll::Ready(())
    })
    .await;
    assert!(!coop::has_budget_remaining());
    assert_eq!(*subscriber.try_recv().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_drain_without_patience_sees_what_is_still_on_its_way() {
    let bus = ByteBus::new();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    let mut subscriber = bus.subscribe(&NUMBERS).unwrap();
    publisher.try_publish(1).unwrap();
    let drained = bus.drain(std::time::Duration::ZERO).await;
    assert!(!drained.is_complete());
    assert_eq!(*subscriber.recv().await.unwrap(), 1);
    assert!(subscriber.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn over_a_link_somebody_may_always_listen() {
    let bus = ByteBus::new();
    assert!(bus.publisher(&NUMBERS).unwrap().is_heard());
}
