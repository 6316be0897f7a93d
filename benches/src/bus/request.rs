//! Requests and replies: a task asks, another answers, and the first gets on when it has the reply.

mod actors;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use coord_bus::{Bus, BusExt, Endpoint, LocalBus};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::peers::CAPACITY;
use crate::report::{Report, Row};
use crate::runtime;
use actors::{Kameo, Ractor};

const REQUESTS: u64 = 100_000;
const ROUNDS: usize = 25;
/// How many tasks ask, each one request at a time.
const ASKERS: [u64; 2] = [1, 64];

/// A way to ask for the successor of a number, and a task at its other end that tells it.
trait Peer: Clone + Send + 'static {
    const NAME: &'static str;
    /// What goes on answering until it is dropped.
    type Answering: Send;

    fn open() -> impl Future<Output = (Self, Self::Answering)> + Send;

    fn ask(&self, number: u64) -> impl Future<Output = u64> + Send;
}

type Requester = coord_bus::Requester<u64, u64>;

impl Peer for Requester {
    const NAME: &'static str = "coord-bus";
    type Answering = coord_bus::Responder;

    async fn open() -> (Requester, coord_bus::Responder) {
        let bus: Arc<dyn Bus> = Arc::new(LocalBus::new());
        let endpoint = Endpoint::new("successor").capacity(CAPACITY);
        let answer = |number: u64| async move { Ok::<_, Infallible>(number + 1) };
        let responder = bus.respond(&endpoint, answer).expect("it opens");
        (bus.requester(&endpoint).expect("it opens"), responder)
    }

    async fn ask(&self, number: u64) -> u64 {
        self.request(number).await.expect("it is answered")
    }
}

/// By hand, without a deadline, an end that tells the other of itself, or a care for panics.
type Channel = mpsc::Sender<(u64, oneshot::Sender<u64>)>;

impl Peer for Channel {
    const NAME: &'static str = "tokio mpsc + oneshot";
    type Answering = ();

    async fn open() -> (Channel, ()) {
        let (requests, mut taken) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(CAPACITY);
        tokio::spawn(async move {
            while let Some((number, reply)) = taken.recv().await {
                reply.send(number + 1).expect("somebody waits for it");
            }
        });
        (requests, ())
    }

    async fn ask(&self, number: u64) -> u64 {
        let (reply, replied) = oneshot::channel();
        let sent = self.send((number, reply)).await;
        assert!(sent.is_ok(), "it is open");
        replied.await.expect("it is answered")
    }
}

struct Contender {
    name: &'static str,
    run: fn(u64, usize) -> f64,
}

fn contender<P: Peer>() -> Contender {
    Contender {
        name: P::NAME,
        run: |askers, workers| {
            let run =
                runtime(workers).block_on(async move { tokio::spawn(run::<P>(askers)).await });
            run.expect("a contender panicked")
        },
    }
}

/// Nanoseconds a request.
async fn run<P: Peer>(askers: u64) -> f64 {
    let (peer, _answering) = P::open().await;
    let start = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..askers {
        let peer = peer.clone();
        asking.spawn(async move {
            for number in 0..REQUESTS / askers {
                assert_eq!(peer.ask(number).await, number + 1);
            }
        });
    }
    asking.join_all().await;
    start.elapsed().as_nanos() as f64 / REQUESTS as f64
}

pub(crate) fn run_all() {
    let contenders = [
        contender::<Requester>(),
        contender::<Channel>(),
        contender::<Kameo>(),
        contender::<Ractor>(),
    ];
    let report = Report::new(
        "bus request",
        "ns a request, with one responder",
        contenders.iter().map(|contender| contender.name),
    );
    for (workers, threads) in [(1, "current thread"), (2, "two workers")] {
        for askers in ASKERS {
            let name = format!("{askers} at once, {threads}");
            report.row(&Row::rounds(name, contenders.len(), ROUNDS, |contender| {
                (contenders[contender].run)(askers, workers)
            }));
        }
    }
}
