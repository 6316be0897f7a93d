//! A workflow of processes from a workflow file: the handlers behind its steps and services.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coordination::bus::vocabulary::Exit;
use coordination::patterns::process::{ProcessError, ProcessSpec, Stop};
use coordination::patterns::service::{ServiceError, ServiceSpec};
use coordination::recovery::{Child, ChildEnd, ChildError, ChildSpec, GaveUp, GiveUpReason};
use coordination::workflow::{
    Call, Durable, Faults, HandlerCall, Registry, Spec, StepContext, StepError, StepSpec, UndoSpec,
    Workflow,
};
use coordination::{CoordinationError, CoordinationModule};
use serde_json::{Value, json};

use crate::file::{Action, Role, Service, Step, Unit, WorkflowFile, param_variable};
use crate::hands::{Hands, StoppedByHand, Wish};
use crate::signals::Interrupts;
use crate::spoken::Spoken;
use crate::undo::undo_name;

/// How long a step's processes have between SIGTERM and SIGKILL.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// The variable that says which attempt a process is, or which incarnation of a service.
const ATTEMPT: &str = "COORD_ATTEMPT";

/// A process of a step ended, and not well.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StepExit(pub(crate) Exit);

/// A service came to an end before it was ready.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NeverReady(String);

/// What the handlers share.
pub(crate) struct Job {
    pub(crate) file: WorkflowFile,
    pub(crate) params: BTreeMap<String, String>,
    pub(crate) module: Arc<CoordinationModule>,
    pub(crate) interrupts: Interrupts,
    pub(crate) hands: Hands,
    ready: Mutex<HashSet<String>>,
}

/// The workflow of a file, given whether each of its units runs.
pub(crate) fn workflow(job: &Arc<Job>, runs: &[bool]) -> Result<Workflow<(), Durable>, Faults> {
    let mut spec = Spec::new(&job.file.name);
    spec.timeout = Some(job.file.timeout);
    spec.concurrency = job.file.concurrency;
    for (index, (unit, runs)) in job.file.units.iter().zip(runs).enumerate() {
        let mut planned = match &unit.role {
            Role::Step(step) => planned_step(unit, step, index),
            // Its probe and its restarts bound it, and otherwise the run.
            Role::Service(_) => StepSpec::new(&unit.id, "service")
                .input(index)
                .timeout(job.file.timeout),
        };
        planned = planned.needs(&unit.needs).needs_any(&unit.needs_any);
        if !runs {
            planned = planned.when(Call::new("decided", false));
        }
        spec = spec.step(planned);
    }
    registry(job).workflow(spec)
}

fn planned_step(unit: &Unit, step: &Step, index: usize) -> StepSpec {
    let mut planned = StepSpec::new(&unit.id, "process")
        .input(index)
        .timeout(step.timeout);
    if let Some(retry) = step.retry {
        planned = planned.retry(retry);
    }
    if step.optional {
        planned = planned.optional();
    }
    for (name, permits) in &step.resources {
        planned = planned.resource(name, *permits);
    }
    if let Some(undo) = &step.undo {
        let mut planned_undo = UndoSpec::from(Call::new("undo", index));
        planned_undo.retry = undo.retry;
        planned_undo.timeout = undo.timeout;
        planned = planned.undo(planned_undo);
    }
    planned
}

fn registry(job: &Arc<Job>) -> Registry {
    let (run, serve, undo) = (Arc::clone(job), Arc::clone(job), Arc::clone(job));
    Registry::new()
        .handler("decided", |call: HandlerCall| async move { Ok(call.input) })
        .handler("process", move |call| {
            let job = Arc::clone(&run);
            async move { job.run(&call).await }
        })
        .handler("service", move |call| {
            let job = Arc::clone(&serve);
            async move { job.serve(&call).await }
        })
        .handler("undo", move |call| {
            let job = Arc::clone(&undo);
            async move { job.undo(&call).await }
        })
}

impl Job {
    pub(crate) fn new(
        file: WorkflowFile,
        params: BTreeMap<String, String>,
        module: Arc<CoordinationModule>,
        interrupts: Interrupts,
    ) -> Self {
        Self {
            file,
            params,
            module,
            interrupts,
            hands: Hands::default(),
            ready: Mutex::default(),
        }
    }

    /// Whether a service has been ready.
    pub(crate) fn was_ready(&self, service: &str) -> bool {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.contains(service)
    }

    async fn run(&self, call: &HandlerCall) -> Result<Value, StepError> {
        let unit = self.unit(call)?;
        let process = call_of(unit).env(ATTEMPT, call.context.attempt().to_string());
        let process = self.process(unit, process, &call.context).grace(GRACE);
        loop {
            let stop = Stop {
                graceful: self.hands.hold(&unit.id, &call.context.token()),
                immediate: self.interrupts.kill.clone(),
            };
            let ended = self.run_process(&process, &stop).await;
            match self.hands.release(&unit.id) {
                _ if call.context.token().is_cancelled() => return ended,
                Some(Wish::Restart(_)) => {}
                Some(Wish::Stop(_)) => return Err(StepError::from(StoppedByHand).permanent()),
                None => return ended,
            }
        }
    }

