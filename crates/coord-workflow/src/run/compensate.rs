//! Undoing what a run did: the completed steps in the reverse of the order in which they completed.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::CancellationToken;
use coord_bus::time::{Instant, sleep, timeout};
use coord_bus::vocabulary::Transition;

use super::Shared;
use super::attempt::{Attempt, supervise};
use crate::error::AttemptError;
use crate::outcome::Compensation;
use crate::plan::UndoAction;
use crate::{Retry, StepError};

/// How often undoing a step is tried: it matters more than most steps do, and nothing waits for it.
const RETRY: Retry = Retry::exponential();

/// Undoes every completed step that can be undone, one after another. One that cannot is told of,
/// and the rest are undone all the same.
pub(super) async fn all(run: &Shared) -> Vec<(usize, Compensation)> {
    let completed = run.queue().completed().to_vec();
    let mut compensations = Vec::new();
    let deadline = Instant::now() + run.settings.compensation_timeout;
    for step in completed.into_iter().rev() {
        let Some(undo) = &run.plan.steps[step].undo else {
            continue;
        };
        run.tell(|| Transition::CompensationStarted {
            step: run.step_id(step),
        })
        .await;
        let left = deadline.saturating_duration_since(Instant::now());
        let undone = match timeout(left, until_done(run, step, undo)).await {
            Ok(undone) => undone,
            Err(_) => Err(AttemptError::TimedOut(run.settings.compensation_timeout).into()),
        };
        run.tell(|| match &undone {
            Ok(()) => Transition::CompensationCompleted {
                step: run.step_id(step),
            },
            Err(error) => Transition::CompensationFailed {
                step: run.step_id(step),
                error: error.to_string(),
            },
        })
        .await;
        let compensation = undone.map_or_else(Compensation::Failed, |()| Compensation::Completed);
        compensations.push((step, compensation));
    }
    compensations
}

async fn until_done(run: &Shared, step: usize, undo: &UndoAction) -> Result<(), StepError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let error = match once(run, step, attempt, undo).await {
            Attempt::Done(Ok(())) => return Ok(()),
            Attempt::Done(Err(error)) => error,
            Attempt::Cancelled => AttemptError::Cancelled.into(),
        };
        if error.is_permanent() || attempt >= RETRY.max_attempts.get() {
            return Err(error);
        }
        sleep(RETRY.backoff.delay(attempt)).await;
    }
}

async fn once(run: &Shared, step: usize, attempt: u32, undo: &UndoAction) -> Attempt<()> {
    // The run's own token is cancelled by now; undoing is not.
    let token = CancellationToken::new();
    let context = run.context(step, attempt, &token);
    let limit: Duration = run.plan.steps[step].timeout;
    let output = run.slots.outputs[step].get().map(Arc::clone);
    let begin = || Some(undo(context.clone(), output?));
    supervise(run, &context, limit, &token, begin).await
}
