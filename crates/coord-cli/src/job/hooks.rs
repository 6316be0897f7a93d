//! Runs the hooks of a file, and notes which failed.

use std::mem::take;
use std::pin::pin;
use std::sync::{MutexGuard, PoisonError};

use coordination::bus::time::timeout;
use coordination::patterns::process::{ProcessSpec, Stop};
use coordination::workflow::{
    AttemptError, Call, HookCall, HookSpec, PartError, Status, StepError,
};
use serde_json::json;

use super::step_exit::{StepExit, well};
use super::{ATTEMPT, FailedService, GRACE, Job, no_such_unit, outputs, service_end};
use crate::file::Hooks;
use crate::process_name::hook_name;

/// What the registry calls them.
pub(super) const HOOKS: &str = "hooks";

/// How many hooks there are for an end, at most: that for this kind of end, and that for any.
const AT_AN_END: u32 = 2;

/// A hook that failed.
#[derive(Debug, Clone)]
pub(crate) struct FailedHook {
    /// The step that it is of, by its place; `None`: it is the run's.
    pub(crate) unit: Option<usize>,
    /// For when it is, and why it failed.
    pub(crate) why: String,
}

/// How a step or the run came to its end.
struct End {
    status: Status,
    /// The ids of what failed, with spaces between them.
    failed: String,
    /// Why the first of them did.
    why: Option<String>,
    /// Its exit code.
    code: Option<i32>,
}

/// Those of the unit at this place, or of the run.
pub(super) fn spec(hooks: &Hooks, unit: Option<usize>) -> HookSpec {
    let call = Call::new(HOOKS, json!({ "unit": unit }));
    // Each has its own; this is only so that nothing goes on for ever.
    let all = (hooks.timeout + GRACE + GRACE).saturating_mul(AT_AN_END);
    HookSpec::from(call).timeout(all)
}

/// The exit code of what failed: of items, of the first to fail; of a step that has no service, of that.
fn exit_code(error: &StepError) -> Option<i32> {
    let exit: Option<&StepExit> = match error.downcast_ref() {
        Some(PartError::ItemsFailed { source, .. }) => source.downcast_ref(),
        _ => error.downcast_ref(),
    };
    match exit {
        Some(exit) => exit.0.code,
        None => service_end::exit_code(error),
    }
}

/// The places of the items that failed, with spaces between them.
fn failed_items(error: &StepError) -> Option<String> {
    let Some(PartError::ItemsFailed { failed, .. }) = error.downcast_ref() else {
        return None;
    };
    let failed: Vec<String> = failed.iter().map(ToString::to_string).collect();
    Some(failed.join(" "))
}

impl Job {
    /// The hooks that failed since this was last asked.
    pub(crate) fn failed_hooks(&self) -> Vec<FailedHook> {
        take(&mut *self.failures_of_hooks())
    }

    /// The service for which the run has failed.
    pub(crate) fn failed_service(&self) -> Option<&FailedService> {
        self.failed_service.get()
    }

    /// A service has failed for good, and the run ends for it.
    pub(crate) fn note_failed_service(&self, failed: &FailedService) {
        let _ = self.failed_service.set(failed.clone());
    }

    /// Runs what is for such an end, one after the other, each whatever came of those before.
    pub(super) async fn hook(&self, call: &HookCall) -> Result<(), StepError> {
        let unit = self.unit_of(&call.input);
        let hooks = match unit {
            Some(unit) => unit.step().and_then(|step| step.hooks.as_ref()),
            None => self.file.hooks.as_ref(),
        };
        let hooks = hooks.ok_or_else(no_such_unit)?;
        let interrupts = &self.interrupts;
        let immediate = match unit {
            Some(_) => &interrupts.kill,
            // As what undoes steps.
            None => &interrupts.abandon,
        };
        let end = self.end_of(call);
        let mut failed = Vec::new();
        for (when, line) in hooks.of(end.status) {
            let process = ProcessSpec::shell(hook_name(call.step.as_deref()), line);
            let process = self.told(process, call, when, &end);
            let stop = Stop {
                graceful: call.token.child_token(),
                immediate: immediate.clone(),
            };
            let mut ending = pin!(self.hook_to_end(process, &stop));
            let ended = match timeout(hooks.timeout, &mut ending).await {
                Ok(ended) => ended,
                Err(_) => {
                    stop.graceful.cancel();
                    let _ = ending.await;
                    Err(StepError::from(AttemptError::TimedOut(hooks.timeout)))
                }
            };
            if let Err(error) = ended {
                failed.push(format!("`{when}`: {error}"));
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        let why = failed.join("; ");
        let unit = unit.and_then(|unit| self.places.get(&unit.id)).copied();
        let hook = FailedHook {
            unit,
            why: why.clone(),
        };
        self.failures_of_hooks().push(hook);
        Err(StepError::message(why))
    }

    fn failures_of_hooks(&self) -> MutexGuard<'_, Vec<FailedHook>> {
        let failed = self.failed_hooks.lock();
        failed.unwrap_or_else(PoisonError::into_inner)
    }

    /// How it came to an end.
    fn end_of(&self, call: &HookCall) -> End {
        let is_of_run = call.step.is_none();
        if let (true, true, Some(service)) =
            (is_of_run, call.failures.is_empty(), self.failed_service())
        {
            return End {
                status: call.status,
                failed: service.id.clone(),
                why: Some(service.why.clone()),
                code: service.code,
            };
        }
        let failed: Vec<_> = call.failures.iter().map(|(id, _)| id.as_str()).collect();
        let first = call.failures.first();
        End {
            status: call.status,
            failed: failed.join(" "),
            why: first.map(|(_, error)| error.to_string()),
            code: first.and_then(|(_, error)| exit_code(error)),
        }
    }

    /// With the variables that tell what happened.
    fn told(&self, process: ProcessSpec, call: &HookCall, when: &str, end: &End) -> ProcessSpec {
        let mut process = match self.unit_of(&call.input) {
            Some(unit) => {
                let outputs = outputs::of_step(unit, call.output.as_deref());
                let process = self.process(unit, process, &call.run).envs(outputs);
                process.env(ATTEMPT, call.attempt.to_string())
            }
            None => self
                .process_of_run(process, &call.run)
                .env("COORD_FAILED_STEPS", &end.failed)
                .dir(&self.file.folder),
        };
        if let Some(why) = &end.why {
            process = process.env("COORD_ERROR", why);
        }
        if let Some(code) = end.code {
            process = process.env("COORD_EXIT_CODE", code.to_string());
        }
        let first = call.failures.first().map(|(_, error)| error);
        if let (Some(_), Some(items)) = (&call.step, first.and_then(failed_items)) {
            process = process.env("COORD_FAILED_ITEMS", items);
        }
        process
            .env("COORD_HOOK", when)
            .env("COORD_STATUS", end.status.to_string())
            .grace(GRACE)
    }

    async fn hook_to_end(&self, process: ProcessSpec, stop: &Stop) -> Result<(), StepError> {
        let process = self.fitting(process)?;
        match self.module.processes()?.run(&process, stop).await {
            Ok(exit) => well(exit, stop).map(drop),
            Err(error) => Err(error.into()),
        }
    }
}
