//! One publisher and many subscribers, lossless: the bus beside its peers.

mod prototype;

use std::sync::Arc;
use std::time::{Duration, Instant};

use coord_bus::{Bus, BusExt, LocalBus, Topic};
use tokio::task::JoinSet;

use crate::report::{Report, Row};
use crate::runtime;
use prototype::Prototype;

const CAPACITY: usize = 1024;
const DELIVERIES: u64 = 2_000_000;
const ROUNDS: usize = 9;

/// 32 bytes, with a part that has to be counted when it is cloned.
#[derive(Clone)]
struct Update {
    id: u64,
    value: u64,
    text: Arc<str>,
}

const UPDATES: Topic<Update> = Topic::in_process("updates").capacity(CAPACITY);

#[derive(Clone, Copy)]
struct Load {
    subscribers: usize,
    events: u64,
}

struct Source {
    text: Arc<str>,
}

impl Source {
    fn new() -> Self {
        Self {
            text: "some text that several events share".into(),
        }
    }

    fn event(&self, id: u64) -> Update {
        Update {
            id,
            value: id ^ 0x5555,
            text: Arc::clone(&self.text),
        }
    }
}

/// What every subscriber does with an event: enough that it is read, and no more.
fn read(update: &Update) -> u64 {
    update.id + update.value + update.text.len() as u64
}

fn expected(load: Load) -> u64 {
    let source = Source::new();
    (0..load.events).map(|id| read(&source.event(id))).sum()
}

/// Waits for every subscriber, and checks that each has read everything.
async fn finish(mut subscribers: JoinSet<u64>, load: Load, start: Instant) -> Duration {
    let mut sums = Vec::new();
    while let Some(sum) = subscribers.join_next().await {
        sums.push(sum.expect("a subscriber panicked"));
    }
    let elapsed = start.elapsed();
    assert_eq!(sums.len(), load.subscribers);
    let expected = expected(load);
    assert!(
        sums.iter().all(|sum| *sum == expected),
        "a subscriber lost events"
    );
    elapsed
}

async fn ours(load: Load) -> Duration {
    let bus: Arc<dyn Bus> = Arc::new(LocalBus::new());
    let mut subscribers = JoinSet::new();
    for _ in 0..load.subscribers {
        let mut updates = bus.subscribe(&UPDATES).expect("the topic opens");
        subscribers.spawn(async move {
            let mut sum = 0;
            for _ in 0..load.events {
                sum += read(&updates.recv().await.expect("the topic is open"));
            }
            sum
        });
    }
    let publisher = bus.publisher(&UPDATES).expect("the topic opens");
    let start = Instant::now();
    let source = Source::new();
    for id in 0..load.events {
        publisher
            .publish(source.event(id))
            .await
            .expect("the topic is open");
    }
    finish(subscribers, load, start).await
}

async fn prototype(load: Load) -> Duration {
    let log = Prototype::new();
    let mut subscribers = JoinSet::new();
    for _ in 0..load.subscribers {
        let mut updates = log.subscribe();
        subscribers.spawn(async move {
            let mut sum = 0;
            for _ in 0..load.events {
                sum += read(updates.recv().await);
            }
            sum
        });
    }
    let start = Instant::now();
    let source = Source::new();
    for id in 0..load.events {
        log.publish(source.event(id)).await;
    }
    finish(subscribers, load, start).await
}

async fn tokio_broadcast(load: Load) -> Duration {
    let (sender, _) = tokio::sync::broadcast::channel(CAPACITY);
    let mut subscribers = JoinSet::new();
    for _ in 0..load.subscribers {
        let mut updates = sender.subscribe();
        subscribers.spawn(async move {
            let mut sum = 0;
            for _ in 0..load.events {
                sum += read(&updates.recv().await.expect("nothing is lost"));
            }
            sum
        });
    }
    let start = Instant::now();
    let source = Source::new();
    for id in 0..load.events {
        // It has no way to wait for its receivers: it would lose events.
        while sender.len() >= CAPACITY {
            tokio::task::yield_now().await;
        }
        let _ = sender.send(source.event(id));
    }
    finish(subscribers, load, start).await
}

