//! Ends, against what is published meanwhile: of the topic, of a subscriber, of the last handle.

use std::sync::Arc;

use coord_bus::{Log, Overflow, Refusal, SubscribeOptions};
use loom::future::block_on;
use loom::thread;

use crate::{OVERFLOWS, drain, kinds, model, poll, publish, receive};

#[test]
fn what_is_accepted_before_the_end_is_delivered_and_the_rest_comes_back() {
    model(|| {
        let log = Log::new("numbers", 2);
        let mut subscriber = log.subscribe(Overflow::Block);
        let publisher = thread::spawn({
            let log = log.clone();
            move || {
                let accept = |number: &u64| match log.try_append((*number).into()) {
                    Ok(()) => true,
                    Err((envelope, refusal)) => {
                        assert_eq!(envelope.into_event(), *number);
                        assert!(matches!(refusal, Refusal::Closed));
                        false
                    }
                };
                [1, 2].into_iter().filter(accept).collect::<Vec<u64>>()
            }
        });
        log.close();
        let mut numbers = Vec::new();
        while let Some(number) = receive(&mut subscriber) {
            numbers.push(number);
        }
        assert_eq!(numbers, publisher.join().unwrap());
    });
}

#[test]
fn who_waits_for_room_is_refused_at_the_end() {
    model(|| {
        let log = Log::new("numbers", 1);
        let mut subscriber = log.subscribe(Overflow::Block);
        publish(&log, 1);
        let publisher = thread::spawn({
            let log = log.clone();
            move || block_on(log.append(2.into())).map_err(|(envelope, _)| envelope.into_event())
        });
        log.close();
        assert_eq!(publisher.join().unwrap(), Err(2));
        assert_eq!(drain(&mut subscriber), (vec![1], true));
    });
}

#[test]
fn who_sleeps_is_woken_when_the_last_handle_goes() {
    for kind in 0..kinds().len() {
        model(move || {
            let log = Log::new("numbers", 2);
            let mut subscriber = log.subscribe(kinds()[kind].clone());
            let publisher = thread::spawn(move || publish(&log, 2));
            assert_eq!(receive(&mut subscriber), Some(2));
            assert_eq!(receive(&mut subscriber), None);
            publisher.join().unwrap();
        });
    }
}

/// How a subscriber ends that has one event, and is closed while two more are published: having
/// received that one, or not.
fn close_while_published(options: SubscribeOptions<u64>, capacity: usize, has_received: bool) {
    let log = Log::new("numbers", capacity);
    let mut subscriber = log.subscribe(options);
    publish(&log, 2);
    let mut numbers = Vec::new();
    if has_received {
        numbers.extend(receive(&mut subscriber));
    }
    let publisher = thread::spawn({
        let log = log.clone();
        move || [4, 6].iter().for_each(|number| publish(&log, *number))
    });
    subscriber.close();
    let (rest, is_closed) = drain(&mut subscriber);
    publisher.join().expect("it went well");
    numbers.extend(rest);
    assert!(is_closed && numbers.is_sorted(), "{numbers:?}");
    let ledger = subscriber.ledger();
    assert!(ledger.is_balanced() && ledger.in_flight == 0, "{ledger:?}");
    assert_eq!(ledger.delivered, numbers.len() as u64);
    assert_eq!(numbers.last(), Some(&(2 * ledger.published)));
}

#[test]
fn a_closed_subscriber_gets_what_was_published_before_and_then_the_end() {
    for kind in 0..kinds().len() {
        // A chunk for each event, and one for all.
        for capacity in [3, 12] {
            model(move || close_while_published(kinds()[kind].clone(), capacity, false));
            model(move || close_while_published(kinds()[kind].clone(), capacity, true));
        }
    }
}

#[test]
fn who_goes_while_something_is_published_leaves_nothing_behind() {
    for kind in 0..kinds().len() {
        model(move || {
            let alive = Arc::new(());
            let log = Log::new("counted", 1);
            let mut subscriber = log.subscribe(counted(kind));
            assert!(poll(subscriber.recv()).is_pending());
            let publisher = thread::spawn({
                let (log, alive) = (log.clone(), Arc::clone(&alive));
                move || assert!(log.try_append(alive.into()).is_ok())
            });
            drop(subscriber);
            publisher.join().unwrap();
            assert_eq!(Arc::strong_count(&alive), 1, "an event is left");
            let stats = log.stats();
            assert_eq!((stats.published, stats.depth), (1, 0));
            assert!(stats.ledger.is_balanced() && stats.ledger.in_flight == 0);
        });
    }
}

/// As [`kinds`], to events that are counted.
fn counted(kind: usize) -> SubscribeOptions<Arc<()>> {
    match kind {
        4 => SubscribeOptions::new().filter(|_| false),
        5 => SubscribeOptions::new().latest_by(2, |_| ()),
        _ => OVERFLOWS[kind].into(),
    }
}
