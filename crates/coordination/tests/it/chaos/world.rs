//! Where the chaos happens: a module, what it is loaded with, and what the test counts of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::bus::time::{Clock, Instant, sleep};
use coordination::bus::{
    Bus, ByteBus, CancellationToken, Faults, LocalBus, MemoryLeases, TaskScope, Timestamp, Topic,
};
use coordination::workflow::RunJournal;
use coordination::{CoordinationConfig, CoordinationModule};
use fastrand::Rng;
use tokio::sync::watch;

use super::unreliable::Unreliable;

pub(crate) const NUMBERS: Topic<u64> = Topic::new("chaos.numbers").capacity(64);
pub(crate) const RESULTS: Topic<u64> = Topic::new("chaos.results").capacity(16);
pub(crate) const PACED: Topic<u64> = Topic::new("chaos.paced").capacity(64);

/// What a panic says that is a part of it.
pub(crate) const CHAOS: &str = "as the chaos wants it";

/// What carries the events: one process; a bus of bytes on which they are late; one that loses some and
/// doubles others, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Memory,
    Late,
    Lossy,
}

/// A wall clock that stands still while the test's time does.
#[derive(Debug)]
struct Wall(Instant);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.0.elapsed()
    }
}

/// A count that the test makes for itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count(Arc<AtomicU64>);

impl Count {
    pub(crate) fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct World {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) bytes: Option<Arc<ByteBus>>,
    pub(crate) module: CoordinationModule,
    pub(crate) log: Arc<Unreliable>,
    pub(crate) clock: Arc<dyn Clock>,
    random: Mutex<Rng>,
    pub(crate) load: Load,
    /// All that loads it.
    pub(crate) scope: TaskScope,
}

/// Whether there is load, and whether who reads the results does.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    is_on: watch::Sender<bool>,
    is_stalled: watch::Sender<bool>,
    over: CancellationToken,
}

impl World {
    pub(crate) fn new(seed: u64, carrier: Carrier) -> Self {
        let mut random = Rng::with_seed(seed);
        let faults = Faults::seeded(seed).delay(0.05, ..=Duration::from_millis(80));
        let bytes = match carrier {
            Carrier::Memory => None,
            Carrier::Late => Some(faults),
            Carrier::Lossy => Some(faults.drop(0.01).duplicate(0.01)),
        };
        let bytes = bytes.map(|faults| Arc::new(ByteBus::with_faults(faults)));
        let bus: Arc<dyn Bus> = match &bytes {
            Some(bytes) => Arc::clone(bytes) as Arc<dyn Bus>,
            None => Arc::new(LocalBus::new()),
        };
        let log = Arc::new(Unreliable::new(random.fork()));
        let clock: Arc<dyn Clock> = Arc::new(Wall(Instant::now()));
        let mut config = CoordinationConfig::default();
        config.clock = Arc::clone(&clock);
        // Each look reads files of the system, and takes real time.
        config.performance_sampling_interval = Duration::from_secs(10);
        config.performance_reporting_interval = Some(Duration::from_secs(20));
        config.workflow_resources.insert("till".to_owned(), 2);
        let leases = Arc::new(MemoryLeases::new());
        config.workflow_journal = Some(RunJournal::new(Arc::clone(&log) as _, leases));
        let module = CoordinationModule::start(Arc::clone(&bus), config);
        Self {
            module: module.expect("the topics are free"),
            bus,
            bytes,
            log,
            clock,
            random: Mutex::new(random),
            load: Load::new(),
            scope: TaskScope::new("chaos"),
        }
    }

    /// Chance of its own for whoever asks, the same for a seed.
    pub(crate) fn chance(&self) -> Rng {
        self.random.lock().expect("nobody panics with it").fork()
    }

    /// What went wrong on the way: how many events were dropped, and how many doubled.
    pub(crate) fn faults(&self) -> (u64, u64) {
        let faults = self.bytes.as_ref().map(|bytes| bytes.faults());
        faults.map_or((0, 0), |faults| (faults.dropped, faults.duplicated))
    }
}

impl Load {
    fn new() -> Self {
        Self {
            is_on: watch::Sender::new(true),
            is_stalled: watch::Sender::new(false),
            over: CancellationToken::new(),
        }
    }

    pub(crate) fn set(&self, is_on: bool) {
        self.is_on.send_replace(is_on);
    }

    pub(crate) fn stall(&self, is_stalled: bool) {
        self.is_stalled.send_replace(is_stalled);
    }

    /// No more, for good.
    pub(crate) fn end(&self) {
        self.over.cancel();
    }

    /// Waits for load; says whether there is some, for at last there is none.
    pub(crate) async fn goes_on(&self) -> bool {
        let mut is_on = self.is_on.subscribe();
        let waited = is_on.wait_for(|is_on| *is_on);
        self.over.run_until_cancelled(waited).await.is_some()
    }

    /// Waits until the results are read.
    pub(crate) async fn is_read(&self) {
        let mut is_stalled = self.is_stalled.subscribe();
        let _ = is_stalled.wait_for(|is_stalled| !*is_stalled).await;
    }
}

/// Lets any time pass, up to so many milliseconds.
pub(crate) async fn a_while(random: &mut Rng, up_to: u64) {
    sleep(Duration::from_millis(random.u64(0..=up_to))).await;
}
