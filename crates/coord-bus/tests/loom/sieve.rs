//! Reading on a subscriber's behalf, against what is published, and against its own reading.

use coord_bus::{Log, Overflow, SubscribeOptions};
use loom::thread;

use crate::{drain, model, poll, publish, receive};

fn even() -> SubscribeOptions<u64> {
    SubscribeOptions::new().filter(|number: &u64| number.is_multiple_of(2))
}

fn by_parity() -> SubscribeOptions<u64> {
    SubscribeOptions::new().latest_by(2, |number: &u64| number % 2)
}

#[test]
fn what_passes_a_filter_wakes_the_subscriber() {
    for overflow in [Overflow::Block, Overflow::DropOldest, Overflow::Latest] {
        model(move || {
            let log = Log::new("numbers", 2);
            let mut subscriber = log.subscribe(even().overflow(overflow));
            let publisher = thread::spawn({
                let log = log.clone();
                move || [1, 2].iter().for_each(|number| publish(&log, *number))
            });
            assert_eq!(receive(&mut subscriber), Some(2));
            publisher.join().unwrap();
            assert_eq!(drain(&mut subscriber), (vec![], false));
            let ledger = subscriber.ledger();
            assert_eq!((ledger.delivered, ledger.filtered), (1, 1), "{ledger:?}");
        });
    }
}

#[test]
fn what_passes_a_filter_wakes_the_subscriber_while_another_publisher_looks() {
    model(|| {
        let log = Log::new("numbers", 2);
        let mut subscriber = log.subscribe(even());
        let publishers = [1, 2].map(|number| {
            let log = log.clone();
            thread::spawn(move || publish(&log, number))
        });
        assert_eq!(receive(&mut subscriber), Some(2));
        for publisher in publishers {
            publisher.join().unwrap();
        }
        assert_eq!(drain(&mut subscriber), (vec![], false));
        let ledger = subscriber.ledger();
        assert_eq!((ledger.delivered, ledger.filtered), (1, 1), "{ledger:?}");
    });
}

#[test]
fn who_went_to_sleep_is_woken_though_two_publishers_look_at_once() {
    model(|| {
        let log = Log::new("numbers", 2);
        let mut subscriber = log.subscribe(even());
        assert!(poll(subscriber.recv()).is_pending());
        let publisher = thread::spawn({
            let log = log.clone();
            move || publish(&log, 1)
        });
        let reader = thread::spawn(move || receive(&mut subscriber));
        publish(&log, 2);
        publisher.join().unwrap();
        assert_eq!(reader.join().unwrap(), Some(2));
    });
}

#[test]
fn who_goes_while_a_publisher_reads_for_it_leaves_others_their_events() {
    model(|| {
        let log = Log::new("numbers", 1);
        let mut goes = log.subscribe(even());
        let mut stays = log.subscribe(Overflow::Block);
        assert!(poll(goes.recv()).is_pending());
        let publisher = thread::spawn({
            let log = log.clone();
            move || publish(&log, 1)
        });
        drop(goes);
        assert_eq!(receive(&mut stays), Some(1));
        publisher.join().unwrap();
        publish(&log, 2);
        assert_eq!(drain(&mut stays), (vec![2], false));
    });
}

#[test]
fn who_wants_the_newest_of_each_key_is_woken() {
    model(|| {
        let log = Log::new("numbers", 1);
        let mut subscriber = log.subscribe(by_parity());
        let publisher = thread::spawn({
            let log = log.clone();
            move || [1, 3].iter().for_each(|number| publish(&log, *number))
        });
        let mut numbers = Vec::new();
        while numbers.last() != Some(&3) {
            numbers.extend(receive(&mut subscriber));
        }
        publisher.join().unwrap();
        assert_eq!(drain(&mut subscriber), (vec![], false));
        assert!(numbers == [1, 3] || numbers == [3], "{numbers:?}");
    });
}

#[test]
fn the_newest_of_each_key_is_there_whoever_has_put_it_there() {
    model(|| {
        // So small that the publisher reads for the subscriber, while that does.
        let log = Log::new("numbers", 1);
        let mut subscriber = log.subscribe(by_parity());
        publish(&log, 1);
        let publisher = thread::spawn({
            let log = log.clone();
            move || [2, 3].iter().for_each(|number| publish(&log, *number))
        });
        let mut numbers: Vec<_> = subscriber
            .try_recv()
            .map(|number| *number)
            .into_iter()
            .collect();
        publisher.join().unwrap();
        numbers.extend(drain(&mut subscriber).0);
        let newest = |parity| numbers.iter().rfind(|number| **number % 2 == parity);
        assert_eq!((newest(0), newest(1)), (Some(&2), Some(&3)), "{numbers:?}");
        let ledger = subscriber.ledger();
        assert!(ledger.is_balanced() && ledger.in_flight == 0, "{ledger:?}");
        assert_eq!(ledger.delivered, numbers.len() as u64);
        assert_eq!(ledger.conflated, 3 - ledger.delivered);
    });
}
