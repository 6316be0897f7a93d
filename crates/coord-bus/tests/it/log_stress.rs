//! Many publishers and subscribers of one log on several threads, coming and going.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use coord_bus::{Log, Overflow, Subscriber, TryReceiveError, time};
use tokio::task::JoinSet;

const PUBLISHERS: usize = 4;
// Miri takes its time.
const EACH: u64 = if cfg!(miri) { 15 } else { 8_000 };

/// Of the real clock: many times what it takes, so only who waits for ever gets there.
const PATIENCE: Duration = Duration::from_secs(if cfg!(miri) { 3600 } else { 60 });

struct Event {
    publisher: usize,
    /// Which of this publisher's events, from 1.
    number: u64,
    /// Counts the events that are alive.
    _alive: Arc<()>,
}

/// Publishes its events in each of the ways that there are. How many it gave up.
async fn publish(log: Log<Event>, publisher: usize, alive: Arc<()>, seed: u64) -> u64 {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut given_up = 0;
    for number in 1..=EACH {
        let event = Event {
            publisher,
            number,
            _alive: Arc::clone(&alive),
        };
        match chance.u8(..) {
            0..16 => {
                // A publish that is dropped while it waits, perhaps with room promised to it.
                tokio::select! {
                    biased;
                    published = log.append(event.into()) => assert!(published.is_ok()),
                    () = tokio::task::yield_now() => given_up += 1,
                }
            }
            16..64 => {
                if let Err((envelope, _)) = log.try_append(event.into()) {
                    assert!(log.append(envelope).await.is_ok());
                }
            }
            _ => assert!(log.append(event.into()).await.is_ok()),
        }
    }
    given_up
}

/// What one subscriber has got.
#[derive(Default)]
struct Account {
    sequence: Option<u64>,
    last: [u64; PUBLISHERS],
    received: u64,
    lost: u64,
}

impl Account {
    /// Receives one event: with no gap before it that is not told of, and in its publisher's
    /// order. Whether there was one.
    async fn receive(&mut self, subscriber: &mut Subscriber<Event>) -> bool {
        let Some(event) = subscriber.recv().await else {
            return false;
        };
        let sequence = event.meta().sequence();
        if let Some(previous) = self.sequence {
            assert_eq!(sequence, previous + 1 + event.lag());
        }
        let last = &mut self.last[event.publisher];
        assert!(event.number > *last, "out of order, or twice");
        *last = event.number;
        self.sequence = Some(sequence);
        self.received += 1;
        self.lost += event.lag();
        true
    }
}

/// Receives from before the first event to the end. How many it received, and how many it lost.
async fn stay(mut subscriber: Subscriber<Event>) -> (u64, u64) {
    let mut account = Account::default();
    while account.receive(&mut subscriber).await {}
    (account.received, account.lost)
}

/// Subscribes for a while, again and again, to the end.
async fn come_and_go(log: Log<Event>, overflow: Overflow, seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    loop {
        let mut subscriber = log.subscribe(overflow);
        let mut account = Account::default();
        for _ in 0..chance.u32(..2000) {
            if !account.receive(&mut subscriber).await {
                return;
            }
            if chance.u8(..) == 0 {
                tokio::task::yield_now().await;
            }
        }
        assert!(overflow == Overflow::DropOldest || account.lost == 0);
    }
}

async fn storm(capacity: usize, seed: u64) {
    let overflows = [Overflow::Block, Overflow::Block, Overflow::DropOldest];
    let alive = Arc::new(());
    let log = Log::new("storm", capacity);
    let (mut staying, mut passing, mut publishers) =
        (JoinSet::new(), JoinSet::new(), JoinSet::new());
    for (overflow, seed) in overflows.into_iter().zip(seed..) {
        let subscriber = log.subscribe(overflow);
        staying.spawn(async move { (overflow, stay(subscriber).await) });
        passing.spawn(come_and_go(log.clone(), overflow, seed));
    }
    for (publisher, seed) in (0..PUBLISHERS).zip(seed + 100..) {
        publishers.spawn(publish(log.clone(), publisher, Arc::clone(&alive), seed));
    }
    let given_up: u64 = publishers.join_all().await.into_iter().sum();
    log.close();
    passing.join_all().await;
    for (overflow, (received, lost)) in staying.join_all().await {
        assert_eq!(received + lost, PUBLISHERS as u64 * EACH - given_up);
        assert!(overflow == Overflow::DropOldest || lost == 0);
    }
    assert_eq!(Arc::strong_count(&alive), 1, "events are left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_lost_or_forgotten_in_a_storm() {
    let storms = async {
        for (capacity, seed) in [1, 2, 5, 16, 100, 1024]
            .into_iter()
            .zip((0..).step_by(1000))
        {
            storm(capacity, seed).await;
        }
    };
    let ended = time::timeout(PATIENCE, storms).await;
    ended.expect("somebody was not woken");
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Publishes 1, 2, … for a while, and each only once it was woken for it.
fn publish_when_woken(log: &Log<u64>, duration: Duration) {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let begin = Instant::now();
    for number in 1.. {
        let mut publish = log.append(number.into());
        while Pin::new(&mut publish)
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
        {
            let waiting = Instant::now();
            while !woken.0.swap(false, Ordering::Acquire) {
                assert!(waiting.elapsed() < PATIENCE, "it was not woken");
                thread::yield_now();
            }
        }
        if begin.elapsed() > duration {
            return;
        }
    }
}

#[test]
fn a_publisher_is_woken_however_close_to_its_falling_asleep_there_is_room() {
    let log = Log::new("ping-pong", 1);
    let mut subscriber = log.subscribe(Overflow::Block);
    // It never sleeps, so that all the time goes into the moment that counts.
    let reader = thread::spawn(move || {
        let mut next = 1;
        loop {
            match subscriber.try_recv() {
                Ok(number) => {
                    assert_eq!(*number, next);
                    next += 1;
                }
                Err(TryReceiveError::Empty) => thread::yield_now(),
                Err(TryReceiveError::Closed) => return,
            }
        }
    });
    publish_when_woken(
        &log,
        Duration::from_millis(if cfg!(miri) { 50 } else { 500 }),
    );
    drop(log);
    assert!(reader.join().is_ok());
}
