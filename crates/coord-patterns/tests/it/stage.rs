//! What the tests stand on: a runner, and what it has published.

use std::future::Future;
use std::time::Duration;

use coord_bus::vocabulary::{
    Exit, PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProcessLifecycle, ProcessOutput, ProcessState,
};
use coord_bus::{BusExt, LocalBus, Subscriber};
use coord_patterns::process::{ProcessError, ProcessRunner, ProcessSpec, Stop};
use tokio::task::JoinHandle;

/// Far longer than anything here takes: only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    pub(crate) bus: LocalBus,
    pub(crate) runner: ProcessRunner,
    pub(crate) output: Subscriber<ProcessOutput>,
    pub(crate) lifecycle: Subscriber<ProcessLifecycle>,
}

pub(crate) type Run = JoinHandle<Result<Exit, ProcessError>>;

impl Stage {
    pub(crate) fn new() -> Self {
        Self::on(LocalBus::new())
    }

    pub(crate) fn on(bus: LocalBus) -> Self {
        Self {
            runner: ProcessRunner::new(&bus).expect("the topics are free"),
            output: bus.subscribe(&PROCESS_OUTPUT).expect("it is open"),
            lifecycle: bus.subscribe(&PROCESS_LIFECYCLE).expect("it is open"),
            bus,
        }
    }

    /// Runs a process in the background.
    pub(crate) fn start(&self, spec: ProcessSpec, stop: &Stop) -> Run {
        let (runner, stop) = (self.runner.clone(), stop.clone());
        tokio::spawn(async move { runner.run(&spec, &stop).await })
    }

    /// Runs a shell to its end; how it ended, and what it printed.
    pub(crate) async fn shell(&mut self, command: &str) -> (Exit, Vec<String>) {
        let spec = ProcessSpec::shell("shell", command);
        let exit = ended(self.start(spec, &Stop::default())).await;
        (exit.expect("it starts"), self.printed())
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

    /// The next state that comes.
    pub(crate) async fn state(&mut self) -> ProcessState {
        let lifecycle = within(self.lifecycle.recv()).await;
        lifecycle.expect("the bus is open").state.clone()
    }

    /// The lines that have come and were not taken yet.
    pub(crate) fn printed(&mut self) -> Vec<String> {
        let lines = std::iter::from_fn(|| Some(self.output.try_recv().ok()?.line.clone()));
        lines.collect()
    }

    /// The states that have come and were not taken yet, but for the first, which is checked.
    pub(crate) fn states_after_start(&mut self) -> Vec<ProcessState> {
        let states = std::iter::from_fn(|| Some(self.lifecycle.try_recv().ok()?.state.clone()));
        let mut states: Vec<_> = states.collect();
        assert!(matches!(states.remove(0), ProcessState::Started { pid } if pid > 1));
        states
    }
}

/// A shell that may begin children with `sh -c "$CHILD" &`: each prints its id, and sleeps. They
/// are programs of their own, because the `sleep 1000 &` of a shell with a trap forgets a SIGTERM
/// that comes before it has become `sleep`.
pub(crate) fn shell_with_children(command: &str) -> ProcessSpec {
    ProcessSpec::shell("shell", command).env("CHILD", "echo $$; exec sleep 1000")
}

/// Waits, but not for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let patience = tokio::time::timeout(PATIENCE, future);
    patience.await.expect("it comes in time")
}

/// How a process ended that was started.
pub(crate) async fn ended(run: Run) -> Result<Exit, ProcessError> {
    within(run).await.expect("the runner does not panic")
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

/// The state of a process, as the letter that Linux has for it; `None` once it was reaped.
pub(crate) fn state_of(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a process still does anything. One that waits to be reaped does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    !matches!(state_of(pid), None | Some('Z' | 'X'))
}
