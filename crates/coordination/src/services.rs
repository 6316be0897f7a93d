//! Services under supervision: processes that are to stay, restarted when they fail.
//!
//! Here the process of a service, which `coord-patterns` runs and probes, becomes a child of a
//! supervisor of `coord-recovery`, which knows nothing of processes.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::Clock;
use coord_bus::vocabulary::Exit;
use coord_bus::{Bus, CancellationToken};
use coord_patterns::process::{ProcessRunner, Stop};
use coord_patterns::service::{ServiceRunner, ServiceSpec};
use coord_recovery::{
    Child, ChildContext, ChildError, ChildSpec, ChildStatus, GaveUp, RecoveryError, Supervisor,
    SupervisorReport,
};

use crate::CoordinationError;

/// What a service has beyond its process's grace before it is aborted: for its last lines to be
/// read, and its end to be told.
const MARGIN: Duration = Duration::from_secs(5);

/// A service's process ended, and not well.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0}")]
pub struct ServiceExit(
    /// How it ended.
    pub Exit,
);

/// Runs services: starts them, restarts those that fail, stops them in reverse order of start.
///
/// A service is a [`Child`]: its handle says how it is, restarts it, and stops it. What is told of
/// it comes on the topics of [`ServiceRunner`], and on those of [`Supervisor`]. Dropped with the
/// module, services are killed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use coordination::bus::LocalBus;
/// use coordination::patterns::process::ProcessSpec;
/// use coordination::patterns::service::{Check, Probe, ServiceSpec};
/// use coordination::recovery::{ChildSpec, Restart};
/// use coordination::{CoordinationConfig, CoordinationModule};
///
/// let bus = Arc::new(LocalBus::new());
/// let module = CoordinationModule::start(bus, CoordinationConfig::default())?;
///
/// let process = ProcessSpec::shell("database", "echo listening; exec sleep 1000");
/// let service = ServiceSpec::new(process).ready(Probe::new(Check::log("^listening")?));
/// let child = ChildSpec::new("database").restart(Restart::Transient);
/// let database = module.services()?.start(child, service)?;
/// database.ready().await?;
/// // … whatever needs it …
/// assert!(module.shutdown(Duration::from_secs(20)).await.is_complete());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Services {
    supervisor: Supervisor,
    runner: ServiceRunner,
    kill: CancellationToken,
}

impl Services {
    pub(crate) fn new(
        bus: &dyn Bus,
        runner: ProcessRunner,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, CoordinationError> {
        Ok(Self {
            supervisor: Supervisor::new("services", bus, Arc::clone(clock))?,
            runner: ServiceRunner::new(bus, runner)?,
            kill: CancellationToken::new(),
        })
    }

    /// Starts a service. `child` says what it is called as a child and when it is restarted; its
    /// time to shut down follows from the grace of the service's process.
    ///
    /// A service that ends well has not failed; whether it is started again is for the child's
    /// [`Restart`](coord_recovery::Restart). One that does not become ready, or whose program cannot
    /// be run, is given up at once.
    ///
    /// # Errors
    ///
    /// Those of [`Supervisor::start`]; [`RecoveryError::ShutDown`] also after [`kill`](Self::kill).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(
        &self,
        child: ChildSpec,
        service: ServiceSpec,
    ) -> Result<Child, CoordinationError> {
        self.start_with(child, move |_| service.clone())
    }

    /// Starts a service of which each incarnation is described anew, by its number from 1: one that
    /// is to know how often it was started, say. The grace of the first counts for the child's time
    /// to shut down.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start_with(
        &self,
        child: ChildSpec,
        mut service: impl FnMut(u32) -> ServiceSpec + Send + 'static,
    ) -> Result<Child, CoordinationError> {
        if self.kill.is_cancelled() {
            let what = "the supervisor of services".to_owned();
            return Err(RecoveryError::ShutDown { what }.into());
        }
        let first = service(1);
        let child = child.shutdown(first.process.grace.saturating_add(MARGIN));
        let mut first = Some(first);
        let (runner, kill) = (self.runner.clone(), self.kill.clone());
        let child = self.supervisor.start(child, move |context| {
            let described = first.take();
            let service = described.unwrap_or_else(|| service(context.incarnation()));
            let runner = runner.clone();
            let stop = Stop {
                graceful: context.token(),
                immediate: kill.clone(),
            };
            async move { incarnation(&runner, &service, &stop, &context).await }
        })?;
        if self.kill.is_cancelled() {
            // Killed meanwhile, when it was in no list yet.
            child.ask_to_stop();
        }
        Ok(child)
    }

    /// The service of this name, as a child.
    pub fn service(&self, name: &str) -> Option<Child> {
        self.supervisor.child(name)
    }

    /// All services, in order of start.
    pub fn list(&self) -> Vec<ChildStatus> {
        self.supervisor.children()
    }

    /// Waits for the next service that is given up: each is told once, as
    /// [`Supervisor::gave_up`] has it.
    ///
    /// # Cancel safety
    ///
    /// Safe: what it has not answered is told to who asks next.
    pub async fn gave_up(&self) -> GaveUp {
        self.supervisor.gave_up().await
    }

    /// Ends all services at once, with SIGKILL, and does not wait. After this none starts.
    ///
    /// They have been stopped then, and have not failed.
    pub fn kill(&self) {
        // Asked first, so that none is restarted.
        for service in self.list() {
            if let Some(child) = self.service(&service.name) {
                child.ask_to_stop();
            }
        }
        self.kill.cancel();
    }

    /// Stops all services, the last one started first, each when the one before it has ended: at
    /// most for `deadline`, when the rest is killed.
    ///
    /// # Cancel safety
    ///
    /// As [`Supervisor::shutdown`].
    pub async fn shutdown(&self, deadline: Duration) -> SupervisorReport {
        self.supervisor.shutdown(deadline).await
    }
}

async fn incarnation(
    runner: &ServiceRunner,
    service: &ServiceSpec,
    stop: &Stop,
    context: &ChildContext,
) -> Result<(), ChildError> {
    match runner.run(service, stop, || context.ready()).await {
        Ok(exit) if exit.is_success() || stop.is_requested() => Ok(()),
        Ok(exit) => Err(ServiceExit(exit).into()),
        Err(_) if stop.is_requested() => Ok(()),
        Err(error) if error.is_permanent() => Err(ChildError::from(error).permanent()),
        Err(error) => Err(error.into()),
    }
}
