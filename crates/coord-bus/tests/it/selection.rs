//! Subscribers that do not want everything: who is woken, who pays, and what a panic does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use coord_bus::{Log, Overflow, SubscribeOptions, Subscriber, TryReceiveError};

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn append(log: &Log<u64>, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        assert!(log.try_append(number.into()).is_ok(), "there is room");
    }
}

/// Asks for the next event, with a waker.
fn poll(subscriber: &mut Subscriber<u64>, wakes: &Arc<Wakes>) -> Poll<Option<u64>> {
    let waker = Waker::from(Arc::clone(wakes));
    let next = pin!(subscriber.recv()).poll(&mut Context::from_waker(&waker));
    next.map(|received| received.map(|number| *number))
}

fn hundreds(overflow: Overflow) -> SubscribeOptions<u64> {
    SubscribeOptions::from(overflow).filter(|number: &u64| number.is_multiple_of(100))
}

const ALL: [Overflow; 4] = [
    Overflow::Block,
    Overflow::DropOldest,
    Overflow::DropNewest,
    Overflow::Latest,
];

#[test]
fn only_an_event_that_passes_wakes() {
    for overflow in ALL {
        let (log, wakes) = (Log::new("numbers", 1024), Arc::new(Wakes::default()));
        let mut subscriber = log.subscribe(hundreds(overflow));
        assert_eq!(poll(&mut subscriber, &wakes), Poll::Pending);
        append(&log, 1..=99);
        assert_eq!(wakes.count(), 0, "{overflow:?}");
        append(&log, [100]);
        assert_eq!(wakes.count(), 1, "{overflow:?}");
        append(&log, 101..=200);
        assert_eq!(wakes.count(), 1, "it has been woken and has not asked");
        let expected = match overflow {
            Overflow::Latest => 200,
            _ => 100,
        };
        assert_eq!(poll(&mut subscriber, &wakes), Poll::Ready(Some(expected)));
    }
}

#[test]
fn a_sleeper_that_lets_nothing_through_holds_nobody_up_and_keeps_nothing() {
    for overflow in ALL {
        let wakes = Arc::new(Wakes::default());
        let alive = Arc::new(());
        let log: Log<Arc<()>> = Log::new("events", 4);
        let mut none = log.subscribe(SubscribeOptions::from(overflow).filter(|_| false));
        let waker = Waker::from(Arc::clone(&wakes));
        for _ in 0..1000 {
            let received = pin!(none.recv()).poll(&mut Context::from_waker(&waker));
            assert!(received.is_pending());
            for _ in 0..3 {
                assert!(
                    log.try_append(Arc::clone(&alive).into()).is_ok(),
                    "{overflow:?}"
                );
            }
            assert_eq!(Arc::strong_count(&alive), 1, "{overflow:?}");
        }
        assert_eq!(wakes.count(), 0);
        let ledger = none.ledger();
        assert!(ledger.is_balanced(), "{ledger:?}");
        assert_eq!((ledger.filtered, ledger.in_flight), (3000, 0));
    }
}

#[test]
fn of_two_wakers_the_last_one_is_woken() {
    let log = Log::new("numbers", 16);
    let (first, second) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
    let mut subscriber = log.subscribe(hundreds(Overflow::Block));
    assert_eq!(poll(&mut subscriber, &first), Poll::Pending);
    append(&log, [1]);
    assert_eq!(poll(&mut subscriber, &second), Poll::Pending);
    append(&log, [2, 100]);
    assert_eq!(second.count(), 1);
    assert_eq!(poll(&mut subscriber, &second), Poll::Ready(Some(100)));
}

#[test]
fn closing_wakes_who_filters() {
    for overflow in ALL {
        let (log, wakes) = (Log::new("numbers", 16), Arc::new(Wakes::default()));
        let mut subscriber = log.subscribe(hundreds(overflow));
        assert_eq!(poll(&mut subscriber, &wakes), Poll::Pending);
        append(&log, [1]);
        log.close();
        assert_eq!(wakes.count(), 1);
        assert_eq!(poll(&mut subscriber, &wakes), Poll::Ready(None));
    }
}

#[test]
fn a_panic_of_a_filter_goes_on_in_who_receives() {
    let (log, wakes) = (Log::new("numbers", 16), Arc::new(Wakes::default()));
    let options = SubscribeOptions::new().filter(|number: &u64| {
        assert!(*number != 13, "unlucky");
        true
    });
    let mut subscriber = log.subscribe(options);
    assert_eq!(poll(&mut subscriber, &wakes), Poll::Pending);
    // Who publishes asks the filter, and is none the worse for it.
    append(&log, [13]);
    assert_eq!(wakes.count(), 1);
    append(&log, [14]);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        subscriber.try_recv().map(|number| *number)
    }));
    assert!(panic.is_err());
    assert_eq!(subscriber.try_recv().map(|number| *number), Ok(14));
    let ledger = subscriber.ledger();
    assert_eq!(
        (ledger.delivered, ledger.filtered, ledger.in_flight),
        (1, 1, 0)
    );
}

#[test]
fn a_panic_of_a_key_goes_on_in_who_receives() {
    let log = Log::new("numbers", 4);
    let options = SubscribeOptions::new().latest_by(8, |number: &u64| {
        assert!(*number != 13, "unlucky");
        *number % 2
    });
    let mut subscriber = log.subscribe(options);
    // Far beyond the capacity: who publishes reads for it.
    append(&log, 1..=20);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        subscriber.try_recv().map(|number| *number)
    }));
    assert!(panic.is_err());
    assert_eq!(subscriber.try_recv().map(|number| *number), Ok(19));
    assert_eq!(subscriber.try_recv().map(|number| *number), Ok(20));
    let ledger = subscriber.ledger();
    assert!(ledger.is_balanced(), "{ledger:?}");
    assert_eq!(
        (ledger.delivered, ledger.filtered, ledger.conflated),
        (2, 1, 17)
    );
}

