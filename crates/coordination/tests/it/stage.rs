//! What the tests stand on: a module on a bus, and ways to wait for it.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::bus::vocabulary::{PROCESS_OUTPUT, ProcessOutput};
use coordination::bus::{Bus, BusExt, LocalBus, Subscriber};
use coordination::patterns::process::ProcessSpec;
use coordination::patterns::service::ServiceSpec;
use coordination::recovery::{Child, ChildSpec};
use coordination::workflow::{StepError, Workflow};
use coordination::{CoordinationConfig, CoordinationModule, Services};
use tokio::runtime::Handle;

/// Far longer than anything here takes: only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    pub(crate) bus: Arc<LocalBus>,
    pub(crate) module: CoordinationModule,
    pub(crate) output: Subscriber<ProcessOutput>,
}

/// What happened, in order, as told by those to whom it happened.
pub(crate) type Record = Arc<Mutex<Vec<String>>>;

impl Stage {
    pub(crate) fn new() -> Self {
        let bus = Arc::new(LocalBus::new());
        let config = CoordinationConfig::default();
        let output = bus.subscribe(&PROCESS_OUTPUT).expect("it is open");
        let module = CoordinationModule::start(Arc::clone(&bus) as Arc<dyn Bus>, config);
        Self {
            module: module.expect("the topics are free"),
            bus,
            output,
        }
    }

    pub(crate) fn services(&self) -> &Services {
        self.module.services().expect("they are switched on")
    }

    /// Starts a service that is a shell with this script.
    pub(crate) fn serve(&self, name: &str, script: &str) -> Child {
        let service = ServiceSpec::new(ProcessSpec::shell(name, script));
        self.start(service, ChildSpec::new(name))
    }

    pub(crate) fn start(&self, service: ServiceSpec, child: ChildSpec) -> Child {
        let child = self.services().start(child, service);
        child.expect("the name is free")
    }

    /// The next line that a process prints, as a process id.
    pub(crate) async fn pid(&mut self) -> i32 {
        let output = within(self.output.recv()).await.expect("the bus is open");
        output.line.parse().expect("a process id")
    }
}

/// Notes that something happened.
pub(crate) fn note(record: &Record, what: impl Into<String>) {
    let mut record = record.lock().expect("nobody panics with it");
    record.push(what.into());
}

/// What was noted.
pub(crate) fn noted(record: &Record) -> Vec<String> {
    record.lock().expect("nobody panics with it").clone()
}

/// A workflow whose one step fails.
pub(crate) fn failing() -> Workflow {
    let mut workflow = Workflow::builder("release");
    let build = async || Err::<(), _>(StepError::message("no space left"));
    workflow.step("build").run(build);
    workflow.build().expect("it is sound")
}

/// Waits, but not for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let patience = coordination::bus::time::timeout(PATIENCE, future);
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

/// Waits until no task of the runtime is left, but for the test itself.
pub(crate) async fn no_task_is_left() {
    until(|| Handle::current().metrics().num_alive_tasks() == 0).await;
}

/// Whether a process still does anything. One that waits to be reaped does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    let state = stat.ok().and_then(|stat| {
        let (_, rest) = stat.rsplit_once(") ")?;
        rest.chars().next()
    });
    !matches!(state, None | Some('Z' | 'X'))
}
