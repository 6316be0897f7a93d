//! Who is measured: each a way from publishers to subscribers on which nothing is lost.

use std::ops::Range;
use std::sync::Arc;

use coord_bus::{Bus, BusExt, Event, LocalBus, Publisher, Subscriber, Topic};

use super::prototype::{self, Reader};

/// How many events may wait for the slowest subscriber, with every contender.
pub(crate) const CAPACITY: usize = 1024;

/// A contender: every subscriber receives every event of every publisher.
pub(crate) trait Peer<E>: 'static {
    const NAME: &'static str;
    type Entrance: Send + Sync + 'static;
    type Exit: Send + 'static;

    /// An entrance for each publisher, and an exit for each subscriber.
    fn open(publishers: usize, subscribers: usize) -> (Vec<Self::Entrance>, Vec<Self::Exit>);

    /// Publishes what `make` makes of these numbers, one after another, and waits for room rather than lose anything.
    fn publish(
        entrance: &Self::Entrance,
        ids: Range<u64>,
        make: impl Fn(u64) -> E + Send + Sync,
    ) -> impl Future<Output = ()> + Send;

    /// Hands this many events to `read`, one after another.
    fn receive(
        exit: Self::Exit,
        events: u64,
        read: impl FnMut(&E) + Send,
    ) -> impl Future<Output = ()> + Send;
}

/// A list of what an expression gives with each contender in the place of `$peer`: ours first, as
/// the measure of all. A new contender is one more name here.
macro_rules! each_peer {
    ($peer:ident => $make:expr) => {
        each_peer! {
            $peer => $make;
            CoordBus, Prototype, Kanal, Flume, TokioMpsc, AsyncBroadcast
        }
    };
    ($peer:ident => $make:expr; $($contender:ident),+) => {
        [$({
            type $peer = $crate::bus::peers::$contender;
            $make
        }),+]
    };
}
pub(crate) use each_peer;

/// Which of them is no peer, but the floor.
pub(crate) const PROTOTYPE: &str = "prototype";

pub(crate) struct CoordBus;

impl<E: Event + Clone> Peer<E> for CoordBus {
    const NAME: &'static str = "coord-bus";
    type Entrance = Publisher<E>;
    type Exit = Subscriber<E>;

    fn open(publishers: usize, subscribers: usize) -> (Vec<Publisher<E>>, Vec<Subscriber<E>>) {
        let bus: Arc<dyn Bus> = Arc::new(LocalBus::new());
        let topic = Topic::in_process("updates").capacity(CAPACITY);
        let publisher = || bus.publisher(&topic).expect("the topic opens");
        let subscriber = || bus.subscribe(&topic).expect("the topic opens");
        (
            (0..publishers).map(|_| publisher()).collect(),
            (0..subscribers).map(|_| subscriber()).collect(),
        )
    }

    async fn publish(
        entrance: &Publisher<E>,
        ids: Range<u64>,
        make: impl Fn(u64) -> E + Send + Sync,
    ) {
        for id in ids {
            entrance.publish(make(id)).await.expect("the topic is open");
        }
    }

    async fn receive(mut exit: Subscriber<E>, events: u64, mut read: impl FnMut(&E) + Send) {
        for _ in 0..events {
            read(&exit.recv().await.expect("nothing is lost"));
        }
    }
}

pub(crate) struct Prototype;

impl<E: Event + Clone> Peer<E> for Prototype {
    const NAME: &'static str = PROTOTYPE;
    type Entrance = prototype::Log<E>;
    type Exit = Reader<E>;

    fn open(publishers: usize, subscribers: usize) -> (Vec<prototype::Log<E>>, Vec<Reader<E>>) {
        let log = prototype::Log::new();
        let exits = (0..subscribers).map(|_| log.subscribe()).collect();
        (vec![log; publishers], exits)
    }

    async fn publish(
        entrance: &prototype::Log<E>,
        ids: Range<u64>,
        make: impl Fn(u64) -> E + Send + Sync,
    ) {
        for id in ids {
            entrance.publish(make(id)).await;
        }
    }

    async fn receive(mut exit: Reader<E>, events: u64, mut read: impl FnMut(&E) + Send) {
        for _ in 0..events {
            read(exit.recv().await);
        }
    }
}

/// One channel for each subscriber: the entrances of all publishers, and the exits.
fn channels<S: Clone, R>(
    publishers: usize,
    subscribers: usize,
    channel: impl Fn() -> (S, R),
) -> (Vec<Vec<S>>, Vec<R>) {
    let (senders, receivers): (Vec<_>, _) = (0..subscribers).map(|_| channel()).unzip();
    (vec![senders; publishers], receivers)
}

