//! What the tests of services stand on: a runner, and what it has published.

use std::path::PathBuf;
use std::time::Duration;

use coord_bus::vocabulary::{
    Exit, PROCESS_HEALTH, PROCESS_OUTPUT, ProbeKind, ProcessHealth, ProcessOutput,
    SERVICE_LIFECYCLE, ServiceLifecycle, ServiceState,
};
use coord_bus::{BusExt, CancellationToken, LocalBus, Subscriber};
use coord_patterns::process::{ProcessRunner, ProcessSpec, Stop};
use coord_patterns::service::{Check, Probe, ServiceError, ServiceRunner, ServiceSpec};
use tokio::task::JoinHandle;

use crate::stage::within;

pub(crate) struct House {
    pub(crate) bus: LocalBus,
    pub(crate) processes: ProcessRunner,
    pub(crate) runner: ServiceRunner,
    pub(crate) output: Subscriber<ProcessOutput>,
    pub(crate) lifecycle: Subscriber<ServiceLifecycle>,
    pub(crate) health: Subscriber<ProcessHealth>,
}

/// A service that runs.
pub(crate) struct Running {
    pub(crate) stop: Stop,
    /// Cancelled when it is ready.
    pub(crate) ready: CancellationToken,
    pub(crate) task: JoinHandle<Result<Exit, ServiceError>>,
}

impl House {
    pub(crate) fn new() -> Self {
        let bus = LocalBus::new();
        let processes = ProcessRunner::new(&bus).expect("the topics are free");
        Self {
            runner: ServiceRunner::new(&bus, processes.clone()).expect("the topics are free"),
            processes,
            output: bus.subscribe(&PROCESS_OUTPUT).expect("it is open"),
            lifecycle: bus.subscribe(&SERVICE_LIFECYCLE).expect("it is open"),
            health: bus.subscribe(&PROCESS_HEALTH).expect("it is open"),
            bus,
        }
    }

    /// Runs a service in the background.
    pub(crate) fn start(&self, spec: ServiceSpec) -> Running {
        let (stop, ready) = (Stop::default(), CancellationToken::new());
        let running = (self.runner.clone(), stop.clone(), ready.clone());
        let task = tokio::spawn(async move {
            let (runner, stop, ready) = running;
            runner.run(&spec, &stop, || ready.cancel()).await
        });
        Running { stop, ready, task }
    }

    /// The next line that comes.
    pub(crate) async fn line(&mut self) -> String {
        let output = within(self.output.recv()).await.expect("the bus is open");
        output.line.clone()
    }

    /// The next line that comes, as a process id.
    pub(crate) async fn pid(&mut self) -> i32 {
        self.line().await.parse().expect("a process id")
    }

    /// The next answer that comes.
    pub(crate) async fn answer(&mut self) -> (ProbeKind, bool, String) {
        let health = within(self.health.recv()).await.expect("the bus is open");
        (health.probe, health.healthy, health.answer.clone())
    }

    /// The answers that have come and were not taken yet.
    pub(crate) fn answers(&mut self) -> Vec<(ProbeKind, bool, String)> {
        let answers = std::iter::from_fn(|| {
            let health = self.health.try_recv().ok()?;
            Some((health.probe, health.healthy, health.answer.clone()))
        });
        answers.collect()
    }

    /// The states that have come and were not taken yet; how long it took to become ready is left
    /// out.
    pub(crate) fn states(&mut self) -> Vec<ServiceState> {
        let states = std::iter::from_fn(|| {
            let state = self.lifecycle.try_recv().ok()?.state.clone();
            Some(match state {
                ServiceState::Ready { .. } => READY,
                state => state,
            })
        });
        states.collect()
    }
}

/// What [`House::states`] makes of each time that something is ready.
pub(crate) const READY: ServiceState = ServiceState::Ready {
    duration: Duration::ZERO,
};

impl Running {
    /// Waits until it is ready.
    pub(crate) async fn ready(&self) {
        within(self.ready.cancelled()).await;
    }

    /// How it ended.
    pub(crate) async fn ended(self) -> Result<Exit, ServiceError> {
        within(self.task).await.expect("the runner does not panic")
    }

    /// Asks it to stop; how it ended.
    pub(crate) async fn stopped(self) -> Result<Exit, ServiceError> {
        self.stop.graceful.cancel();
        self.ended().await
    }
}

/// A service that does nothing, but prints its id.
pub(crate) fn idle() -> ProcessSpec {
    ProcessSpec::shell("idle", "echo $$; exec sleep 1000")
}

/// A probe that asks without pause, and has all the time that a test may take.
pub(crate) fn probe(check: Check) -> Probe {
    let mut probe = Probe::new(check);
    probe.period = Duration::from_millis(10);
    probe.timeout = Duration::from_secs(100);
    probe.failure_threshold = 10_000;
    probe
}

/// A probe that gives up soon, though not before it was answered.
pub(crate) fn impatient(check: Check) -> Probe {
    let mut probe = probe(check);
    probe.period = Duration::from_millis(250);
    probe.failure_threshold = 2;
    probe
}

/// A file that does not exist yet.
pub(crate) fn file(name: &str) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&file);
    file
}

/// A command that hangs, with a child, and writes both their ids into a file once they are there.
pub(crate) fn hanging(file: &std::path::Path) -> String {
    let file = file.display();
    format!("sleep 1000 & echo $! $$ >'{file}.new'; mv '{file}.new' '{file}'; wait")
}

/// What such a command has written, once it has.
pub(crate) async fn pids(file: &std::path::Path) -> Vec<i32> {
    crate::stage::until(|| file.exists()).await;
    let text = std::fs::read_to_string(file).expect("it is there");
    text.split_whitespace()
        .map(|pid| pid.parse().expect("a process id"))
        .collect()
}
