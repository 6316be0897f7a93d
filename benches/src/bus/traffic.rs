//! One run of a contender: publishers and subscribers as tasks, with every sum checked.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::event::{Sample, text};
use super::peers::Peer;
use crate::runtime;

/// How much goes from how many to how many.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) publishers: u64,
    pub(crate) subscribers: u64,
    /// Of all publishers together.
    pub(crate) events: u64,
}

/// A contender with a kind of event.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    run: fn(Load, usize) -> Duration,
}

pub(crate) fn contender<P: Peer<E>, E: Sample>() -> Contender {
    Contender {
        name: P::NAME,
        run: |load, workers| {
            let run =
                runtime(workers).block_on(async move { tokio::spawn(run::<P, E>(load)).await });
            run.expect("a contender panicked")
        },
    }
}

impl Contender {
    /// The same under another name.
    pub(crate) fn called(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Runs it once, on this many workers: ns per delivery.
    pub(crate) fn measure(&self, load: Load, workers: usize) -> f64 {
        let elapsed = (self.run)(load, workers);
        elapsed.as_nanos() as f64 / (load.events * load.subscribers) as f64
    }
}

async fn run<P: Peer<E>, E: Sample>(load: Load) -> Duration {
    let each = load.events / load.publishers;
    let (entrances, exits) = P::open(load.publishers as usize, load.subscribers as usize);
    let mut subscribers = JoinSet::new();
    for exit in exits {
        subscribers.spawn(async move {
            let mut sum = 0;
            P::receive(exit, each * load.publishers, |event| sum += event.read()).await;
            sum
        });
    }
    let start = Instant::now();
    let mut publishers = JoinSet::new();
    for (publisher, entrance) in (0..).zip(entrances) {
        publishers.spawn(async move {
            let text = text();
            let ids = publisher * each..(publisher + 1) * each;
            P::publish(&entrance, ids, |id| E::new(id, &text)).await;
        });
    }
    publishers.join_all().await;
    let sums = subscribers.join_all().await;
    let elapsed = start.elapsed();
    check::<E>(&sums, load, each * load.publishers);
    elapsed
}

/// Each subscriber has read everything.
fn check<E: Sample>(sums: &[u64], load: Load, events: u64) {
    let text = text();
    let expected: u64 = (0..events).map(|id| E::new(id, &text).read()).sum();
    assert_eq!(sums.len() as u64, load.subscribers);
    assert!(
        sums.iter().all(|sum| *sum == expected),
        "a subscriber lost events"
    );
}