/// Sends each event into every channel, a clone into all but the last.
macro_rules! send_to_all {
    ($entrance:expr, $ids:expr, $make:expr, $send:ident) => {
        let (last, others) = $entrance.split_last().expect("somebody listens");
        for id in $ids {
            let event = $make(id);
            for sender in others {
                let sent = sender.$send(event.clone()).await;
                sent.expect("somebody listens");
            }
            last.$send(event).await.expect("somebody listens");
        }
    };
}

pub(crate) struct Kanal;

impl<E: Event + Clone> Peer<E> for Kanal {
    const NAME: &'static str = "kanal";
    type Entrance = Vec<kanal::AsyncSender<E>>;
    type Exit = kanal::AsyncReceiver<E>;

    fn open(publishers: usize, subscribers: usize) -> (Vec<Self::Entrance>, Vec<Self::Exit>) {
        channels(publishers, subscribers, || kanal::bounded_async(CAPACITY))
    }

    async fn publish(
        entrance: &Self::Entrance,
        ids: Range<u64>,
        make: impl Fn(u64) -> E + Send + Sync,
    ) {
        send_to_all!(entrance, ids, make, send);
    }

    async fn receive(exit: Self::Exit, events: u64, mut read: impl FnMut(&E) + Send) {
        for _ in 0..events {
            read(&exit.recv().await.expect("nothing is lost"));
        }
    }
}

pub(crate) struct Flume;

impl<E: Event + Clone> Peer<E> for Flume {
    const NAME: &'static str = "flume";
    type Entrance = Vec<flume::Sender<E>>;
    type Exit = flume::Receiver<E>;

    fn open(publishers: usize, subscribers: usize) -> (Vec<Self::Entrance>, Vec<Self::Exit>) {
        channels(publishers, subscribers, || flume::bounded(CAPACITY))
    }

    async fn publish(
        entrance: &Self::Entrance,
        ids: Range<u64>,
        make: impl Fn(u64) -> E + Send + Sync,
    ) {
        send_to_all!(entrance, ids, make, send_async);
    }

    async fn receive(exit: Self::Exit, events: u64, mut read: impl FnMut(&E) + Send) {
        for _ in 0..events {
            read(&exit.recv_async().await.expect("nothing is lost"));
        }
    }
}

pub(crate) struct TokioMpsc;

impl<E: Event + Clone> Peer<E> for TokioMpsc {
    const NAME: &'static str = "tokio mpsc";
    type Entrance = Vec<tokio::sync::mpsc::Sender<E>>;
    type Exit = tokio::sync::mpsc::Receiver<E>;

    fn open(publishers: usize, subscribers: usize) -> (Vec<Self::Entrance>, Vec<Self::Exit>) {
        channels(publishers, subscribers, || {
            tokio::sync::mpsc::channel(CAPACITY)
        })
    }

    async fn publish(
        entrance: &Self::Entrance,
        ids: Range<u64>,
        make: impl Fn(u64) -> E + Send + Sync,
    ) {
        send_to_all!(entrance, ids, make, send);
    }

    async fn receive(mut exit: Self::Exit, events: u64, mut read: impl FnMut(&E) + Send) {
        let mut batch = Vec::with_capacity(CAPACITY);
        let mut left = events;
        while left > 0 {
            let received = exit.recv_many(&mut batch, CAPACITY).await as u64;
            assert!(received > 0, "nothing is lost");
            left -= received;
            for event in batch.drain(..) {
                read(&event);
            }
        }
    }
}

pub(crate) struct AsyncBroadcast;

impl<E: Event + Clone> Peer<E> for AsyncBroadcast {
    const NAME: &'static str = "async-broadcast";
    type Entrance = async_broadcast::Sender<E>;
    type Exit = async_broadcast::Receiver<E>;

    fn open(publishers: usize, subscribers: usize) -> (Vec<Self::Entrance>, Vec<Self::Exit>) {
        let (sender, receiver) = async_broadcast::broadcast(CAPACITY);
        (vec![sender; publishers], vec![receiver; subscribers])
    }

    async fn publish(
        entrance: &Self::Entrance,
        ids: Range<u64>,
        make: impl Fn(u64) -> E + Send + Sync,
    ) {
        for id in ids {
            let replaced = entrance.broadcast_direct(make(id)).await;
            assert!(matches!(replaced, Ok(None)), "nothing is lost");
        }
    }

    async fn receive(mut exit: Self::Exit, events: u64, mut read: impl FnMut(&E) + Send) {
        for _ in 0..events {
            read(&exit.recv_direct().await.expect("nothing is lost"));
        }
    }
}
