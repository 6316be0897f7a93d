//! Subscribers of every kind at once on several threads, coming, going and closing at random while
//! several publish: each gets what its kind promises, and every event is accounted for.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::{Ledger, Log, Overflow, SubscribeOptions, Subscriber, time};
use tokio::task::JoinSet;

const PUBLISHERS: usize = 3;
const RETAIN: usize = 10;
// Miri takes its time.
const EACH: u64 = if cfg!(miri) { 8 } else { 1_500 };

/// Of the real clock: many times what it takes, so only who waits for ever gets there.
const PATIENCE: Duration = Duration::from_secs(if cfg!(miri) { 3600 } else { 60 });

#[derive(Clone)]
struct Event {
    publisher: usize,
    /// Which of this publisher's events, from 1.
    number: u64,
    /// Counts the events that are alive.
    _alive: Arc<()>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain(Overflow),
    /// To every third event of each publisher.
    Filtered(Overflow),
    /// To the newest of each publisher, in room for so many.
    ByPublisher(usize),
}

const KINDS: [Kind; 10] = [
    Kind::Plain(Overflow::Block),
    Kind::Plain(Overflow::DropOldest),
    Kind::Plain(Overflow::DropNewest),
    Kind::Plain(Overflow::Latest),
    Kind::Filtered(Overflow::Block),
    Kind::Filtered(Overflow::DropOldest),
    Kind::Filtered(Overflow::DropNewest),
    Kind::Filtered(Overflow::Latest),
    Kind::ByPublisher(PUBLISHERS),
    Kind::ByPublisher(PUBLISHERS - 1),
];

impl Kind {
    fn options(self) -> SubscribeOptions<Event> {
        match self {
            Self::Plain(overflow) => overflow.into(),
            Self::Filtered(overflow) => SubscribeOptions::from(overflow)
                .filter(|event: &Event| event.number.is_multiple_of(3)),
            Self::ByPublisher(keys) => {
                SubscribeOptions::new().latest_by(keys, |event: &Event| event.publisher)
            }
        }
    }

    fn loses_nothing(self) -> bool {
        matches!(
            self,
            Self::Plain(Overflow::Block) | Self::Filtered(Overflow::Block)
        )
    }
}

/// What one subscriber has got.
struct Account {
    kind: Kind,
    subscriber: Subscriber<Event>,
    sequence: Option<u64>,
    last: [u64; PUBLISHERS],
    received: u64,
}

impl Account {
    fn open(log: &Log<Event>, kind: Kind) -> Self {
        Self {
            kind,
            subscriber: log.subscribe(kind.options()),
            sequence: None,
            last: [0; PUBLISHERS],
            received: 0,
        }
    }

    /// Receives one event, and checks that it comes in its place. Whether there was one.
    async fn receive(&mut self) -> bool {
        let Some(event) = self.subscriber.recv().await else {
            return false;
        };
        let last = &mut self.last[event.publisher];
        assert!(event.number > *last, "{:?}: out of order", self.kind);
        *last = event.number;
        let sequence = event.meta().sequence();
        match self.kind {
            Kind::Plain(_) => {
                let expected = self.sequence.map(|previous| previous + 1 + event.lag());
                assert_eq!(expected.unwrap_or(sequence), sequence, "{:?}", self.kind);
            }
            Kind::Filtered(_) => assert!(event.number.is_multiple_of(3)),
            Kind::ByPublisher(_) => {}
        }
        self.sequence = Some(sequence);
        self.received += 1;
        true
    }

    /// The ledger of who has received everything: it says what was counted here.
    fn settle(&self) -> Ledger {
        let (kind, ledger) = (self.kind, self.subscriber.ledger());
        assert!(ledger.is_balanced(), "{kind:?}: {ledger:?}");
        assert_eq!(ledger.in_flight, 0, "{kind:?}: {ledger:?}");
        assert_eq!(ledger.delivered, self.received, "{kind:?}: {ledger:?}");
        if kind.loses_nothing() {
            let lost = ledger.dropped.total() + ledger.conflated;
            assert_eq!(lost, 0, "{kind:?}: {ledger:?}");
        }
        ledger
    }
}

/// Publishes; how many events it gave up while it waited.
async fn publish(log: Log<Event>, publisher: usize, alive: Arc<()>, seed: u64) -> u64 {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut given_up = 0;
    for number in 1..=EACH {
        let event = Event {
            publisher,
            number,
            _alive: Arc::clone(&alive),
        };
        if chance.u8(..) < 8 {
            tokio::select! {
                biased;
                published = log.append(event.into()) => assert!(published.is_ok()),
                () = tokio::task::yield_now() => given_up += 1,
            }
        } else {
            assert!(log.append(event.into()).await.is_ok());
        }
    }
    given_up
}

/// Receives from before the first event to the end. How many that were, and of how many.
async fn stay(mut account: Account) -> (u64, u64) {
    while account.receive().await {}
    (account.received, account.settle().published)
}

/// Subscribes for a while, again and again, and goes at once, or closes and receives what is left.
/// How many events it received.
async fn come_and_go(log: Log<Event>, kind: Kind, seed: u64) -> u64 {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut received = 0;
    loop {
        let mut account = Account::open(&log, kind);
        let mut is_open = true;
        // At times more than are retained: or it would never notice the end.
        for _ in 0..chance.u64(..2 * RETAIN as u64 + EACH / 8) {
            is_open = account.receive().await;
            if !is_open {
                break;
            }
            if chance.u8(..) < 4 {
                tokio::task::yield_now().await;
            }
        }
        if is_open && chance.bool() {
            account.subscriber.close();
            while account.receive().await {}
            account.settle();
        }
        received += account.received;
        if !is_open {
            return received;
        }
        tokio::task::yield_now().await;
    }
}

async fn storm(capacity: usize, retain: usize, seed: u64) {
    let alive = Arc::new(());
    let log = Log::retaining("storm", capacity, retain);
    let (mut staying, mut passing, mut publishers) =
        (JoinSet::new(), JoinSet::new(), JoinSet::new());
    for (kind, seed) in KINDS.into_iter().zip(seed..) {
        staying.spawn(stay(Account::open(&log, kind)));
        passing.spawn(come_and_go(log.clone(), kind, seed));
    }
    for (publisher, seed) in (0..PUBLISHERS).zip(seed + 100..) {
        publishers.spawn(publish(log.clone(), publisher, Arc::clone(&alive), seed));
    }
    let given_up: u64 = publishers.join_all().await.into_iter().sum();
    log.close();
    let published = PUBLISHERS as u64 * EACH - given_up;
    let mut received: u64 = passing.join_all().await.into_iter().sum();
    for (got, of) in staying.join_all().await {
        assert_eq!(of, published);
        received += got;
    }
    let stats = log.stats();
    assert_eq!(stats.published, published);
    assert!(stats.ledger.is_balanced(), "{stats:?}");
    assert_eq!(
        (stats.ledger.delivered, stats.ledger.in_flight),
        (received, 0)
    );
    drop(log);
    assert_eq!(Arc::strong_count(&alive), 1, "events are left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_kind_of_subscriber_gets_what_it_was_promised_in_a_storm() {
    let capacities: &[usize] = if cfg!(miri) {
        &[2]
    } else {
        &[1, 2, 8, 60, 1024]
    };
    let storms = async {
        for (capacity, seed) in capacities.iter().copied().zip((0..).step_by(1000)) {
            storm(capacity, 0, seed).await;
            storm(capacity, RETAIN, seed + 500).await;
        }
    };
    let ended = time::timeout(PATIENCE, storms).await;
    ended.expect("somebody was not woken");
}
