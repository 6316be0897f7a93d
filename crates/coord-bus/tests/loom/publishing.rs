//! Publishing, against another publisher, a subscriber that falls asleep, and one that comes.

use std::sync::Arc;

use coord_bus::{Log, Overflow};
use loom::future::block_on;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::{drain, kinds, model, publish, receive};

#[test]
fn what_two_publish_arrives_once_each_in_one_order_for_all() {
    model(|| {
        let log = Log::new("numbers", 2);
        let (mut first, mut second) = (
            log.subscribe(Overflow::Block),
            log.subscribe(Overflow::Block),
        );
        let publishers = [1, 2].map(|number| {
            let log = log.clone();
            thread::spawn(move || publish(&log, number))
        });
        let numbers: Vec<_> = (0..2).filter_map(|_| receive(&mut first)).collect();
        for publisher in publishers {
            publisher.join().unwrap();
        }
        assert!(numbers == [1, 2] || numbers == [2, 1], "{numbers:?}");
        assert_eq!(drain(&mut second), (numbers, false));
    });
}

#[test]
fn who_falls_asleep_is_woken_by_what_is_published_meanwhile() {
    // In a chunk for each event, and in one for both, which another subscriber keeps.
    for capacity in [2, 12] {
        model(move || {
            let log = Log::new("numbers", capacity);
            let mut subscriber = log.subscribe(Overflow::Block);
            let _other = log.subscribe(Overflow::Block);
            let publisher = thread::spawn({
                let log = log.clone();
                move || [1, 2].iter().for_each(|number| publish(&log, *number))
            });
            assert_eq!(receive(&mut subscriber), Some(1));
            assert_eq!(receive(&mut subscriber), Some(2));
            publisher.join().unwrap();
            assert_eq!(drain(&mut subscriber), (vec![], false));
        });
    }
}

#[test]
fn what_is_lent_within_a_chunk_is_there() {
    model(|| {
        // Chunks of three: of the two that come, the first may be lent by itself.
        let log = Log::new("numbers", 12);
        let mut subscriber = log.subscribe(Overflow::Block);
        publish(&log, 1);
        let publisher = thread::spawn({
            let log = log.clone();
            move || [2, 3].iter().for_each(|number| publish(&log, *number))
        });
        for number in 1..=3 {
            assert_eq!(receive(&mut subscriber), Some(number));
        }
        publisher.join().unwrap();
    });
}

#[test]
fn what_is_lent_in_a_batch_is_there() {
    model(|| {
        let log = Log::new("numbers", 12);
        let mut subscriber = log.subscribe(Overflow::Block);
        publish(&log, 1);
        let publisher = thread::spawn({
            let log = log.clone();
            move || [2, 3].iter().for_each(|number| publish(&log, *number))
        });
        let mut numbers = Vec::new();
        while numbers.last() != Some(&3) {
            let batch = block_on(subscriber.recv_many()).unwrap();
            let lent = batch.len();
            let before = numbers.len();
            numbers.extend(batch.copied());
            assert_eq!(numbers.len(), before + lent);
        }
        assert_eq!(numbers, [1, 2, 3]);
        publisher.join().unwrap();
    });
}

#[test]
fn who_subscribes_late_gets_what_is_retained_with_no_gap_and_nothing_twice() {
    model(|| {
        let log = Log::retaining("numbers", 4, 1);
        publish(&log, 1);
        let publisher = thread::spawn({
            let log = log.clone();
            move || [2, 3].iter().for_each(|number| publish(&log, *number))
        });
        let mut late = log.subscribe(Overflow::Block);
        let (mut numbers, _) = drain(&mut late);
        publisher.join().unwrap();
        numbers.extend(drain(&mut late).0);
        let first = numbers[0];
        assert!((1..=3).contains(&first));
        assert!(numbers.iter().copied().eq(first..=3), "{numbers:?}");
    });
}

#[test]
fn who_has_subscribed_is_known_to_be_there_until_it_goes() {
    for kind in 0..kinds().len() {
        model(move || {
            let log = Log::new("numbers", 2);
            let is_there = Arc::new(AtomicBool::new(false));
            let subscriber = thread::spawn({
                let (log, is_there) = (log.clone(), Arc::clone(&is_there));
                move || {
                    let subscriber = log.subscribe(kinds()[kind].clone());
                    is_there.store(true, Ordering::Release);
                    subscriber
                }
            });
            let was_there = is_there.load(Ordering::Acquire);
            assert!(log.has_subscribers() || !was_there);
            drop(subscriber.join().unwrap());
            assert!(!log.has_subscribers());
        });
    }
}
