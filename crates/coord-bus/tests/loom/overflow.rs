//! Subscribers that publishers overtake: what they get, and are told that they lost, is all.

use coord_bus::{Ledger, Log, Overflow, Subscriber};
use loom::thread;

use crate::{model, publish};

/// Receives what is there: each event behind the one before, by as much as it says was lost.
fn receive_all(subscriber: &mut Subscriber<u64>, last: &mut u64, received: &mut u64) {
    while let Ok(event) = subscriber.try_recv() {
        assert_eq!(*event, event.meta().sequence());
        assert_eq!(*event, *last + 1 + event.lag());
        *last = *event;
        *received += 1;
    }
}

/// Overtakes a subscriber to a log of one with two events while it receives; a third comes then.
/// The ledger at the end.
fn overtake(overflow: Overflow) -> Ledger {
    let log = Log::new("numbers", 1);
    let mut subscriber = log.subscribe(overflow);
    publish(&log, 1);
    let publisher = thread::spawn({
        let log = log.clone();
        move || [2, 3].iter().for_each(|number| publish(&log, *number))
    });
    let (mut last, mut received) = (0, 0);
    receive_all(&mut subscriber, &mut last, &mut received);
    publisher.join().expect("it went well");
    receive_all(&mut subscriber, &mut last, &mut received);
    publish(&log, 4);
    receive_all(&mut subscriber, &mut last, &mut received);
    // Whoever has received everything has room for the next, and gets it.
    assert_eq!(last, 4);
    let ledger = subscriber.ledger();
    assert!(ledger.is_balanced(), "{ledger:?}");
    assert_eq!((ledger.published, ledger.in_flight), (4, 0));
    assert_eq!(ledger.delivered, received);
    ledger
}

#[test]
fn who_drops_the_oldest_gets_all_that_it_is_not_told_of() {
    model(|| {
        let ledger = overtake(Overflow::DropOldest);
        assert_eq!(ledger.dropped.oldest, 4 - ledger.delivered);
    });
}

#[test]
fn who_drops_the_newest_gets_all_that_it_is_not_told_of() {
    model(|| {
        let ledger = overtake(Overflow::DropNewest);
        assert_eq!(ledger.dropped.newest, 4 - ledger.delivered);
    });
}

#[test]
fn who_wants_the_newest_gets_it_and_is_told_of_all_others() {
    model(|| {
        let ledger = overtake(Overflow::Latest);
        assert_eq!(ledger.conflated, 4 - ledger.delivered);
    });
}

#[test]
fn who_wants_the_newest_gets_it_within_a_chunk_too() {
    model(|| {
        // Chunks of two.
        let log = Log::new("numbers", 8);
        let mut subscriber = log.subscribe(Overflow::Latest);
        let publisher = thread::spawn({
            let log = log.clone();
            move || [1, 2].iter().for_each(|number| publish(&log, *number))
        });
        let (mut last, mut received) = (0, 0);
        receive_all(&mut subscriber, &mut last, &mut received);
        publisher.join().unwrap();
        receive_all(&mut subscriber, &mut last, &mut received);
        assert_eq!(last, 2);
        assert_eq!(subscriber.ledger().conflated, 2 - received);
    });
}

#[test]
fn who_drops_the_newest_takes_it_again_once_it_has_received_what_it_had() {
    model(|| {
        let log = Log::new("numbers", 1);
        let mut subscriber = log.subscribe(Overflow::DropNewest);
        publish(&log, 1);
        let publisher = thread::spawn({
            let log = log.clone();
            move || publish(&log, 2)
        });
        // It does not ask for more: having received the first makes room.
        assert_eq!(subscriber.try_recv().as_deref(), Ok(&1));
        publisher.join().unwrap();
        let has_second = subscriber.ledger().in_flight == 1;
        publish(&log, 3);
        let next = subscriber.try_recv().map(|number| *number);
        assert_eq!(next, Ok(if has_second { 2 } else { 3 }));
    });
}

#[test]
fn a_ledger_is_balanced_whenever_it_is_looked_at() {
    for kind in 0..crate::kinds().len() {
        model(move || {
            let log = Log::new("numbers", 4);
            let mut subscriber = log.subscribe(crate::kinds()[kind].clone());
            (1..=2).for_each(|number| publish(&log, number));
            let onlooker = thread::spawn({
                let log = log.clone();
                move || {
                    for _ in 0..2 {
                        let ledger = log.stats().ledger;
                        assert!(ledger.is_balanced(), "{ledger:?}");
                    }
                }
            });
            while subscriber.try_recv().is_ok() {}
            onlooker.join().unwrap();
        });
    }
}
