//! What a log keeps alive, counted by the events themselves as they are made and dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use coord_bus::{Log, Overflow, Subscriber, TryReceiveError};

/// The most events in one chunk.
const CHUNK: usize = 128;

/// Events, many more than a log holds; of which Miri takes its time.
const MANY: usize = if cfg!(miri) { 1_400 } else { 10_000 };

/// Counts the events that are alive.
#[derive(Clone, Default)]
struct Census(Arc<AtomicUsize>);

impl Census {
    fn alive(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn born(&self) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted(self.clone())
    }

    fn fill(&self, log: &Log<Counted>, events: usize) {
        for _ in 0..events {
            assert!(log.try_append(self.born().into()).is_ok(), "there is room");
        }
    }
}

/// An event that is counted while it lives.
struct Counted(Census);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Receives what there is. How many events that was.
fn drain(subscriber: &mut Subscriber<Counted>) -> usize {
    let mut received = 0;
    loop {
        match subscriber.try_recv() {
            Ok(_) => received += 1,
            Err(TryReceiveError::Empty) => return received,
            Err(closed) => panic!("{closed}"),
        }
    }
}

#[test]
fn a_subscriber_that_waited_for_a_full_chunk_lets_go_of_it() {
    let (census, log) = (Census::default(), Log::new("counted", 1024));
    let (mut quick, mut slow) = (
        log.subscribe(Overflow::Block),
        log.subscribe(Overflow::Block),
    );
    // The first chunk is of two: `quick` has read all of it and waits, `slow` has not begun.
    census.fill(&log, 2);
    assert_eq!(drain(&mut quick), 2);
    census.fill(&log, 1);
    assert_eq!((drain(&mut quick), drain(&mut slow)), (1, 3));
    assert_eq!(census.alive(), 0);
}

#[test]
fn a_subscriber_that_joined_within_a_chunk_and_waited_lets_go_of_it() {
    let (census, log) = (Census::default(), Log::new("counted", 1024));
    let mut early = log.subscribe(Overflow::Block);
    census.fill(&log, 1);
    let mut late = log.subscribe(Overflow::Block);
    assert_eq!(drain(&mut late), 0);
    census.fill(&log, 1);
    assert_eq!((drain(&mut early), drain(&mut late)), (2, 1));
    assert_eq!(census.alive(), 0);
}

#[test]
fn events_live_until_the_last_subscriber_asks_for_more() {
    let (census, log) = (Census::default(), Log::new("counted", 1024));
    let mut first = log.subscribe(Overflow::Block);
    let mut second = log.subscribe(Overflow::Block);
    census.fill(&log, 2);
    for _ in 0..2 {
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
    }
    assert_eq!(census.alive(), 2);
    assert_eq!(drain(&mut first), 0);
    assert_eq!(census.alive(), 2);
    assert_eq!(drain(&mut second), 0);
    assert_eq!(census.alive(), 0);
}

#[test]
fn an_idle_log_holds_nothing_however_much_has_gone_through_it() {
    let (census, log) = (Census::default(), Log::new("counted", 1024));
    let mut lossless = log.subscribe(Overflow::Block);
    let mut lossy = log.subscribe(Overflow::DropOldest);
    for burst in [1, 2, 3, 7, 8, 9, 127, 128, 129, 1000, 1, 1024] {
        census.fill(&log, burst);
        assert_eq!((drain(&mut lossless), drain(&mut lossy)), (burst, burst));
        assert_eq!(census.alive(), 0, "after {burst}");
    }
}

#[test]
fn what_nobody_listens_to_is_dropped_at_once() {
    let (census, log) = (Census::default(), Log::new("counted", 4));
    census.fill(&log, 100);
    assert_eq!(census.alive(), 0);
}

#[test]
fn who_goes_without_having_read_leaves_nothing_behind() {
    let (census, log) = (Census::default(), Log::new("counted", 1024));
    let mut half_way = log.subscribe(Overflow::Block);
    let unread = log.subscribe(Overflow::Block);
    let lossy = log.subscribe(Overflow::DropOldest);
    census.fill(&log, 1000);
    for _ in 0..500 {
        assert!(half_way.try_recv().is_ok());
    }
    drop((unread, lossy));
    assert!(census.alive() <= 500 + CHUNK);
    drop(half_way);
    assert_eq!(census.alive(), 0);
    let mut next = log.subscribe(Overflow::Block);
    census.fill(&log, 1);
    assert_eq!(drain(&mut next), 1);
}

