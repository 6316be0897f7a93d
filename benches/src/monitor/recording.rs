//! One latency recorded, from one thread and from two at once.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use coord_bus::LocalBus;
use coord_monitor::{LatencyProbe, PerformanceMonitor};
use hdrhistogram::Histogram;
use hdrhistogram::sync::{Recorder, SyncHistogram};
use metrics_util::storage::AtomicBucket;

use crate::report::{Report, Row};

const RECORDED: u64 = 1_000_000;
const ROUNDS: usize = 15;

/// What records durations, from one thread.
trait Sink: Send {
    fn record(&mut self, duration: Duration);
}

/// A handle for each thread.
trait Peer {
    type Sink: Sink + 'static;
    fn sink(&self) -> Self::Sink;
    /// What was recorded is looked at, as somebody does once a second.
    fn look(&mut self);
}

struct Ours(PerformanceMonitor, LatencyProbe);

impl Sink for LatencyProbe {
    fn record(&mut self, duration: Duration) {
        Self::record_handled(self, duration);
    }
}

impl Peer for Ours {
    type Sink = LatencyProbe;

    fn sink(&self) -> LatencyProbe {
        self.1.clone()
    }

    fn look(&mut self) {
        black_box(self.0.performance_metrics().latencies);
    }
}

/// The handle of a histogram of the crate `metrics`, over the storage that its exporters use.
struct Metrics(Arc<AtomicBucket<f64>>);

impl Sink for metrics::Histogram {
    fn record(&mut self, duration: Duration) {
        metrics::Histogram::record(self, duration);
    }
}

impl Peer for Metrics {
    type Sink = metrics::Histogram;

    fn sink(&self) -> metrics::Histogram {
        metrics::Histogram::from_arc(Arc::clone(&self.0))
    }

    fn look(&mut self) {
        self.0.clear_with(|block| {
            black_box(block);
        });
    }
}

/// hdrhistogram alone, each thread with its own, which are never put together.
struct Alone;

impl Sink for Histogram<u64> {
    fn record(&mut self, duration: Duration) {
        self.saturating_record(duration.as_nanos() as u64);
    }
}

impl Peer for Alone {
    type Sink = Histogram<u64>;

    fn sink(&self) -> Histogram<u64> {
        Histogram::new_with_max(86_400_000_000_000, 2).unwrap()
    }

    fn look(&mut self) {}
}

/// hdrhistogram as it is for several threads.
struct Synced(SyncHistogram<u64>);

impl Sink for Recorder<u64> {
    fn record(&mut self, duration: Duration) {
        self.saturating_record(duration.as_nanos() as u64);
    }
}

impl Peer for Synced {
    type Sink = Recorder<u64>;

    fn sink(&self) -> Recorder<u64> {
        self.0.recorder()
    }

    fn look(&mut self) {
        self.0.refresh_timeout(Duration::ZERO);
    }
}

pub(super) fn run() {
    let runtime = crate::runtime(1);
    let _guard = runtime.enter();
    let names = [
        "coord-monitor",
        "metrics histogram",
        "hdrhistogram alone",
        "hdrhistogram, synced",
    ];
    let report = Report::new(
        "recording one latency",
        "ns for each, of each thread",
        names,
    );
    for threads in [1, 2] {
        let name = match threads {
            1 => "one thread".to_owned(),
            threads => format!("{threads} threads at once"),
        };
        let row = Row::rounds(name, names.len(), ROUNDS, |contender| match contender {
            0 => {
                let monitor = PerformanceMonitor::new(Arc::new(LocalBus::new())).unwrap();
                let probe = monitor.latency("orders");
                measure(Ours(monitor, probe), threads)
            }
            1 => measure(Metrics(Arc::new(AtomicBucket::new())), threads),
            2 => measure(Alone, threads),
            _ => {
                let histogram = Histogram::<u64>::new_with_max(86_400_000_000_000, 2);
                measure(Synced(histogram.unwrap().into_sync()), threads)
            }
        });
        report.row(&row);
    }
}

/// Nanoseconds for each duration. They vary as latencies do, over some powers of two.
fn measure<P: Peer>(mut peer: P, threads: usize) -> f64 {
    let durations: Arc<Vec<Duration>> = Arc::new({
        let mut random = fastrand::Rng::with_seed(7);
        let nanos = |_| (random.f64() * 9.0).exp() as u64 + 500;
        (0..4096).map(nanos).map(Duration::from_nanos).collect()
    });
    let begin = Arc::new(Barrier::new(threads));
    let running: Vec<_> = (0..threads)
        .map(|_| {
            let (durations, begin, mut sink) = (durations.clone(), begin.clone(), peer.sink());
            thread::spawn(move || {
                durations.iter().for_each(|duration| sink.record(*duration));
                begin.wait();
                let began = Instant::now();
                for at in 0..RECORDED {
                    sink.record(durations[at as usize % durations.len()]);
                }
                began.elapsed().as_nanos() as f64 / RECORDED as f64
            })
        })
        .collect();
    let took: f64 = running
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    peer.look();
    took / threads as f64
}
