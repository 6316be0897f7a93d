//! What the bus adds to its own log, and what a subscriber that never reads adds to the others.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use coord_bus::{
    Bus, BusExt, Event, LocalBus, Log, Overflow, PatternSubscriber, Publisher, SubscribeOptions,
    Subscriber, Topic,
};

use super::event::Small;
use super::peers::{CAPACITY, CoordBus, Peer};
use super::traffic::{Contender, Load, contender};
use crate::report::{Report, Row};

const EVENTS: u64 = 1_000_000;
const ROUNDS: usize = 25;

/// The log itself, without a bus.
struct Bare;

impl<E: Event + Clone> Peer<E> for Bare {
    const NAME: &'static str = "Log<E>";
    type Entrance = Log<E>;
    type Exit = Subscriber<E>;

    fn open(publishers: usize, subscribers: usize) -> (Vec<Log<E>>, Vec<Subscriber<E>>) {
        let log = Log::new("updates", CAPACITY);
        let subscribe = || log.subscribe(Overflow::Block);
        let exits = (0..subscribers).map(|_| subscribe()).collect();
        (vec![log; publishers], exits)
    }

    async fn publish(entrance: &Log<E>, ids: Range<u64>, make: impl Fn(u64) -> E + Send + Sync) {
        for id in ids {
            let appended = entrance.append(make(id).into()).await;
            assert!(appended.is_ok(), "the log is open");
        }
    }

    async fn receive(exit: Subscriber<E>, events: u64, read: impl FnMut(&E) + Send) {
        CoordBus::receive(exit, events, read).await;
    }
}

/// Who is beside the others, and never reads.
trait Sleeper: 'static {
    const NAME: &'static str;
    fn options<E: Event + Clone>() -> SubscribeOptions<E>;
}

macro_rules! sleepers {
    ($($sleeper:ident, $name:literal, $options:expr;)+) => {$(
        struct $sleeper;

        impl Sleeper for $sleeper {
            const NAME: &'static str = $name;

            fn options<E: Event + Clone>() -> SubscribeOptions<E> {
                $options
            }
        }
    )+};
}

sleepers! {
    Oldest, "DropOldest", Overflow::DropOldest.into();
    Newest, "DropNewest", Overflow::DropNewest.into();
    Latest, "Latest", Overflow::Latest.into();
    LatestByKey, "Latest by key", SubscribeOptions::new().latest_by(64, |_: &E| 0_u8);
}

/// The bus, with one more subscriber, which never reads.
struct Beside<S>(PhantomData<S>);

/// A publisher, and a subscriber that is kept from reading.
struct WithSleeper<E> {
    publisher: Publisher<E>,
    _sleeper: Subscriber<E>,
}

impl<E: Event + Clone, S: Sleeper> Peer<E> for Beside<S> {
    const NAME: &'static str = S::NAME;
    type Entrance = WithSleeper<E>;
    type Exit = Subscriber<E>;

    fn open(publishers: usize, subscribers: usize) -> (Vec<WithSleeper<E>>, Vec<Subscriber<E>>) {
        let bus: Arc<dyn Bus> = Arc::new(LocalBus::new());
        let topic = Topic::in_process("updates").capacity(CAPACITY);
        let entrance = || WithSleeper {
            publisher: bus.publisher(&topic).expect("the topic opens"),
            _sleeper: bus
                .subscribe_with(&topic, S::options::<E>())
                .expect("the topic opens"),
        };
        let subscriber = || bus.subscribe(&topic).expect("the topic opens");
        (
            (0..publishers).map(|_| entrance()).collect(),
            (0..subscribers).map(|_| subscriber()).collect(),
        )
    }

    async fn publish(
        entrance: &WithSleeper<E>,
        ids: Range<u64>,
        make: impl Fn(u64) -> E + Send + Sync,
    ) {
        CoordBus::publish(&entrance.publisher, ids, make).await;
    }

    async fn receive(exit: Subscriber<E>, events: u64, read: impl FnMut(&E) + Send) {
        CoordBus::receive(exit, events, read).await;
    }
}