async fn async_broadcast(load: Load) -> Duration {
    let (sender, receiver) = async_broadcast::broadcast(CAPACITY);
    let mut subscribers = JoinSet::new();
    for _ in 0..load.subscribers {
        let mut updates = receiver.new_receiver();
        subscribers.spawn(async move {
            let mut sum = 0;
            for _ in 0..load.events {
                sum += read(&updates.recv_direct().await.expect("nothing is lost"));
            }
            sum
        });
    }
    drop(receiver);
    let start = Instant::now();
    let source = Source::new();
    for id in 0..load.events {
        sender
            .broadcast_direct(source.event(id))
            .await
            .expect("somebody listens");
    }
    finish(subscribers, load, start).await
}

async fn flume(load: Load) -> Duration {
    let mut senders = Vec::new();
    let mut subscribers = JoinSet::new();
    for _ in 0..load.subscribers {
        let (sender, updates) = ::flume::bounded(CAPACITY);
        senders.push(sender);
        subscribers.spawn(async move {
            let mut sum = 0;
            for _ in 0..load.events {
                sum += read(&updates.recv_async().await.expect("nothing is lost"));
            }
            sum
        });
    }
    let start = Instant::now();
    let source = Source::new();
    for id in 0..load.events {
        let event = source.event(id);
        for sender in &senders {
            sender
                .send_async(event.clone())
                .await
                .expect("somebody listens");
        }
    }
    finish(subscribers, load, start).await
}

async fn kanal(load: Load) -> Duration {
    let mut senders = Vec::new();
    let mut subscribers = JoinSet::new();
    for _ in 0..load.subscribers {
        let (sender, updates) = ::kanal::bounded_async(CAPACITY);
        senders.push(sender);
        subscribers.spawn(async move {
            let mut sum = 0;
            for _ in 0..load.events {
                sum += read(&updates.recv().await.expect("nothing is lost"));
            }
            sum
        });
    }
    let start = Instant::now();
    let source = Source::new();
    for id in 0..load.events {
        let event = source.event(id);
        for sender in &senders {
            sender.send(event.clone()).await.expect("somebody listens");
        }
    }
    finish(subscribers, load, start).await
}

type Contender = fn(Load) -> std::pin::Pin<Box<dyn Future<Output = Duration> + Send>>;

const CONTENDERS: &[(&str, Contender)] = &[
    ("coord-bus", |load| Box::pin(ours(load))),
    ("prototype", |load| Box::pin(prototype(load))),
    ("kanal", |load| Box::pin(kanal(load))),
    ("flume", |load| Box::pin(flume(load))),
    ("async-broadcast", |load| Box::pin(async_broadcast(load))),
    ("tokio broadcast", |load| Box::pin(tokio_broadcast(load))),
];

pub(crate) fn run() {
    let report = Report::new(
        "bus",
        "ns per delivery, lossless, 32-byte events, capacity 1024; in brackets × coord-bus",
        CONTENDERS.iter().map(|(name, _)| *name),
    );
    for workers in [1, 2] {
        for subscribers in [1, 4, 16, 64] {
            let load = Load {
                subscribers,
                events: DELIVERIES / subscribers as u64,
            };
            let plural = if subscribers == 1 { "" } else { "s" };
            let threads = if workers == 1 {
                "current thread"
            } else {
                "two workers"
            };
            let name = format!("{subscribers} subscriber{plural}, {threads}");
            let mut row = Row::new(name, CONTENDERS.len());
            // Round by round, so that a slow moment of the machine is everybody's.
            for round in 0..ROUNDS {
                for turn in 0..CONTENDERS.len() {
                    let contender = (turn + round) % CONTENDERS.len();
                    let elapsed = runtime(workers).block_on(async {
                        tokio::spawn(CONTENDERS[contender].1(load))
                            .await
                            .expect("a contender panicked")
                    });
                    let deliveries = load.events * load.subscribers as u64;
                    row.add(contender, elapsed.as_nanos() as f64 / deliveries as f64);
                }
            }
            report.row(&row);
        }
    }
}
