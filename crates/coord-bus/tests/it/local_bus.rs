//! The bus of one process.

use std::thread;

use coord_bus::{Bus, BusError, BusExt, LocalBus, MAX_TOPICS, Topic};

mod conformance {
    coord_bus::conformance_bus!(coord_bus::LocalBus::new());
}

const NUMBERS: Topic<u64> = Topic::new("numbers");

#[tokio::test(start_paused = true)]
async fn clones_are_the_same_bus() {
    let bus = LocalBus::new();
    let mut numbers = bus.subscribe(&NUMBERS).unwrap();
    let publisher = bus.clone().publisher(&NUMBERS).unwrap();
    publisher.publish(7).await.unwrap();
    assert_eq!(*numbers.recv().await.unwrap(), 7);
    bus.clone().close();
    assert!(publisher.publish(8).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn without_the_bus_a_topic_closes_with_its_last_publisher() {
    let bus = LocalBus::new();
    let mut numbers = bus.subscribe(&NUMBERS).unwrap();
    let first = bus.publisher(&NUMBERS).unwrap();
    let second = first.clone();
    drop(bus);
    first.publish(1).await.unwrap();
    drop(first);
    second.publish(2).await.unwrap();
    drop(second);
    assert_eq!(*numbers.recv().await.unwrap(), 1);
    assert_eq!(*numbers.recv().await.unwrap(), 2);
    assert!(numbers.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_event_needs_no_serde_and_is_never_copied() {
    struct Handle(Box<u64>);
    let bus = LocalBus::new();
    let topic: Topic<Handle> = Topic::in_process("handles");
    let mut first = bus.subscribe(&topic).unwrap();
    let mut second = bus.subscribe(&topic).unwrap();
    let handle = Handle(Box::new(7));
    let address: *const u64 = &*handle.0;
    let publisher = bus.publisher(&topic).unwrap();
    publisher.publish(handle).await.unwrap();
    assert!(std::ptr::eq(&*first.recv().await.unwrap().0, address));
    assert!(std::ptr::eq(&*second.recv().await.unwrap().0, address));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_knows_whether_anybody_listens() {
    let bus = LocalBus::new();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    assert!(!publisher.is_heard());
    let subscriber = bus.subscribe(&NUMBERS).unwrap();
    assert!(publisher.is_heard());
    drop(subscriber);
    assert!(!publisher.is_heard());
}

#[test]
fn a_topic_opened_by_many_threads_at_once_is_one_topic() {
    let bus = LocalBus::new();
    let mut numbers = bus.subscribe(&NUMBERS).unwrap();
    for round in 0..50_u64 {
        let topic = NUMBERS.with_name(format!("numbers.{round}"));
        let opened: Vec<_> = thread::scope(|scope| {
            let open = || {
                (
                    bus.publisher(&topic).unwrap(),
                    bus.subscribe(&topic).unwrap(),
                )
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            let opened = threads.into_iter().map(|thread| thread.join().unwrap());
            opened.collect()
        });
        for (publisher, _) in &opened {
            publisher.try_publish(round).unwrap();
        }
        for (_, mut subscriber) in opened {
            for _ in 0..4 {
                assert_eq!(*subscriber.try_recv().unwrap(), round);
            }
        }
    }
    assert!(numbers.try_recv().is_err());
}

#[test]
fn topics_made_from_input_meet_an_error_before_the_end_of_memory() {
    let bus = LocalBus::new();
    for index in 0..MAX_TOPICS {
        let topic = NUMBERS.with_name(format!("numbers.{index}"));
        bus.publisher(&topic).unwrap();
    }
    let refused = bus.publisher(&NUMBERS).unwrap_err();
    assert!(matches!(refused, BusError::TooManyTopics { limit, .. } if limit == MAX_TOPICS));
    assert!(bus.publisher(&NUMBERS.with_name("numbers.7")).is_ok());
}
