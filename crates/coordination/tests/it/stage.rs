//! What the tests stand on: a module on a bus, services that are shells, and some patience.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::timeout;
use coordination::bus::{BusExt, Event, LocalBus, Subscriber, Topic};
use coordination::patterns::process::ProcessSpec;
use coordination::patterns::service::{Check, Probe, ServiceSpec};
use coordination::{CoordinationConfig, CoordinationModule};

/// Far longer than anything here takes: only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    pub(crate) bus: LocalBus,
    pub(crate) module: CoordinationModule,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A module with other settings than the default ones.
    pub(crate) fn with(set: impl FnOnce(&mut CoordinationConfig)) -> Self {
        let bus = LocalBus::new();
        let mut config = CoordinationConfig::default();
        set(&mut config);
        let module = CoordinationModule::start(Arc::new(bus.clone()), config);
        let module = module.expect("it starts");
        Self { bus, module }
    }

    pub(crate) fn subscribe<E: Event>(&self, topic: &Topic<E>) -> Subscriber<E> {
        self.bus.subscribe(topic).expect("it can be opened")
    }
}

/// The next event that comes.
pub(crate) async fn next<E: Event + Clone>(events: &mut Subscriber<E>) -> E {
    let event = within(events.recv()).await.expect("the bus is open");
    (*event).clone()
}

/// The events that have come and were not taken yet.
pub(crate) fn left<E: Event + Clone>(events: &mut Subscriber<E>) -> Vec<E> {
    std::iter::from_fn(|| Some((*events.try_recv().ok()?).clone())).collect()
}

/// A service that is a shell, and ready once it has printed its process id.
pub(crate) fn service(name: &str, after: &str) -> ServiceSpec {
    let process = ProcessSpec::shell(name, format!("echo $$; {after}"));
    let is_a_number = Check::log("^[0-9]+$").expect("it is a pattern");
    ServiceSpec::new(process).ready(Probe::new(is_a_number))
}

/// What a shell does that is to stay.
pub(crate) const STAY: &str = "exec sleep 1000";

/// What a shell does that stays whatever it is asked.
pub(crate) const IGNORE: &str = "trap '' TERM; while :; do sleep 0.05; done";

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Waits, but not for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let patience = timeout(PATIENCE, future);
    patience.await.expect("it comes in time")
}

/// Waits for what nobody tells of.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    within(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Whether a process still does anything. One that waits to be reaped does not.
pub(crate) fn is_alive(pid: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// How many tasks there are on this runtime.
pub(crate) fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}
