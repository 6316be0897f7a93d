//! Where handles and what they give may go: into tasks, to other threads, across an `await`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use coord_bus::time::{Instant, sleep, timeout};
use coord_bus::{
    Bus, BusExt, Delivery, LocalBus, Publisher, Received, Refused, Subscriber, TaskScope, Topic,
};
use tokio::task::spawn_blocking;

const NUMBERS: Topic<u64> = Topic::new("numbers");

#[tokio::test(start_paused = true)]
async fn a_task_may_await_with_a_lent_event_in_its_hands() {
    let bus = LocalBus::new();
    let mut numbers = bus.subscribe(&NUMBERS).unwrap();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    let sum = tokio::spawn(async move {
        let mut sum = 0;
        while let Some(number) = numbers.recv().await {
            tokio::task::yield_now().await;
            sum += *number;
        }
        sum
    });
    for number in 1..=10 {
        publisher.publish(number).await.unwrap();
    }
    bus.close();
    assert_eq!(sum.await.unwrap(), 55);
}

#[test]
fn what_the_bus_gives_may_be_shared_and_sent_between_threads() {
    fn can<T: Send + Sync>() {}
    can::<Box<dyn Bus>>();
    can::<LocalBus>();
    can::<Publisher<u64>>();
    can::<Subscriber<u64>>();
    can::<Received<'_, u64>>();
    can::<Delivery<u64>>();
    can::<Refused<u64>>();
    can::<TaskScope>();
}

#[tokio::test]
async fn a_blocking_publish_panics_where_tasks_are_driven_and_waits_on_a_thread_for_what_blocks() {
    let bus = LocalBus::new();
    let numbers = Topic::<u32>::new("numbers").capacity(1);
    let mut subscriber = bus.subscribe(&numbers).unwrap();
    let publisher = bus.publisher(&numbers).unwrap();
    let here = AssertUnwindSafe(|| publisher.publish_blocking(0));
    assert!(catch_unwind(here).is_err());
    let publishing = spawn_blocking(move || {
        for number in 1..=10 {
            publisher.publish_blocking(number).unwrap();
        }
    });
    for number in 1..=10 {
        assert_eq!(*subscriber.recv().await.unwrap(), number);
    }
    publishing.await.unwrap();
}

/// A topic with room for 64, which is full.
fn full() -> (Publisher<u32>, Subscriber<u32>) {
    let bus = LocalBus::new();
    let numbers = Topic::<u32>::new("numbers").capacity(64);
    let subscriber = bus.subscribe(&numbers).unwrap();
    let publisher = bus.publisher(&numbers).unwrap();
    for number in 0..64 {
        publisher.try_publish(number).unwrap();
    }
    (publisher, subscriber)
}

#[test]
fn who_blocks_a_thread_goes_on_when_there_is_some_room_and_not_much() {
    let (publisher, mut subscriber) = full();
    let (sender, published) = std::sync::mpsc::channel();
    let blocked = publisher.clone();
    let publishing = std::thread::spawn(move || {
        blocked.publish_blocking(64).unwrap();
        sender.send(()).unwrap();
    });
    while publisher.stats().waiting_publishers == 0 {
        std::thread::yield_now();
    }
    subscriber.try_recv().unwrap();
    let published = published.recv_timeout(Duration::from_secs(30));
    // It is not to wait for ever.
    publisher.close();
    publishing.join().unwrap();
    published.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_is_polled_again_finds_the_room_of_which_it_is_not_woken() {
    let (publisher, mut subscriber) = full();
    let mut publishing = publisher.publish(64);
    let second = Duration::from_secs(1);
    assert!(timeout(second, &mut publishing).await.is_err());
    subscriber.try_recv().unwrap();
    let begin = Instant::now();
    timeout(second, &mut publishing).await.unwrap().unwrap();
    assert_eq!(begin.elapsed(), Duration::ZERO);

    let mut waiting = publisher.publish(65);
    let receiving = tokio::spawn(async move {
        sleep(second).await;
        subscriber.try_recv().unwrap();
        subscriber
    });
    let within = timeout(2 * second, &mut waiting);
    within.await.unwrap().unwrap();
    assert_eq!(begin.elapsed(), 2 * second, "as it is over");
    drop(receiving.await.unwrap());
}

#[test]
fn a_thread_without_a_runtime_receives_what_another_publishes() {
    let bus = LocalBus::new();
    let numbers = Topic::<u32>::new("numbers").capacity(1);
    let mut subscriber = bus.subscribe(&numbers).unwrap();
    let publisher = bus.publisher(&numbers).unwrap();
    let publishing = std::thread::spawn(move || {
        for number in 1..=100 {
            publisher.publish_blocking(number).unwrap();
        }
        publisher.close();
    });
    let mut sum = 0;
    while let Some(number) = subscriber.recv_blocking() {
        sum += *number;
    }
    assert_eq!(sum, 5050);
    publishing.join().unwrap();
}

#[tokio::test]
async fn a_blocking_receive_panics_where_tasks_are_driven_and_waits_on_a_thread_for_what_blocks() {
    let bus = LocalBus::new();
    let numbers = Topic::<u32>::new("numbers");
    let mut subscriber = bus.subscribe(&numbers).unwrap();
    let publisher = bus.publisher(&numbers).unwrap();
    let mut other = bus.subscribe(&numbers).unwrap();
    let here = AssertUnwindSafe(|| other.recv_blocking().map(|number| *number));
    assert!(catch_unwind(here).is_err());
    let receiving = spawn_blocking(move || subscriber.recv_blocking().map(|number| *number));
    publisher.publish(7).await.unwrap();
    assert_eq!(receiving.await.unwrap(), Some(7));
}
