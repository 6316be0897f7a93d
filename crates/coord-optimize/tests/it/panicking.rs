//! A closure of the user's that panics: the item that it had is accounted for, and the others come.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use coord_bus::{Bus, BusExt, LocalBus, Topic};
use coord_optimize::{EventStreamOptimizer, Ledger, LedgerHandle, OptimizeExt, Settings};
use tokio_stream::{Stream, StreamExt, iter};

use crate::stage::{ms, run, timetable};

const COUNT: u64 = 9;

/// Panics when it is asked for the third time.
fn third() -> impl Fn() {
    let asked = AtomicUsize::new(0);
    move || {
        let before = asked.fetch_add(1, Ordering::Relaxed);
        assert!(before != 2, "the user's");
    }
}

/// Polls a stream to its end, past its panics: how many there were, and the ledger after each poll, which
/// is to be balanced.
async fn drive<S: Stream>(stream: S, handle: &LedgerHandle) -> (usize, Ledger) {
    let mut stream = pin!(stream);
    let mut panics = 0;
    loop {
        let polled = poll_fn(|cx| {
            let poll = AssertUnwindSafe(|| stream.as_mut().poll_next(cx));
            let polled = match catch_unwind(poll) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(item)) => Some(item.is_some()),
                Err(_) => None,
            };
            let ledger = handle.ledger();
            assert!(ledger.is_balanced(), "{ledger:?}");
            Poll::Ready(polled)
        });
        match polled.await {
            Some(true) => {}
            Some(false) => return (panics, handle.ledger()),
            None => panics += 1,
        }
        assert!(panics < 10, "nothing else comes");
    }
}

/// Checks that one panic has cost one item.
macro_rules! costs_one {
    ($($name:literal: |$source:ident, $third:ident| $make:expr;)*) => {$({
        let ($source, $third) = (iter(0..COUNT), third());
        let mut stream = $make;
        let handle = stream.ledger_handle();
        let (panics, ledger) = run(drive(stream, &handle));
        assert_eq!(panics, 1, $name);
        assert_eq!((ledger.received, ledger.held), (COUNT, 0), $name);
        assert_eq!(ledger.dropped.discarded, 1, "{}: {ledger:?}", $name);
    })*};
}

/// What a closure is asked of, after it was asked.
fn asked<T>(third: &impl Fn(), answer: T) -> T {
    third();
    answer
}

#[test]
fn a_closure_that_panics_costs_the_item_that_it_had() {
    costs_one! {
        "merge": |s, third| s.conflate(|item| item, |_, _| third());
        "key": |s, third| s.coalesce_by_key(|item| asked(&third, *item), |_, _| ()).at_most(4);
        "merge by key": |s, third| s.coalesce_by_key(|item| item % 2, |_, _| third());
        "distinct": |s, third| s.distinct_by(4, |item| asked(&third, *item));
        "changed": |s, third| s.distinct_until_changed_by(|item| asked(&third, *item));
        "level": |s, third| s.priority(4, |item| asked(&third, *item));
        "age": |s, third| s.expire_after(ms(1), |_| asked(&third, Duration::ZERO));
    }
}

#[test]
fn the_next_item_is_the_seed_where_that_of_the_first_panics() {
    let seeds = Cell::new(0);
    let seed = |item: u64| {
        seeds.set(seeds.get() + 1);
        assert!(item != 0, "the user's");
        item
    };
    let mut states = iter(0..COUNT).conflate(seed, |_, _| ());
    let handle = states.ledger_handle();
    let (panics, ledger) = run(drive(states, &handle));
    assert_eq!((panics, seeds.get()), (1, 2));
    assert_eq!((ledger.given_out, ledger.dropped.discarded), (1, 1));
}

/// Panics when it is cloned, if it is the fourth.
#[derive(Debug)]
struct Fragile(u64);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(self.0 != 3, "the user's");
        Self(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_cannot_be_cloned_costs_what_had_left_its_window() {
    let items = || iter((0..COUNT).map(Fragile));
    let mut windows = items().window_count(4, 1);
    let handle = windows.ledger_handle();
    let (panics, ledger) = drive(windows, &handle).await;
    // It is cloned for each window but its last: three, each of which loses its oldest.
    assert_eq!((panics, ledger.dropped.discarded), (3, 3));
    assert_eq!((ledger.received, ledger.given_out), (COUNT, COUNT - 3));

    // At 2 ms five items, and at 8 ms one: the first window, until 4 ms, is the only one that lends them.
    let source = timetable(vec![2, 0, 0, 0, 0, 6]).map(|item| Fragile(item as u64));
    let mut windows = source.window_time(ms(4), ms(1), 1000);
    let handle = windows.ledger_handle();
    let (panics, ledger) = drive(windows, &handle).await;
    assert_eq!((panics, ledger.dropped.discarded), (1, 0));
    assert_eq!((ledger.received, ledger.given_out), (6, 6));
}

#[test]
fn a_key_of_a_group_that_panics_costs_its_item() {
    let third = third();
    let mut groups = iter(0..COUNT).group_by(|item| asked(&third, item % 2));
    let handle = groups.ledger_handle();
    run(async {
        let poll = poll_fn(|cx| {
            let poll = AssertUnwindSafe(|| Pin::new(&mut groups).poll_next(cx));
            Poll::Ready(catch_unwind(poll).is_err())
        });
        assert!(poll.await);
        let ledger = handle.ledger();
        assert!(ledger.is_balanced(), "{ledger:?}");
        assert_eq!((ledger.received, ledger.held), (3, 2));
        assert_eq!(ledger.dropped.discarded, 1);
        let (even, odd) = (groups.next().await.unwrap(), groups.next().await.unwrap());
        let read = (even.collect::<Vec<_>>().await, odd.collect().await);
        assert_eq!(read, (vec![0, 4, 6, 8], vec![1, 3, 5, 7]));
        assert!(groups.ledger().is_balanced());
    });
}

const NUMBERS: Topic<u64> = Topic::new("numbers");

#[test]
fn a_setting_that_panics_costs_its_event() {
    let settings: [fn() -> Settings<u64>; 4] = [
        || {
            let third = third();
            Settings::new().relevant(move |_| asked(&third, true))
        },
        || {
            let third = third();
            Settings::new().max_age(ms(1), move |_| asked(&third, Duration::ZERO))
        },
        || {
            let third = third();
            Settings::new().merge_by(move |_| asked(&third, "all"))
        },
        || {
            let third = third();
            let settings = Settings::new().debounce(ms(1));
            settings.relevant(move |_| asked(&third, true))
        },
    ];
    for make in settings {
        let bus = Arc::new(LocalBus::new());
        let optimizer = EventStreamOptimizer::new(bus.clone());
        optimizer.configure(&NUMBERS, make()).unwrap();
        let mut batches = optimizer.subscribe(&NUMBERS).unwrap();
        let publisher = bus.publisher(&NUMBERS).unwrap();
        for number in 0..COUNT {
            publisher.try_publish(number).unwrap();
        }
        bus.close();
        let handle = batches.ledger_handle();
        let (panics, ledger) = run(drive(batches, &handle));
        assert_eq!((panics, ledger.received), (1, COUNT));
        assert_eq!((ledger.held, ledger.dropped.discarded), (0, 1));
        assert_eq!(optimizer.statistics()[0].ledger, ledger);
    }
}