#[test]
fn a_lossy_subscriber_that_never_reads_pins_its_capacity_and_a_chunk_at_most() {
    let (census, log) = (Census::default(), Log::new("counted", 1024));
    let mut lossy = log.subscribe(Overflow::DropOldest);
    let mut most = 0;
    for _ in 0..MANY {
        census.fill(&log, 1);
        most = most.max(census.alive());
    }
    assert!(most <= 1024 + CHUNK, "{most}");
    assert_eq!(drain(&mut lossy), 1024);
    assert_eq!(census.alive(), 0);
}

#[test]
fn a_lossy_subscriber_that_stops_within_a_chunk_pins_that_one_too() {
    let (census, log) = (Census::default(), Log::new("counted", 1024));
    let mut lossy = log.subscribe(Overflow::DropOldest);
    census.fill(&log, 1000);
    for _ in 0..500 {
        assert!(lossy.try_recv().is_ok());
    }
    let mut most = 0;
    for _ in 0..MANY {
        census.fill(&log, 1);
        most = most.max(census.alive());
    }
    assert!(most <= CHUNK + 1024 + CHUNK, "{most}");
}

#[test]
fn a_delivery_keeps_its_own_chunk_alive_and_no_other() {
    let (census, log) = (Census::default(), Log::new("counted", 1024));
    let mut subscriber = log.subscribe(Overflow::Block);
    census.fill(&log, 1000);
    for _ in 0..500 {
        assert!(subscriber.try_recv().is_ok());
    }
    let delivery = subscriber.try_recv().unwrap().into_delivery();
    let copy = delivery.clone();
    drop((subscriber, log, delivery));
    let alive = census.alive();
    assert!((1..=CHUNK).contains(&alive), "{alive}");
    assert_eq!(
        (copy.meta().sequence(), copy.meta().topic()),
        (501, "counted")
    );
    drop(copy);
    assert_eq!(census.alive(), 0);
}

#[test]
fn what_was_accepted_outlives_the_log_for_who_subscribed() {
    let (census, log) = (Census::default(), Log::new("counted", 1024));
    let mut subscriber = log.subscribe(Overflow::Block);
    census.fill(&log, 2);
    drop(log);
    for _ in 0..2 {
        assert!(subscriber.try_recv().is_ok());
    }
    assert_eq!(census.alive(), 2);
    assert_eq!(subscriber.try_recv().err(), Some(TryReceiveError::Closed));
    assert_eq!(census.alive(), 0);
}

#[test]
fn what_is_refused_comes_back_alive() {
    let (census, log) = (Census::default(), Log::new("counted", 1));
    let _subscriber = log.subscribe(Overflow::Block);
    census.fill(&log, 1);
    let Err((refused, _)) = log.try_append(census.born().into()) else {
        panic!("it is full");
    };
    assert_eq!(census.alive(), 2);
    drop(refused);
    assert_eq!(census.alive(), 1);
}

/// An event that, when it is dropped, asks the log that it was in.
struct Curious(Log<Curious>, mpsc::Sender<u64>);

impl Drop for Curious {
    fn drop(&mut self) {
        let published = self.0.stats().published;
        let _ = self.1.send(published);
    }
}

#[test]
fn an_event_may_use_its_log_when_it_is_dropped() {
    let (answers, answered) = mpsc::channel();
    // In a thread of its own: a deadlock would take this one with it.
    thread::spawn(move || {
        let log = Log::new("curious", 4);
        let curious = || Curious(log.clone(), answers.clone()).into();
        // Dropped where nobody listens, where it was read, as overflow, and with its subscriber.
        assert!(log.try_append(curious()).is_ok());
        let mut reader = log.subscribe(Overflow::Block);
        assert!(log.try_append(curious()).is_ok() && reader.try_recv().is_ok());
        assert!(reader.try_recv().is_err());
        drop(reader);
        let lossy = log.subscribe(Overflow::DropOldest);
        for _ in 0..10 {
            assert!(log.try_append(curious()).is_ok());
        }
        drop(lossy);
    });
    for _ in 0..12 {
        let answer = answered.recv_timeout(Duration::from_secs(60));
        assert!(answer.is_ok_and(|published| published <= 12));
    }
}
