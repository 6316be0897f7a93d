//! Who waits for room, or for all to have been received, against who makes that so.

use coord_bus::{Log, Overflow, SubscribeOptions, Subscriber};
use loom::future::block_on;
use loom::thread;

use crate::{drain, kinds, model, poll, publish, receive};

/// A log of one, full, and its subscriber.
fn full() -> (Log<u64>, Subscriber<u64>) {
    let log = Log::new("numbers", 1);
    let subscriber = log.subscribe(Overflow::Block);
    publish(&log, 1);
    (log, subscriber)
}

fn publish_waiting(log: &Log<u64>, number: u64) -> thread::JoinHandle<()> {
    let log = log.clone();
    thread::spawn(move || assert!(block_on(log.append(number.into())).is_ok()))
}

#[test]
fn who_waits_for_room_is_woken_by_the_subscriber_that_makes_it() {
    model(|| {
        let (log, mut subscriber) = full();
        let publisher = publish_waiting(&log, 2);
        // It does not ask for more: so nothing but having got the first may wake the publisher.
        assert_eq!(subscriber.try_recv().as_deref(), Ok(&1));
        publisher.join().unwrap();
        assert_eq!(drain(&mut subscriber), (vec![2], false));
    });
}

#[test]
fn who_waits_for_room_is_woken_by_the_batch_that_makes_it() {
    model(|| {
        let (log, mut subscriber) = full();
        let publisher = publish_waiting(&log, 2);
        let batch = block_on(subscriber.recv_many());
        assert_eq!(batch.map(Iterator::sum::<u64>), Some(1));
        publisher.join().unwrap();
        assert_eq!(drain(&mut subscriber), (vec![2], false));
    });
}

#[test]
fn who_waits_for_room_is_woken_by_the_slower_of_two() {
    model(|| {
        let (log, mut subscriber) = full();
        let mut other = log.subscribe(Overflow::Block);
        let publisher = publish_waiting(&log, 2);
        let reader = thread::spawn(move || receive(&mut other));
        assert_eq!(subscriber.try_recv().as_deref(), Ok(&1));
        publisher.join().unwrap();
        assert_eq!(reader.join().unwrap(), Some(2));
    });
}

#[test]
fn two_subscribers_that_make_room_at_once_wake_who_waits_for_it() {
    model(|| {
        let log = Log::new("numbers", 1);
        let (mut first, mut second) = (
            log.subscribe(Overflow::Block),
            log.subscribe(Overflow::Block),
        );
        publish(&log, 1);
        let publisher = publish_waiting(&log, 2);
        let reader = thread::spawn(move || {
            assert_eq!(second.try_recv().as_deref(), Ok(&1));
            second
        });
        assert_eq!(first.try_recv().as_deref(), Ok(&1));
        publisher.join().unwrap();
        assert_eq!(drain(&mut first).0, [2]);
        assert_eq!(drain(&mut reader.join().unwrap()).0, [2]);
    });
}

#[test]
fn room_that_is_promised_to_who_gives_up_goes_to_the_next() {
    model(|| {
        let (log, mut subscriber) = full();
        let fickle = thread::spawn({
            let log = log.clone();
            move || poll(log.append(2.into())).is_ready()
        });
        let patient = publish_waiting(&log, 3);
        assert_eq!(receive(&mut subscriber), Some(1));
        let mut numbers = Vec::new();
        while numbers.last() != Some(&3) {
            numbers.extend(receive(&mut subscriber));
        }
        patient.join().unwrap();
        let has_published = fickle.join().unwrap();
        numbers.extend(drain(&mut subscriber).0);
        numbers.sort_unstable();
        let expected: &[u64] = if has_published { &[2, 3] } else { &[3] };
        assert_eq!(numbers, expected);
    });
}

#[test]
fn who_waits_for_room_is_woken_when_the_last_subscriber_goes() {
    model(|| {
        let (log, subscriber) = full();
        let publisher = publish_waiting(&log, 2);
        drop(subscriber);
        publisher.join().unwrap();
        assert_eq!(log.stats().depth, 0);
    });
}

