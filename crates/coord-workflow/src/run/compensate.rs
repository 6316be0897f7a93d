//! Undoing what a run did: the completed steps in the reverse of the order in which they completed.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{Instant, timeout};
use coord_bus::vocabulary::Transition;

use super::attempt::{Attempt, first, supervise};
use super::bounds::Bounds;
use super::{End, Shared};
use crate::StepError;
use crate::course::Fact;
use crate::error::AttemptError;
use crate::reason::Reason;

/// Undoes every completed step that can be undone, one after another. One that cannot is told of,
/// and the rest are undone all the same.
///
/// # Errors
///
/// Why the run is left as it is: what was to be undone cannot be kept, say, so it is not undone either; or
/// the orchestrator is shut down, and what is left is undone by who resumes the run.
pub(super) async fn all(run: &Arc<Shared>) -> Result<(), End> {
    let begun = Instant::now();
    while let Some(step) = run.next_to_undo() {
        goes_on(run).await?;
        let id = || run.step_id(step);
        let started = || Transition::CompensationStarted { step: id() };
        let fact = Fact::UndoStarted { step };
        run.must_happen(fact, started).await;
        let times = run.queue().course.undo_cut_off();
        let undone = match times > run.settings.max_recovery_attempts {
            true => Err(StepError::from(AttemptError::CutOff { times }).into()),
            false => until_done(run, step, begun).await?,
        };
        match undone {
            Ok(()) => {
                let completed = || Transition::CompensationCompleted { step: id() };
                run.must_happen(Fact::Undone { step }, completed).await;
            }
            Err(error) => {
                let text = error.words.to_string();
                let failed = || Transition::CompensationFailed {
                    step: id(),
                    error: text,
                };
                let fact = Fact::UndoFailed { step, error };
                run.must_happen(fact, failed).await;
            }
        }
    }
    Ok(())
}

/// Undoes a step, in as many attempts as that may take; in the time that is left of what undoing all may
/// take since it has begun. The error is why the run is left before that.
async fn until_done(
    run: &Arc<Shared>,
    step: usize,
    begun: Instant,
) -> Result<Result<(), Reason>, End> {
    let retry = run.plan.steps[step].undo_retry;
    let limit = run.settings.compensation_timeout;
    let left = || limit.saturating_sub(begun.elapsed());
    let mut attempt = 0;
    // No attempt is begun in no time: it would only be cut off.
    while !left().is_zero() {
        goes_on(run).await?;
        attempt += 1;
        let error = match once(run, step, attempt, left()).await {
            Attempt::Done(Ok(())) => return Ok(Ok(())),
            Attempt::Done(Err(error)) => Reason::from(error),
            // It is somebody else's.
            Attempt::Cancelled => continue,
        };
        let is_last = error.error.is_permanent() || attempt >= retry.max_attempts.get();
        if is_last && !left().is_zero() {
            return Ok(Err(error));
        }
        let wait = retry.wait_after(attempt, &error.error).min(left());
        let failed = run.applies(Fact::UndoAttemptFailed { step, error });
        debug_assert_eq!(failed, Ok(()));
        let _ = timeout(wait, run.suspend.cancelled()).await;
    }
    Ok(Err(StepError::from(AttemptError::TimedOut(limit)).into()))
}

/// Before something is undone: that all before is kept, and that it is to be undone here.
async fn goes_on(run: &Shared) -> Result<(), End> {
    run.settled().await?;
    match run.is_not_lost().await && !run.suspend.is_cancelled() {
        true => Ok(()),
        false => Err(run.left().await),
    }
}

/// One attempt, which is told to stop when its time is up, or that which is left; or when the run may be
/// somebody else's. That the orchestrator is shut down leaves it the time which that has.
async fn once(run: &Arc<Shared>, step: usize, attempt: u32, left: Duration) -> Attempt<()> {
    let planned = &run.plan.steps[step];
    // The run's own token is cancelled by now; undoing is not.
    let token = run.lost();
    let first = first(&run.start(step, attempt, &token), |start| {
        let output = start.output(step)?;
        Some(planned.undo.as_ref()?(start, output))
    });
    let limit = planned.undo_timeout.unwrap_or(planned.timeout);
    supervise(run, first, Bounds::timeout(limit.min(left)), &token).await
}
