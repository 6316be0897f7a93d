//! A workflow of processes from a workflow file: the handlers behind its steps and services.

mod again;
mod hooks;
mod outputs;
mod service_end;
mod step_exit;
mod variables;

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use coordination::CoordinationModule;
use coordination::bus::CancellationToken;
use coordination::bus::vocabulary::Exit;
use coordination::patterns::process::{ProcessError, ProcessSpec, Secrets, Stop};
use coordination::patterns::service::ServiceSpec;
use coordination::recovery::{Child, ChildSpec};
use coordination::workflow::{
    Call, Durable, Faults, HandlerCall, HookCall, Registry, RunId, RunView, Spec, StepContext,
    StepError, StepPhase, StepSpec, UndoSpec, Workflow,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::definition::Definition;
use crate::file::{Action, Role, Step, Unit, WorkflowFile, item_text};
use crate::hands::{Hands, StoppedByHand, Wish};
use crate::labels::Labels;
use crate::output_folder::OutputFolder;
use crate::process_name::{item_name, undo_name};
use crate::signals::Interrupts;
pub(crate) use hooks::FailedHook;
use outputs::{OutputFile, StepOutput};
pub(crate) use outputs::{VARIABLE, shown};
pub(crate) use service_end::FailedService;
use service_end::{NeverReady, NotUp};
use step_exit::{judged, well};
use variables::ATTEMPT;
pub(crate) use variables::RUN_ID;

/// How long a step's processes have between SIGTERM and SIGKILL.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// What the registry calls what a run stays for.
const STAY: &str = "services";

/// What a run waits for when its steps are over: the services that run on.
#[derive(Debug, Default)]
pub(crate) struct Stay {
    /// Cancelled when the run is up for nothing but them.
    pub(crate) begun: CancellationToken,
    /// Cancelled when the run is to end, whoever wants that.
    pub(crate) unwanted: CancellationToken,
    /// Cancelled when none of them runs any more.
    pub(crate) over: CancellationToken,
}

/// What the handlers share.
pub(crate) struct Job {
    pub(crate) file: WorkflowFile,
    pub(crate) params: BTreeMap<String, String>,
    secrets: Secrets,
    pub(crate) module: Arc<CoordinationModule>,
    pub(crate) interrupts: Interrupts,
    pub(crate) hands: Hands,
    /// What items are called.
    labels: Arc<Labels>,
    /// Where steps write what they put out, if any do.
    pub(crate) outputs: Option<OutputFolder>,
    /// Where each unit is.
    places: HashMap<String, usize>,
    /// The services that have been ready, by their places.
    up: Vec<OnceCell<()>>,
    /// How often a service was started.
    starts: Vec<Arc<AtomicU32>>,
    /// Whether a unit is a service that was ready before the run was taken up: its step is done, and
    /// nothing of it runs.
    was_up: Vec<bool>,
    /// Of each service whether nobody needs it any more.
    unneeded: Vec<AtomicBool>,
    /// The hooks that failed, of a step or of the run, and why: each runs once.
    failed_hooks: Mutex<Vec<FailedHook>>,
    /// How far the services have got that the run stays for.
    pub(crate) stay: Stay,
    /// The service whose failure ends the run.
    failed_service: OnceLock<FailedService>,
}

/// The workflow of a file, given whether each of its units runs, whether it stays for services, and what
/// its time limit does not count.
pub(crate) fn workflow(
    job: &Arc<Job>,
    runs: &[bool],
    stays: bool,
    gone_on: Duration,
) -> Result<Workflow<Definition, Durable>, Faults> {
    let mut spec = Spec::new(&job.file.name);
    spec.timeout = Some(job.file.timeout.saturating_add(gone_on));
    spec.concurrency = job.file.concurrency;
    spec.on_failure = job.file.on_failure;
    if let Some(own) = &job.file.hooks {
        spec = spec.hook(hooks::spec(own, None));
    }
    if stays {
        spec = spec.stay(Call::new(STAY, Value::Null));
    }
    for (index, (unit, runs)) in job.file.units.iter().zip(runs).enumerate() {
        let input = job.described(unit, index);
        let mut planned = match &unit.role {
            Role::Step(step) => planned_step(&job.file, unit, step, index).input(input),
            // Its probe and its restarts bound it, and otherwise the run.
            Role::Service(_) => StepSpec::new(&unit.id, "service")
                .input(input)
                .timeout(job.file.timeout),
        };
        planned = planned.needs(&unit.needs).needs_any(&unit.needs_any);
        let condition = unit.step().and_then(|step| step.when.as_ref());
        let condition = condition.filter(|condition| !condition.takes.is_empty());
        if !runs {
            planned = planned.when(Call::new("decided", false));
        } else if let Some(condition) = condition {
            let input = json!({ "unit": index, "when": condition.expression() });
            planned = planned.when(Call::new("condition", input));
        }
        spec = spec.step(planned);
    }
    registry(job).workflow_with_input(spec)
}

fn planned_step(file: &WorkflowFile, unit: &Unit, step: &Step, index: usize) -> StepSpec {
    let planned = match &unit.action {
        Action::Signal(name) => StepSpec::signal(&unit.id, name),
        Action::Sleep(wait) => StepSpec::sleep(&unit.id, *wait),
        Action::Shell(_) | Action::Program { .. } => StepSpec::new(&unit.id, "process"),
    };
    let mut planned = planned.timeout(step.timeout);
    if let Some(retry) = step.retry {
        planned = planned.retry(retry);
    }
    if step.optional {
        planned = planned.optional();
    }
    planned.total_timeout = step.failing.total_timeout;
    planned.heartbeat_timeout = step.failing.heartbeat_timeout;
    planned.on_exhausted = step.failing.on_exhausted;
    planned.critical = step.failing.critical;
    for (name, permits) in &step.resources {
        planned = planned.resource(name, *permits);
    }
    if let Some(each) = &step.each {
        // As many as steps, where nothing else is said.
        let at_once = each.max_parallel.or(file.concurrency);
        planned = planned.for_each(outputs::each(file, each, at_once));
    }
    if let Some(undo) = &step.undo {
        let input = json!({ "unit": index, "shell": undo.run });
        let mut planned_undo = UndoSpec::from(Call::new("undo", input));
        planned_undo.retry = undo.retry;
        planned_undo.timeout = undo.timeout;
        planned = planned.undo(planned_undo);
    }
    if let Some(own) = &step.hooks {
        planned = planned.hook(hooks::spec(own, Some(index)));
    }
    planned
}

fn registry(job: &Arc<Job>) -> Registry {
    let (run, serve, undo) = (Arc::clone(job), Arc::clone(job), Arc::clone(job));
    let (hooked, stays, decides) = (Arc::clone(job), Arc::clone(job), Arc::clone(job));
    Registry::new()
        .hook(hooks::HOOKS, move |call| {
            let job = Arc::clone(&hooked);
            async move { job.hook(&call).await }
        })
        .hook(STAY, move |call| {
            let job = Arc::clone(&stays);
            async move { job.stay(&call).await }
        })
        .handler("decided", |call: HandlerCall| async move { Ok(call.input) })
        .handler("condition", move |call| {
            let job = Arc::clone(&decides);
            async move { job.decide(&call) }
        })
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
        secrets: Secrets,
        module: Arc<CoordinationModule>,
        interrupts: Interrupts,
        labels: Arc<Labels>,
        before: Option<&RunView>,
    ) -> Self {
        let steps = before.map(|run| &*run.steps).unwrap_or_default();
        let was_up = file.units.iter().enumerate().map(|(place, unit)| {
            let step = steps.get(place).filter(|_| unit.service().is_some());
            step.is_some_and(|step| step.phase == StepPhase::Completed)
        });
        let ids = file.units.iter().map(|unit| unit.id.clone());
        let failed = before.and_then(FailedService::before);
        Self {
            outputs: None,
            places: ids.zip(0..).collect(),
            was_up: was_up.collect(),
            starts: file.units.iter().map(|_| Arc::default()).collect(),
            unneeded: file.units.iter().map(|_| AtomicBool::default()).collect(),
            failed_hooks: Mutex::default(),
            stay: Stay::default(),
            failed_service: failed.map(OnceLock::from).unwrap_or_default(),
            up: file.units.iter().map(|_| OnceCell::new()).collect(),
            file,
            params,
            secrets,
            module,
            interrupts,
            hands: Hands::default(),
            labels,
        }
    }

    /// With the folder in which its steps write what they put out.
    pub(crate) fn with_outputs(self, outputs: Option<OutputFolder>) -> Self {
        Self { outputs, ..self }
    }

    /// Where a unit is in the file.
    pub(crate) fn place(&self, unit: &str) -> Option<usize> {
        self.places.get(unit).copied()
    }

    /// Whether a service has been ready.
    pub(crate) fn was_ready(&self, service: &str) -> bool {
        let place = self.place(service);
        place.is_some_and(|place| {
            let child = self.child(place);
            self.up[place].initialized() || child.is_some_and(|child| child.has_been_ready())
        })
    }

    /// Nobody needs a service any more: it is no failure if it never is ready.
    pub(crate) fn note_unneeded(&self, service: usize) {
        self.unneeded[service].store(true, Ordering::Release);
    }

    fn is_unneeded(&self, service: usize) -> bool {
        self.unneeded[service].load(Ordering::Acquire)
    }

    /// What a unit is, beside its place: a run of other processes is another run, and is refused
    /// where the one is to be taken up.
    fn described(&self, unit: &Unit, index: usize) -> Value {
        let process = match &unit.action {
            Action::Shell(line) => json!({ "shell": line }),
            Action::Program { program, arguments } => {
                json!({ "program": program, "arguments": arguments })
            }
            Action::Signal(_) | Action::Sleep(_) => Value::Null,
        };
        let mut described = json!({
            "unit": index,
            "process": process,
            "folder": unit.folder.to_string_lossy(),
            "env": [&self.file.env, &unit.env],
            "params": self.params,
        });
        // What was not there before is left out where it is not used: a run goes on with its definition.
        if !unit.taken.is_empty() {
            described["taken"] = json!(unit.taken);
        }
        if let Some(step) = unit.step().filter(|step| !step.outputs.is_empty()) {
            described["outputs"] = json!(step.outputs);
        }
        described
    }

    async fn run(&self, call: &HandlerCall) -> Result<Value, StepError> {
        let unit = self.unit(call)?;
        if self.hands.is_given_up(&unit.id) {
            return Err(StepError::from(StoppedByHand).permanent());
        }
        let (run, token) = (call.context.run(), call.context.token());
        self.services_up(unit, run, &token).await?;
        let process = call_of(unit).ok_or_else(no_such_unit)?;
        let taken = self.taken(unit, &call.outputs);
        let mut process = self.attempt(unit, process, &call.context);
        process = process.envs(&taken);
        if let (Some(item), Some(place)) = (&call.item, call.context.part()) {
            process.name = item_name(&unit.id, place);
            let item = item_text(item);
            self.labels.note(&process.name, &self.secrets.masked(&item));
            process = process
                .env("COORD_ITEM", item)
                .env("COORD_ITEM_INDEX", place.to_string());
        }
        let codes = unit.step().map_or(&[][..], |step| &step.exit_codes);
        let (exit, file) = loop {
            // One that is run again goes on with nothing of what the one before it has written.
            let file = OutputFile::of(unit, self.outputs.as_ref())?;
            let process = process.clone().envs(file.variable());
            if let Some(ended) = self.run_at_hand(&process, call).await {
                break (ended.map_err(|error| judged(codes, error))?, file);
            }
        };
        let outputs = file.read(|text| self.secrets.masked(text))?;
        // Of one that is done for each of a list, others go over what the items put out.
        let lists = match unit.each() {
            Some(_) => BTreeMap::new(),
            None => outputs::lists(&outputs, self.file.lists_of(&unit.id))?,
        };
        Ok(json!(StepOutput {
            exit,
            outputs,
            lists,
            taken
        }))
    }

    /// Runs the process of a step, in reach of who wants it to be stopped, or run again: then `None`.
    async fn run_at_hand(
        &self,
        process: &ProcessSpec,
        call: &HandlerCall,
    ) -> Option<Result<Exit, StepError>> {
        let stop = Stop {
            graceful: self.hands.hold(&process.name, &call.context.token()),
            immediate: self.interrupts.kill.clone(),
        };
        call.context.heartbeat();
        let ended = self.run_process(process, &stop, &call.context).await;
        match self.hands.release(&process.name) {
            _ if call.context.token().is_cancelled() => Some(ended),
            Some(Wish::Restart(_)) => None,
            Some(Wish::Stop(_)) => Some(Err(StepError::from(StoppedByHand).permanent())),
            Some(Wish::Retry(_) | Wish::Skip(_) | Wish::Signal { .. }) | None => Some(ended),
        }
    }

    async fn undo(&self, call: &HandlerCall) -> Result<Value, StepError> {
        let unit = self.unit(call)?;
        let undo = unit.step().and_then(|step| step.undo.as_ref());
        let undo = undo.ok_or_else(no_such_unit)?;
        let process = ProcessSpec::shell(undo_name(&unit.id), &undo.run);
        let (run, token) = (call.context.run(), call.context.token());
        self.services_up(unit, run, &token).await?;
        let process = self.attempt(unit, process, &call.context).grace(GRACE);
        let output = call.outputs.get(&unit.id);
        let process = process.envs(outputs::of_step(unit, output.map(|output| &**output)));
        let process = self.fitting(process)?;
        let stop = Stop {
            graceful: call.context.token(),
            immediate: self.interrupts.abandon.clone(),
        };
        let undone = self.run_process(&process, &stop, &call.context).await;
        match undone {
            // Whoever asked for an end at once leaves the run as it is: who resumes it goes on undoing.
            Err(_) if stop.immediate.is_cancelled() => pending().await,
            Err(error) => Err(judged(&undo.exit_codes, error)),
            Ok(exit) => Ok(json!(exit)),
        }
    }

    /// The run is up, until no service runs any more.
    async fn stay(&self, call: &HookCall) -> Result<(), StepError> {
        self.stay.begun.cancel();
        tokio::select! {
            () = self.stay.over.cancelled() => return Ok(()),
            () = call.token.cancelled() => {}
        }
        self.stay.unwanted.cancel();
        self.stay.over.cancelled().await;
        Ok(())
    }

    async fn serve(&self, call: &HandlerCall) -> Result<Value, StepError> {
        let unit = self.unit(call)?;
        let place = self.place(&unit.id).ok_or_else(no_such_unit)?;
        let (run, token) = (call.context.run(), call.context.token());
        match self.up(place, run, &token).await {
            // It was not started for that, or stopped before it was ready, which harms nobody.
            Err(_) if self.is_unneeded(place) => {}
            up => up?,
        }
        Ok(Value::Null)
    }

    /// Starts a service, unless it has been ready, and is done when it is.
    pub(crate) async fn up(
        &self,
        place: usize,
        run: &RunId,
        token: &CancellationToken,
    ) -> Result<(), StepError> {
        self.services_up(&self.file.units[place], run, token)
            .await?;
        let up = self.up[place].get_or_try_init(|| self.start_up(place, run, token));
        up.await.copied()
    }

    /// Starts the services again that a unit needs, in a run that was taken up.
    async fn services_up(
        &self,
        unit: &Unit,
        run: &RunId,
        token: &CancellationToken,
    ) -> Result<(), StepError> {
        for place in self.services_of(unit, |place| self.was_up[place]) {
            let up = self.up[place].get_or_try_init(|| self.start_up(place, run, token));
            up.await.map_err(|error| {
                let service = FailedService::not_up(&self.file.units[place].id, &error);
                StepError::from(NotUp(service)).permanent()
            })?;
        }
        Ok(())
    }

    /// The services that a unit needs, and those that they need, each after those: of those that
    /// are meant.
    fn services_of(&self, unit: &Unit, is_meant: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut found = Vec::new();
        let before = |unit: &Unit| self.services_before(unit, &is_meant);
        let mut next = before(unit);
        // The file was checked: services do not need each other in a circle.
        while let Some((place, has_needs)) = next.pop() {
            if found.contains(&place) {
                continue;
            }
            if has_needs {
                found.push(place);
            } else {
                next.push((place, true));
                next.extend(before(&self.file.units[place]));
            }
        }
        found
    }

    /// Those that it names, as they are looked at first.
    fn services_before(&self, unit: &Unit, is_meant: impl Fn(usize) -> bool) -> Vec<(usize, bool)> {
        let places = unit.waits_for().filter_map(|need| self.place(need));
        let services = places.filter(|place| is_meant(*place));
        services.map(|place| (place, false)).collect()
    }

    async fn start_up(
        &self,
        place: usize,
        run: &RunId,
        token: &CancellationToken,
    ) -> Result<(), StepError> {
        if self.is_unneeded(place) {
            return Err(NeverReady::unwanted("nobody needs it any more").into());
        }
        let child = self.start(place, run)?;
        tokio::select! {
            biased;
            ready = child.ready() => {
                match ready {
                    // It was, and has ended since.
                    Err(_) if child.has_been_ready() => Ok(()),
                    ready => ready.map_err(|end| StepError::from(NeverReady::of(&end)).permanent()),
                }
            }
            () = token.cancelled() => {
                // Whoever cancels it sees that first, and takes no error of it for a failure.
                tokio::task::yield_now().await;
                tokio::select! {
                    _ = child.stop() => {}
                    // It goes on stopping, and nothing that is to be undone waits for it.
                    () = self.interrupts.kill.cancelled() => {}
                }
                Err(NeverReady::unwanted("the run ends").into())
            }
        }
    }

    fn start(&self, place: usize, run: &RunId) -> Result<Child, StepError> {
        let unit = &self.file.units[place];
        let service = unit.service().ok_or_else(no_such_unit)?;
        let process = call_of(unit).ok_or_else(no_such_unit)?;
        let process = self
            .process(unit, process, run)
            .grace(service.grace)
            .stop_signal(service.stop_signal);
        let mut spec = ServiceSpec::new(process);
        if let Some(ready) = &service.ready {
            spec = spec.ready(ready.probe.clone());
        }
        if let Some(live) = &service.live {
            spec = spec.live(live.probe.clone());
        }
        let policy = service.restart;
        let child = ChildSpec::new(unit.id.as_str())
            .restart(policy.restart)
            .backoff(policy.backoff)
            .intensity(policy.intensity, policy.within);
        // Of one that is started again by hand, too, each has a number of its own.
        let starts = Arc::clone(&self.starts[place]);
        let started = self.module.services()?.start_with(child, move |_| {
            let incarnation = starts.fetch_add(1, Ordering::Relaxed) + 1;
            let mut spec = spec.clone();
            spec.process = spec.process.env(ATTEMPT, incarnation.to_string());
            spec.process.attempt = incarnation;
            spec
        });
        Ok(started?)
    }

    fn unit(&self, call: &HandlerCall) -> Result<&Unit, StepError> {
        self.unit_of(&call.input).ok_or_else(no_such_unit)
    }

    fn unit_of(&self, input: &Value) -> Option<&Unit> {
        let index = input.get("unit").and_then(Value::as_u64)?;
        self.file.units.get(usize::try_from(index).ok()?)
    }

    /// Runs a process; each line that it prints is a sign of life.
    async fn run_process(
        &self,
        process: &ProcessSpec,
        stop: &Stop,
        context: &StepContext,
    ) -> Result<Exit, StepError> {
        let runner = self.module.processes()?;
        let printed = |_: &str| context.heartbeat();
        match runner.run_with_output(process, stop, printed).await {
            Ok(exit) => well(exit, stop),
            Err(error @ ProcessError::Stopped { .. }) => Err(StepError::from(error).permanent()),
            Err(error) if error.is_permanent() => Err(StepError::from(error).permanent()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a unit runs, if it does not only wait.
fn call_of(unit: &Unit) -> Option<ProcessSpec> {
    match &unit.action {
        Action::Shell(line) => Some(ProcessSpec::shell(&unit.id, line)),
        Action::Program { program, arguments } => {
            Some(ProcessSpec::program(&unit.id, program).args(arguments))
        }
        Action::Signal(_) | Action::Sleep(_) => None,
    }
}

fn no_such_unit() -> StepError {
    StepError::message("the file has no such step or service").permanent()
}
