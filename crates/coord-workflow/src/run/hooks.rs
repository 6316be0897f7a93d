//! Calls the hooks of a run and its steps, each before the end counts that it is about.

use std::sync::Arc;

use coord_bus::CancellationToken;
use coord_bus::time::timeout;
use coord_bus::vocabulary::Transition;

use super::Shared;
use super::attempt::Caught;
use crate::StepError;
use crate::course::Phase;
use crate::error::AttemptError;
use crate::hook::{Hook, HookCall};
use crate::outcome::Status;
use crate::plan::Output;
use crate::reason::Reason;

/// The hook of a step, if it has one: it is done, or has failed, or was cancelled.
pub(super) async fn of_step(
    run: &Shared,
    step: usize,
    ended: Result<&Output, Option<&StepError>>,
    attempt: u32,
) {
    let planned = &run.plan.steps[step];
    let Some(hook) = &planned.hook else {
        return;
    };
    let id = || planned.id.to_string();
    let status = match ended {
        Ok(_) => Status::Completed,
        Err(Some(_)) => Status::Failed,
        Err(None) => Status::Cancelled,
    };
    let error = ended.err().flatten();
    let failures = error.map(|error| (id(), error.clone())).into_iter();
    let output = ended.ok().cloned();
    let called = HookCall {
        step: Some(id()),
        attempt,
        failures: failures.collect(),
        output: output.and_then(|output| output.downcast().ok()),
        ..call(hook, run, status)
    };
    made(run, hook, called).await;
}

/// That of the run.
pub(super) async fn of_run(run: &Shared, status: Status) {
    let Some(hook) = &run.plan.hook else {
        return;
    };
    let failures = {
        let queue = run.queue();
        let steps = run.plan.steps.iter().zip(queue.course.steps());
        let failed = steps.filter(|(step, record)| record.phase == Phase::Failed && !step.optional);
        let failed = failed.filter_map(|(step, record)| {
            let error = record.error.as_deref()?.clone();
            Some((step.id.to_string(), error))
        });
        failed.collect()
    };
    let called = HookCall {
        failures,
        ..call(hook, run, status)
    };
    made(run, hook, called).await;
}

pub(super) fn call(hook: &Hook, run: &Shared, status: Status) -> HookCall {
    HookCall {
        input: hook.input.clone(),
        run: run.id.clone(),
        fencing_token: run.fence,
        step: None,
        status,
        attempt: 0,
        failures: Vec::new(),
        output: None,
        // The run's own may be cancelled by now; its hooks are not.
        token: CancellationToken::new(),
    }
}

/// Calls a hook, and tells if it fails. That of a run that is lost is called by who has it.
async fn made(run: &Shared, hook: &Hook, call: HookCall) {
    if !run.is_not_lost().await {
        return;
    }
    let (step, token) = (call.step.clone(), call.token.clone());
    let handler = Arc::clone(&hook.handler);
    let mut work = Caught::new(Box::pin(async move { handler(call).await }));
    let limit = hook.timeout;
    let ended = match timeout(limit, &mut work).await {
        Ok(ended) => ended,
        Err(_) => {
            token.cancel();
            // What it completes in its grace is completed.
            match timeout(run.settings.grace, work).await {
                Ok(Ok(())) => Ok(()),
                _ => Err(AttemptError::TimedOut(limit).into()),
            }
        }
    };
    if let Err(error) = ended {
        let error = Reason::from(error).words.into();
        run.tell(|| Transition::HookFailed { step, error }).await;
    }
}