#[test]
fn who_waits_for_room_is_woken_when_the_slower_goes_while_the_other_reads() {
    model(|| {
        let (log, slow) = full();
        let mut quick = log.subscribe(Overflow::Block);
        let publisher = publish_waiting(&log, 2);
        let reader = thread::spawn(move || receive(&mut quick));
        drop(slow);
        publisher.join().unwrap();
        assert_eq!(reader.join().unwrap(), Some(2));
    });
}

/// Two wait for room, for which the slower of two subscribers is to go and the other to receive,
/// both at once.
fn two_wait_while_the_slower_goes(go: fn(Subscriber<u64>) -> Option<Subscriber<u64>>) {
    let log = Log::new("numbers", 2);
    let (slow, mut quick) = (
        log.subscribe(Overflow::Block),
        log.subscribe(Overflow::Block),
    );
    (1..=2).for_each(|number| publish(&log, number));
    assert_eq!(quick.try_recv().as_deref(), Ok(&1));
    let publishers = [3, 4].map(|number| publish_waiting(&log, number));
    let reader = thread::spawn(move || {
        assert_eq!(quick.try_recv().as_deref(), Ok(&2));
        quick
    });
    let closed = go(slow);
    for publisher in publishers {
        publisher.join().expect("it went well");
    }
    drop((reader.join().expect("it went well"), closed));
}

#[test]
fn all_who_wait_for_room_are_woken_when_the_slower_goes_while_the_other_reads() {
    model(|| {
        two_wait_while_the_slower_goes(|slow| {
            drop(slow);
            None
        });
    });
}

#[test]
fn all_who_wait_for_room_are_woken_when_the_slower_is_closed_while_the_other_reads() {
    model(|| {
        two_wait_while_the_slower_goes(|mut slow| {
            slow.close();
            Some(slow)
        });
    });
}

#[test]
fn who_waits_for_room_is_woken_when_the_subscriber_is_closed() {
    model(|| {
        let (log, mut subscriber) = full();
        let publisher = publish_waiting(&log, 2);
        subscriber.close();
        publisher.join().unwrap();
        assert_eq!(drain(&mut subscriber), (vec![1], true));
    });
}

#[test]
fn who_waits_for_all_to_be_received_is_woken_by_the_last_that_is() {
    for kind in 0..kinds().len() {
        model(move || {
            let log = Log::new("numbers", 2);
            let mut subscriber = log.subscribe(kinds()[kind].clone());
            publish(&log, 1);
            publish(&log, 2);
            let waiting = thread::spawn({
                let log = log.clone();
                move || {
                    block_on(log.drained());
                    assert_eq!(log.stats().ledger.in_flight, 0);
                }
            });
            let mut received = Vec::new();
            while received.last() != Some(&2) {
                received.extend(subscriber.try_recv().map(|number| *number));
            }
            waiting.join().unwrap();
        });
    }
}

#[test]
fn who_waits_for_all_to_be_received_is_woken_when_the_last_subscriber_goes() {
    model(|| {
        let (log, subscriber) = full();
        let waiting = thread::spawn({
            let log = log.clone();
            move || block_on(log.drained())
        });
        drop(subscriber);
        waiting.join().unwrap();
    });
}

#[test]
fn a_filter_makes_room_for_who_publishes_while_the_subscriber_sleeps() {
    model(|| {
        let log = Log::new("numbers", 1);
        let even = SubscribeOptions::new().filter(|number: &u64| number.is_multiple_of(2));
        let mut even = log.subscribe(even);
        let publisher = thread::spawn({
            let log = log.clone();
            move || {
                for number in 1..=2 {
                    assert!(block_on(log.append(number.into())).is_ok());
                }
            }
        });
        assert_eq!(receive(&mut even), Some(2));
        publisher.join().unwrap();
    });
}