    async fn undo(&self, call: &HandlerCall) -> Result<Value, StepError> {
        let unit = self.unit(call)?;
        let undo = unit.step().and_then(|step| step.undo.as_ref());
        let line = undo.ok_or_else(no_such_unit)?.run.as_str();
        let process = ProcessSpec::shell(undo_name(&unit.id), line)
            .env(ATTEMPT, call.context.attempt().to_string());
        let process = self.process(unit, process, &call.context).grace(GRACE);
        let stop = Stop {
            graceful: call.context.token(),
            immediate: self.interrupts.abandon.clone(),
        };
        let undone = self.run_process(&process, &stop).await;
        match undone {
            // Whoever asked for an end at once does not want another attempt.
            Err(error) if stop.immediate.is_cancelled() => Err(error.permanent()),
            undone => undone,
        }
    }

    /// Starts a service, and is done when that is ready.
    async fn serve(&self, call: &HandlerCall) -> Result<Value, StepError> {
        let unit = self.unit(call)?;
        let Some(service) = unit.service() else {
            return Err(no_such_unit());
        };
        let child = self.start(unit, service, &call.context)?;
        let token = call.context.token();
        tokio::select! {
            biased;
            ready = child.ready() => match ready {
                Ok(()) => {
                    let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
                    ready.insert(unit.id.clone());
                    Ok(Value::Null)
                }
                Err(end) => Err(StepError::from(NeverReady(reason(&end))).permanent()),
            },
            () = token.cancelled() => {
                // Whoever cancels it sees that first, and takes no error of it for a failure.
                tokio::task::yield_now().await;
                tokio::select! {
                    _ = child.stop() => {}
                    // It goes on stopping, and nothing that is to be undone waits for it.
                    () = self.interrupts.kill.cancelled() => {}
                }
                Err(NeverReady("the run ends".to_owned()).into())
            }
        }
    }

    fn start(
        &self,
        unit: &Unit,
        service: &Service,
        context: &StepContext,
    ) -> Result<Child, CoordinationError> {
        let process = self
            .process(unit, call_of(unit), context)
            .grace(service.grace)
            .stop_signal(service.stop_signal);
        let mut spec = ServiceSpec::new(process);
        if let Some(ready) = &service.ready {
            spec = spec.ready(ready.clone());
        }
        if let Some(live) = &service.live {
            spec = spec.live(live.clone());
        }
        let policy = service.restart;
        let child = ChildSpec::new(unit.id.as_str())
            .restart(policy.restart)
            .backoff(policy.backoff)
            .intensity(policy.intensity, policy.within);
        let services = self.module.services()?;
        services.start_with(child, move |incarnation| {
            let mut spec = spec.clone();
            // The first of a name, so that the file can still say otherwise.
            let started = (ATTEMPT.into(), incarnation.to_string().into());
            spec.process.environment.insert(0, started);
            spec
        })
    }

    fn unit(&self, call: &HandlerCall) -> Result<&Unit, StepError> {
        let index = call
            .input
            .as_u64()
            .and_then(|index| usize::try_from(index).ok());
        index
            .and_then(|index| self.file.units.get(index))
            .ok_or_else(no_such_unit)
    }

    /// A process with the folder and the variables of its unit, all but [`ATTEMPT`].
    fn process(&self, unit: &Unit, process: ProcessSpec, context: &StepContext) -> ProcessSpec {
        let params = self.params.iter();
        process
            .dir(&unit.folder)
            .env("COORD_WORKFLOW", context.workflow())
            .env("COORD_RUN", context.run().as_str())
            .env("COORD_STEP", context.step())
            .envs(params.map(|(name, value)| (param_variable(name), value)))
            .envs(&self.file.env)
            .envs(&unit.env)
    }

    async fn run_process(&self, process: &ProcessSpec, stop: &Stop) -> Result<Value, StepError> {
        let runner = self.module.processes()?;
        match runner.run(process, stop).await {
            Ok(exit) if exit.is_success() => Ok(json!(exit)),
            Ok(exit) => Err(StepExit(exit).into()),
            Err(error @ ProcessError::Stopped { .. }) => Err(StepError::from(error).permanent()),
            Err(error) if error.is_permanent() => Err(StepError::from(error).permanent()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a unit runs.
fn call_of(unit: &Unit) -> ProcessSpec {
    match &unit.action {
        Action::Shell(line) => ProcessSpec::shell(&unit.id, line),
        Action::Program { program, arguments } => {
            ProcessSpec::program(&unit.id, program).args(arguments)
        }
    }
}

fn no_such_unit() -> StepError {
    StepError::message("the file has no such step or service").permanent()
}

/// Why a service will not become ready, or is no longer.
pub(crate) fn reason(end: &ChildEnd) -> String {
    match end {
        ChildEnd::Completed => "it ended before it was ready".to_owned(),
        ChildEnd::Failed { error } => said(error),
        ChildEnd::GaveUp(gave_up) => why(gave_up),
        end => end.to_string(),
    }
}

/// Why a service was given up.
pub(crate) fn why(gave_up: &GaveUp) -> String {
    let error = said(&gave_up.error);
    match gave_up.reason {
        // One that may not be restarted at all.
        GiveUpReason::Permanent | GiveUpReason::TooManyRestarts { restarts: 0, .. } => error,
        reason => format!("{error}; {reason}"),
    }
}

/// What went wrong with a service, where its name and what it printed stand beside.
fn said(error: &ChildError) -> String {
    match error.downcast_ref() {
        Some(ServiceError::NotReady { after, answer, .. }) => {
            format!("not ready within {}: {answer}", Spoken(*after))
        }
        Some(ServiceError::Unhealthy { answer, .. }) => format!("is not well: {answer}"),
        _ => error.to_string(),
    }
}