/// A topic among ten thousand, on a bus with a thousand patterns.
struct InACrowd;

/// A publisher, and what is on the bus besides.
struct WithCrowd<E> {
    publisher: Publisher<E>,
    _crowd: Arc<Crowd>,
}

struct Crowd {
    _topics: Vec<Publisher<u64>>,
    _patterns: Vec<PatternSubscriber>,
}

impl<E: Event + Clone> Peer<E> for InACrowd {
    const NAME: &'static str = "10,000 topics, 1,000 patterns";
    type Entrance = WithCrowd<E>;
    type Exit = Subscriber<E>;

    fn open(publishers: usize, subscribers: usize) -> (Vec<WithCrowd<E>>, Vec<Subscriber<E>>) {
        let bus: Arc<dyn Bus> = Arc::new(LocalBus::new());
        let others = (0..10_000).map(|number| {
            let name = format!("crowd.{}.{number}", number % 1000);
            let topic = Topic::<u64>::in_process("crowd").with_name(name);
            bus.publisher(&topic).expect("the topic opens")
        });
        let _topics = others.collect();
        let patterns = (0..1000).map(|number| {
            let subscribed = bus.subscribe_pattern(format!("crowd.{number}.>"), Overflow::Block);
            subscribed.expect("it is a pattern")
        });
        let crowd = Arc::new(Crowd {
            _topics,
            _patterns: patterns.collect(),
        });
        let topic = Topic::in_process("updates").capacity(CAPACITY);
        let entrance = || WithCrowd {
            publisher: bus.publisher(&topic).expect("the topic opens"),
            _crowd: Arc::clone(&crowd),
        };
        let subscriber = || bus.subscribe(&topic).expect("the topic opens");
        (
            (0..publishers).map(|_| entrance()).collect(),
            (0..subscribers).map(|_| subscriber()).collect(),
        )
    }

    async fn publish(
        entrance: &WithCrowd<E>,
        ids: Range<u64>,
        make: impl Fn(u64) -> E + Send + Sync,
    ) {
        CoordBus::publish(&entrance.publisher, ids, make).await;
    }

    async fn receive(exit: Subscriber<E>, events: u64, read: impl FnMut(&E) + Send) {
        CoordBus::receive(exit, events, read).await;
    }
}

pub(crate) fn run() {
    let handles = [
        contender::<Bare, Small>(),
        contender::<CoordBus, Small>().called("through Arc<dyn Bus>"),
    ];
    let difference = table("the bus over its log", &handles, EVENTS);
    println!("\nA handle adds {difference:.1} ns to an event; aim: at most 3 ns.");

    let sleepers = [
        contender::<CoordBus, Small>().called("alone"),
        contender::<Beside<Oldest>, Small>(),
        contender::<Beside<Latest>, Small>(),
        contender::<Beside<Newest>, Small>(),
        contender::<Beside<LatestByKey>, Small>(),
    ];
    table("beside a subscriber that never reads", &sleepers, EVENTS);

    let crowds = [
        contender::<CoordBus, Small>().called("a bus of one topic"),
        contender::<InACrowd, Small>(),
    ];
    // Enough that what a crowd leaves in the processor's caches does not count.
    table("among topics and patterns", &crowds, 10 * EVENTS);
}

/// Prints the table. What the second contender adds on one thread with one subscriber, in ns.
fn table(name: &str, contenders: &[Contender], events: u64) -> f64 {
    let unit = "ns per delivery, 32-byte events, capacity 1024";
    let report = Report::new(name, unit, contenders.iter().map(|each| each.name));
    let mut added = Vec::new();
    for (workers, threads) in [(1, "current thread"), (2, "two workers")] {
        for (subscribers, named) in [(1, "1 subscriber"), (4, "4 subscribers")] {
            let load = Load {
                publishers: 1,
                subscribers,
                events,
            };
            let name = format!("{named}, {threads}");
            let measure = |contender: usize| contenders[contender].measure(load, workers);
            let row = Row::rounds(name, contenders.len(), ROUNDS, measure);
            report.row(&row);
            added.push(row.medians()[1] - row.medians()[0]);
        }
    }
    added[0]
}
