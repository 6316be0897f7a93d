//! From the moment at which an event was due to be published until a subscriber has it.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::{JoinSet, yield_now};

use super::peers::{Peer, each_peer};
use crate::report::{Report, Row};
use crate::runtime;

const ROUNDS: usize = 9;
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];
/// What takes longer counts as this.
const LONGEST: Duration = Duration::from_secs(1);

/// An event every `gap`, whatever becomes of it.
#[derive(Clone, Copy)]
struct Pace {
    name: &'static str,
    gap: Duration,
    events: u32,
    subscribers: usize,
}

const PACES: [Pace; 2] = [
    Pace {
        name: "idle",
        gap: Duration::from_micros(100),
        events: 3_000,
        subscribers: 1,
    },
    Pace {
        name: "loaded",
        gap: Duration::from_micros(2),
        events: 150_000,
        subscribers: 4,
    },
];

/// When an event was due. A publisher that is held up makes all that follow late, and they say so.
#[derive(Clone)]
struct Due(Instant);

struct Contender {
    name: &'static str,
    run: fn(Pace, usize) -> Histogram<u64>,
}

fn contender<P: Peer<Due>>() -> Contender {
    Contender {
        name: P::NAME,
        run: |pace, workers| {
            let run = runtime(workers).block_on(async move { tokio::spawn(run::<P>(pace)).await });
            run.expect("a contender panicked")
        },
    }
}

async fn run<P: Peer<Due>>(pace: Pace) -> Histogram<u64> {
    let (entrances, exits) = P::open(1, pace.subscribers);
    let mut subscribers = JoinSet::new();
    for exit in exits {
        subscribers.spawn(async move {
            let mut latencies = histogram();
            let read = |due: &Due| latencies.saturating_record(due.0.elapsed().as_nanos() as u64);
            P::receive(exit, u64::from(pace.events), read).await;
            latencies
        });
    }
    let start = Instant::now();
    for event in 0..pace.events {
        let due = start + pace.gap * event;
        // Awake until then, so that no timer of the machine is measured.
        while Instant::now() < due {
            yield_now().await;
        }
        P::publish(&entrances[0], 0..1, |_| Due(due)).await;
    }
    let mut all = histogram();
    for latencies in subscribers.join_all().await {
        all += latencies;
    }
    let deliveries = u64::from(pace.events) * pace.subscribers as u64;
    assert_eq!(all.len(), deliveries, "a subscriber lost events");
    all
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST.as_nanos() as u64, 3).expect("the bounds are in order")
}

pub(crate) fn run_all() {
    let contenders = each_peer!(P => contender::<P>());
    let report = Report::new(
        "bus latency",
        "ns from due to received; idle: 1 subscriber, an event every 100 µs; loaded: 4 subscribers, an event every 2 µs",
        contenders.iter().map(|contender| contender.name),
    );
    for (workers, threads) in [(1, "current thread"), (2, "two workers")] {
        for pace in PACES {
            for row in rows(&contenders, pace, workers, threads) {
                report.row(&row);
            }
        }
    }
}

/// A row for each quantile, over the same runs.
fn rows(contenders: &[Contender], pace: Pace, workers: usize, threads: &str) -> Vec<Row> {
    let named = |(quantile, _)| format!("{}, {quantile}, {threads}", pace.name);
    let mut rows: Vec<_> = QUANTILES
        .iter()
        .map(|quantile| Row::new(named(*quantile), contenders.len()))
        .collect();
    for round in 0..ROUNDS {
        for turn in 0..contenders.len() {
            let contender = (turn + round) % contenders.len();
            let latencies = (contenders[contender].run)(pace, workers);
            for (row, (_, quantile)) in rows.iter_mut().zip(QUANTILES) {
                row.add(contender, latencies.value_at_quantile(quantile) as f64);
            }
        }
    }
    rows
}
