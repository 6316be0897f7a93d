//! Faults on the bus that carries bytes.

use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::{Bus, BusExt, ByteBus, FaultCounts, Faults, Subscriber, Topic};
use proptest::prelude::*;

const NUMBERS: Topic<u64> = Topic::new("numbers");
const OTHERS: Topic<u64> = Topic::new("others");
const SHORT: Duration = Duration::from_millis(50);

fn all(seed: u64) -> Faults {
    let faults = Faults::seeded(seed).delay(0.2, ..=SHORT);
    faults.drop(0.05).duplicate(0.05)
}

async fn rest(subscriber: &mut Subscriber<u64>) -> Vec<u64> {
    let mut received = Vec::new();
    while let Some(number) = subscriber.recv().await {
        received.push(*number);
    }
    received
}

/// Publishes this many numbers to a topic on a new bus. What was received, when it was over, and
/// what went wrong.
async fn course(faults: Faults, count: u64, others: u64) -> (Vec<u64>, Duration, FaultCounts) {
    let bus = ByteBus::with_faults(faults);
    let mut subscriber = bus.subscribe(&NUMBERS).expect("it opens");
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let other = bus.publisher(&OTHERS).expect("it opens");
    let begin = Instant::now();
    let publish = async {
        for number in 0..count {
            let published = publisher.publish(number).await;
            published.expect("it is open");
        }
        publisher.close();
    };
    let disturb = async {
        for number in 0..others {
            let published = other.publish(number).await;
            published.expect("it is open");
        }
    };
    let mut end = begin;
    let receive = async {
        let received = rest(&mut subscriber).await;
        end = Instant::now();
        received
    };
    let ((), (), received) = tokio::join!(publish, disturb, receive);
    (received, end - begin, bus.faults())
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_counted_and_the_order_is_kept() {
    let (received, elapsed, faults) = course(all(42), 2000, 0).await;
    assert!(received.is_sorted());
    let mut distinct = received.clone();
    distinct.dedup();
    assert_eq!(2000 - distinct.len() as u64, faults.dropped);
    assert_eq!((received.len() - distinct.len()) as u64, faults.duplicated);
    // The chances are roughly what was asked for.
    assert!((50..150).contains(&faults.dropped), "{faults:?}");
    assert!((50..150).contains(&faults.duplicated), "{faults:?}");
    assert!((300..500).contains(&faults.delayed), "{faults:?}");
    assert_eq!(faults.closed, 0);
    let mean = elapsed / u32::try_from(faults.delayed).unwrap();
    assert!(mean > SHORT / 3 && mean < SHORT, "{mean:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_has_the_same_faults_and_another_has_others() {
    let first = course(all(1), 500, 0).await;
    assert_eq!(course(all(1), 500, 0).await, first);
    assert_ne!(course(all(2), 500, 0).await.0, first.0);
}

#[tokio::test(start_paused = true)]
async fn topics_do_not_disturb_each_other_nor_do_the_chances() {
    let (alone, elapsed, _) = course(all(1), 500, 0).await;
    let (beside, again, _) = course(all(1), 500, 300).await;
    assert_eq!((&beside, again), (&alone, elapsed));
    let (without_delays, ..) = course(all(1).delay(0.0, ..=SHORT), 500, 0).await;
    assert_eq!(without_delays, alone);
    let bus = ByteBus::with_faults(all(1));
    let mut other = bus.subscribe(&OTHERS).unwrap();
    let publisher = bus.publisher(&OTHERS).unwrap();
    for number in 0..500 {
        publisher.publish(number).await.unwrap();
    }
    publisher.close();
    assert_ne!(
        rest(&mut other).await,
        alone,
        "all topics have the same faults"
    );
}

#[tokio::test(start_paused = true)]
async fn without_faults_nothing_happens() {
    let (received, elapsed, faults) = course(Faults::seeded(7), 1000, 0).await;
    assert!(received.into_iter().eq(0..1000));
    assert_eq!((elapsed, faults), (Duration::ZERO, FaultCounts::default()));
}

#[tokio::test(start_paused = true)]
async fn chances_that_are_none_count_as_never_or_always() {
    let faults = Faults::seeded(7).drop(f64::NAN).duplicate(-1.0);
    assert_eq!(course(faults, 100, 0).await.0.len(), 100);
    let faults = Faults::seeded(7).drop(0.0).duplicate(7.0);
    assert_eq!(course(faults, 100, 0).await.0.len(), 200);
    assert!(
        course(Faults::seeded(7).drop(1.0), 100, 0)
            .await
            .0
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn a_delayed_event_holds_up_those_behind_it_and_no_other_topic() {
    let bus = ByteBus::with_faults(Faults::seeded(5).delay(1.0, ..=SHORT));
    let publisher = bus.publisher(&NUMBERS).unwrap();
    let mut subscriber = bus.subscribe(&NUMBERS).unwrap();
    publisher.try_publish(1).unwrap();
    publisher.try_publish(2).unwrap();
    tokio::task::yield_now().await;
    assert!(subscriber.try_recv().is_err());
    time::sleep(SHORT * 2).await;
    assert_eq!(*subscriber.try_recv().unwrap(), 1);
    assert_eq!(*subscriber.try_recv().unwrap(), 2);
    assert_eq!(bus.faults().delayed, 2);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_a_fault_closes_refuses_publishers_and_ends_subscribers() {
    let bus = ByteBus::with_faults(Faults::seeded(9).close_after(3));
    let publisher = bus.publisher(&NUMBERS).unwrap();
    let mut subscriber = bus.subscribe(&NUMBERS).unwrap();
    for number in 1..=3 {
        publisher.publish(number).await.unwrap();
    }
    assert!(publisher.publish(4).await.unwrap_err().is_closed());
    assert!(publisher.try_publish(5).unwrap_err().is_closed());
    assert_eq!(rest(&mut subscriber).await, [1, 2, 3]);
    assert!(bus.stats()[0].closed);
    let faults = bus.faults();
    assert_eq!((faults.closed, faults.dropped), (1, 0));
    // Each topic has its own count.
    bus.publisher(&OTHERS).unwrap().publish(1).await.unwrap();
    assert_eq!(bus.faults().closed, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_when_a_fault_closes_the_topic_counts_as_dropped() {
    let bus = ByteBus::with_faults(Faults::seeded(9).close_after(1));
    let publisher = bus.publisher(&NUMBERS).unwrap();
    let mut subscriber = bus.subscribe(&NUMBERS).unwrap();
    publisher.try_publish(1).unwrap();
    publisher.try_publish(2).unwrap();
    assert!(publisher.publish(3).await.unwrap_err().is_closed());
    assert_eq!(rest(&mut subscriber).await, [1]);
    assert_eq!(bus.faults().dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_closes_after_nothing_is_cut_at_once() {
    let bus = ByteBus::with_faults(Faults::seeded(9).close_after(0));
    let publisher = bus.publisher(&NUMBERS).unwrap();
    assert!(publisher.publish(1).await.unwrap_err().is_closed());
    assert!(bus.drain(SHORT).await.is_complete());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn delivered_is_published_without_the_dropped_and_with_the_duplicated(
        seed: u64,
        drop in 0.0..=1.0_f64,
        duplicate in 0.0..=1.0_f64,
        delay in 0.0..=1.0_f64,
        close_after in prop::option::of(0..60_u64),
        // Whether each is published in passing, or waited for.
        tries in prop::collection::vec(any::<bool>(), 0..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (accepted, received, faults) = runtime.block_on(async {
            let faults = Faults::seeded(seed).drop(drop).duplicate(duplicate);
            let mut faults = faults.delay(delay, ..=SHORT);
            if let Some(events) = close_after {
                faults = faults.close_after(events);
            }
            let bus = ByteBus::with_faults(faults);
            let publisher = bus.publisher(&NUMBERS).unwrap();
            let mut subscriber = bus.subscribe(&NUMBERS).unwrap();
            let mut accepted = 0;
            for (number, in_passing) in (0..).zip(tries) {
                let done = match in_passing {
                    true => publisher.try_publish(number).is_ok(),
                    false => publisher.publish(number).await.is_ok(),
                };
                accepted += u64::from(done);
            }
            bus.close();
            let received = rest(&mut subscriber).await;
            (accepted, received, bus.faults())
        });
        prop_assert!(received.is_sorted());
        let delivered = received.len() as u64;
        prop_assert_eq!(delivered, accepted - faults.dropped + faults.duplicated);
    }
}