/// An event of which a copy panics when it is dropped, if it is the thirteenth.
struct Fragile {
    number: u64,
    is_copy: bool,
    alive: Arc<()>,
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        Self {
            number: self.number,
            is_copy: true,
            alive: Arc::clone(&self.alive),
        }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.is_copy || self.number != 13, "fragile");
    }
}

#[test]
fn a_panic_of_an_event_that_is_dropped_for_a_newer_one_leaves_all_in_order() {
    let log = Log::new("fragile", 4);
    let options = SubscribeOptions::new().latest_by(8, |_: &Fragile| 0);
    let mut subscriber = log.subscribe(options);
    let alive = Arc::new(());
    let mut panics = 0;
    for number in 1..=1_000 {
        let event = Fragile {
            number,
            is_copy: false,
            alive: Arc::clone(&alive),
        };
        let appended = catch_unwind(AssertUnwindSafe(|| log.try_append(event.into()).is_ok()));
        panics += usize::from(appended.is_err());
        assert!(appended.unwrap_or(true), "nobody is held up");
        assert!(Arc::strong_count(&alive) < 20, "what is kept has a bound");
    }
    assert_eq!(panics, 1);
    assert_eq!(subscriber.try_recv().map(|event| event.number), Ok(1_000));
    let ledger = subscriber.ledger();
    assert!(ledger.is_balanced(), "{ledger:?}");
    assert_eq!((ledger.delivered, ledger.conflated), (1, 999));
}

/// In a thread of its own: a deadlock would take this one with it.
fn in_a_thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(run()));
    let result = result.recv_timeout(Duration::from_secs(60));
    result.expect("it waits for itself, or panicked")
}

#[test]
fn a_filter_and_a_key_may_publish_to_their_own_topic() {
    let received = in_a_thread(|| {
        let log: Log<u64> = Log::new("numbers", 4);
        let (inner, wakes) = (log.clone(), Arc::new(Wakes::default()));
        let said = Arc::new(Mutex::new(Vec::new()));
        let echo = move |number: &u64| {
            if *number < 100 {
                let accepted = inner.try_append((*number + 100).into()).is_ok();
                said.lock().unwrap().push((*number, accepted));
            }
            *number
        };
        let filter = echo.clone();
        let mut filtered = log.subscribe(
            SubscribeOptions::from(Overflow::DropOldest).filter(move |number| filter(number) > 0),
        );
        let mut keyed = log.subscribe(SubscribeOptions::new().latest_by(1000, echo));
        assert_eq!(poll(&mut filtered, &wakes), Poll::Pending);
        assert_eq!(poll(&mut keyed, &wakes), Poll::Pending);
        for number in 1..=50 {
            assert!(log.try_append(number.into()).is_ok());
        }
        let mut received = 0;
        while keyed.try_recv().is_ok() {
            received += 1;
        }
        while filtered.try_recv().is_ok() {}
        assert!(log.stats().ledger.is_balanced());
        received
    });
    assert!(received >= 50, "{received}");
}

#[test]
fn one_that_goes_while_a_publisher_reads_for_it_leaves_nothing_behind() {
    let alive = Arc::new(());
    let log: Log<Arc<()>> = Log::new("events", 4);
    let (entered, enter) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let left = Mutex::new(left);
    let options = SubscribeOptions::new().filter(move |_: &Arc<()>| {
        let _ = entered.send(());
        let _ = left.lock().unwrap().recv();
        true
    });
    let mut subscriber = log.subscribe(options);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    assert!(
        pin!(subscriber.recv())
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    let publisher = thread::spawn({
        let (log, event) = (log.clone(), Arc::clone(&alive));
        move || assert!(log.try_append(event.into()).is_ok())
    });
    enter.recv_timeout(Duration::from_secs(60)).unwrap();
    drop(subscriber);
    drop(leave);
    publisher.join().unwrap();
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(!log.has_subscribers());
    assert!(log.stats().ledger.is_balanced());
}

#[test]
fn a_key_that_is_busy_keeps_no_other_from_its_turn() {
    let log = Log::new("numbers", 1024);
    let options = SubscribeOptions::new().latest_by(3, |number: &u64| number % 3);
    let mut latest = log.subscribe(options);
    append(&log, [1, 2, 3]);
    let mut keys = Vec::new();
    for round in 1..=30 {
        // All three change before each is received.
        append(&log, [3 * round + 1, 3 * round + 2, 3 * round + 3]);
        keys.push(*latest.try_recv().unwrap() % 3);
    }
    assert!(keys.chunks(3).all(|turn| turn == [1, 2, 0]), "{keys:?}");
}

#[test]
fn try_recv_finds_what_was_published_before() {
    for overflow in ALL {
        let log = Log::new("numbers", 1024);
        let mut subscriber = log.subscribe(hundreds(overflow));
        for hundred in 1..=10 {
            assert_eq!(subscriber.try_recv().err(), Some(TryReceiveError::Empty));
            append(&log, hundred * 100 - 99..=hundred * 100);
            assert!(
                subscriber
                    .try_recv()
                    .is_ok_and(|number| *number == hundred * 100)
            );
        }
    }
}
