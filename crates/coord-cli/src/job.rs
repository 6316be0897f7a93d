//! A workflow of processes from a workflow file: the handlers behind its steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::vocabulary::Exit;
use coordination::patterns::process::{ProcessError, ProcessRunner, ProcessSpec, Stop};
use coordination::workflow::{
    Call, Faults, HandlerCall, Registry, Spec, StepContext, StepError, StepSpec, Workflow,
};
use serde_json::{Value, json};

use crate::file::{Action, FileStep, WorkflowFile, param_variable};
use crate::signals::Interrupts;

/// How long a step's processes have between SIGTERM and SIGKILL.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// A process of a step ended, and not well.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StepExit(pub(crate) Exit);

/// What the handlers share.
pub(crate) struct Job {
    pub(crate) file: WorkflowFile,
    pub(crate) params: BTreeMap<String, String>,
    pub(crate) runner: ProcessRunner,
    pub(crate) interrupts: Interrupts,
}

/// What the events call the process that undoes a step.
pub(crate) fn undo_name(step: &str) -> String {
    format!("undo {step}")
}

/// The workflow of a file whose conditions have been decided, one answer a step.
pub(crate) fn workflow(job: &Arc<Job>, conditions: &[bool]) -> Result<Workflow, Faults> {
    let mut spec = Spec::new(&job.file.name);
    spec.timeout = Some(job.file.timeout);
    spec.concurrency = job.file.concurrency;
    for (index, (step, runs)) in job.file.steps.iter().zip(conditions).enumerate() {
        let mut planned = StepSpec::new(&step.id, "process")
            .input(index)
            .needs(&step.needs)
            .timeout(step.timeout);
        if !runs {
            planned = planned.when(Call::new("decided", false));
        }
        if let Some(retry) = step.retry {
            planned = planned.retry(retry);
        }
        if step.optional {
            planned = planned.optional();
        }
        if step.undo.is_some() {
            planned = planned.undo(Call::new("undo", index));
        }
        spec = spec.step(planned);
    }
    registry(job).workflow(spec)
}

fn registry(job: &Arc<Job>) -> Registry {
    let (run, undo) = (Arc::clone(job), Arc::clone(job));
    Registry::new()
        .handler("decided", |call: HandlerCall| async move { Ok(call.input) })
        .handler("process", move |call| {
            let job = Arc::clone(&run);
            async move { job.run(&call).await }
        })
        .handler("undo", move |call| {
            let job = Arc::clone(&undo);
            async move { job.undo(&call).await }
        })
}

impl Job {
    async fn run(&self, call: &HandlerCall) -> Result<Value, StepError> {
        let step = self.step(call)?;
        let name = step.id.clone();
        let process = match &step.action {
            Action::Shell(line) => ProcessSpec::shell(name, line),
            Action::Program { program, arguments } => {
                ProcessSpec::program(name, program).args(arguments)
            }
        };
        let stop = Stop {
            graceful: call.context.token(),
            immediate: self.interrupts.kill.clone(),
        };
        self.process(step, process, &call.context, &stop).await
    }

    async fn undo(&self, call: &HandlerCall) -> Result<Value, StepError> {
        let step = self.step(call)?;
        let line = step.undo.as_deref().unwrap_or_default();
        let process = ProcessSpec::shell(undo_name(&step.id), line);
        let stop = Stop {
            graceful: call.context.token(),
            immediate: self.interrupts.abandon.clone(),
        };
        let undone = self.process(step, process, &call.context, &stop).await;
        match undone {
            // Whoever asked for an end at once does not want another attempt.
            Err(error) if stop.immediate.is_cancelled() => Err(error.permanent()),
            undone => undone,
        }
    }

    fn step(&self, call: &HandlerCall) -> Result<&FileStep, StepError> {
        let index = call
            .input
            .as_u64()
            .and_then(|index| usize::try_from(index).ok());
        index
            .and_then(|index| self.file.steps.get(index))
            .ok_or_else(|| StepError::message("the file has no such step").permanent())
    }

    async fn process(
        &self,
        step: &FileStep,
        process: ProcessSpec,
        context: &StepContext,
        stop: &Stop,
    ) -> Result<Value, StepError> {
        let params = self.params.iter();
        let process = process
            .dir(&step.folder)
            .grace(GRACE)
            .env("COORD_WORKFLOW", context.workflow())
            .env("COORD_RUN", context.run().as_str())
            .env("COORD_STEP", context.step())
            .env("COORD_ATTEMPT", context.attempt().to_string())
            .envs(params.map(|(name, value)| (param_variable(name), value)))
            .envs(&self.file.env)
            .envs(&step.env);
        match self.runner.run(&process, stop).await {
            Ok(exit) if exit.is_success() => Ok(json!(exit)),
            Ok(exit) => Err(StepExit(exit).into()),
            Err(error) if will_fail_again(&error) => Err(StepError::from(error).permanent()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether another attempt would fail in the same way.
fn will_fail_again(error: &ProcessError) -> bool {
    matches!(
        error,
        ProcessError::ProgramNotFound { .. }
            | ProcessError::NotExecutable { .. }
            | ProcessError::DirectoryNotFound { .. }
            | ProcessError::Stopped { .. }
    )
}
