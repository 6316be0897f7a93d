//! The course of one step: its condition, its attempts, its limits, and what is told of them.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use coord_bus::CancellationToken;
use coord_bus::time::{Instant, sleep, timeout};
use coord_bus::vocabulary::Transition;

use super::Shared;
use super::queue::{Ended, Running, missing_input};
use crate::error::AttemptError;
use crate::outcome::{SkipReason, StepState};
use crate::plan::{Output, StepFuture};
use crate::{StepContext, StepError};

/// How an attempt ended.
pub(super) enum Attempt<T> {
    Done(Result<T, StepError>),
    Cancelled,
}

/// A step, from its beginning, which is now, to its end.
pub(super) fn step(run: Arc<Shared>, step: usize, began: Instant) -> Running {
    Box::pin(async move {
        let mut attempts = 0;
        let (state, output) = match whether(&run, step).await {
            Ok(()) => attempt_until_done(&run, step, began, &mut attempts).await,
            Err(state) => (state, None),
        };
        tell_end(&run, step, &state).await;
        Ended {
            state,
            output,
            attempts,
            started: began - run.started,
            duration: began.elapsed(),
        }
    })
}

/// Whether a step is to run, and if not, how it has ended thereby.
async fn whether(run: &Shared, step: usize) -> Result<(), StepState> {
    if let Some(reason) = missing_input(run, step) {
        return Err(StepState::Skipped(reason));
    }
    let planned = &run.plan.steps[step];
    let Some(when) = &planned.when else {
        return Ok(());
    };
    let context = run.context(step, 1, &run.token);
    let begin = || when(context.clone(), &run.slots);
    match supervise(run, &context, planned.timeout, &run.token, begin).await {
        Attempt::Done(Ok(true)) => Ok(()),
        Attempt::Done(Ok(false)) => Err(StepState::Skipped(SkipReason::Condition)),
        Attempt::Done(Err(error)) => Err(StepState::Failed(error)),
        Attempt::Cancelled => Err(StepState::Cancelled),
    }
}

async fn attempt_until_done(
    run: &Shared,
    step: usize,
    mut began: Instant,
    attempts: &mut u32,
) -> (StepState, Option<Output>) {
    let planned = &run.plan.steps[step];
    if planned.when.is_some() {
        began = Instant::now();
    }
    loop {
        *attempts += 1;
        let attempt = *attempts;
        run.tell(|| Transition::StepStarted {
            step: run.step_id(step),
            attempt,
        })
        .await;
        let context = run.context(step, attempt, &run.token);
        let begin = || (planned.action)(context.clone(), &run.slots);
        let error = match supervise(run, &context, planned.timeout, &run.token, begin).await {
            Attempt::Done(Ok(output)) => {
                run.tell(|| Transition::StepCompleted {
                    step: run.step_id(step),
                    attempt,
                    duration: began.elapsed(),
                })
                .await;
                return (StepState::Completed, Some(output));
            }
            Attempt::Done(Err(error)) => error,
            Attempt::Cancelled => return (StepState::Cancelled, None),
        };
        if error.is_permanent() || attempt >= planned.retry.max_attempts.get() {
            run.tell(|| Transition::StepFailed {
                step: run.step_id(step),
                attempt,
                error: error.to_string(),
                duration: began.elapsed(),
                optional: planned.optional,
            })
            .await;
            return (StepState::Failed(error), None);
        }
        let wait = planned.retry.backoff.delay(attempt);
        run.tell(|| Transition::StepRetrying {
            step: run.step_id(step),
            attempt,
            error: error.to_string(),
            wait,
        })
        .await;
        if timeout(wait, run.token.cancelled()).await.is_ok() {
            return (StepState::Cancelled, None);
        }
        began = Instant::now();
    }
}

/// Tells of an end that is not that of an attempt.
async fn tell_end(run: &Shared, step: usize, state: &StepState) {
    match state {
        StepState::Skipped(reason) => {
            run.tell(|| Transition::StepSkipped {
                step: run.step_id(step),
                reason: reason.to_string(),
            })
            .await;
        }
        StepState::Cancelled => {
            run.tell(|| Transition::StepCancelled {
                step: run.step_id(step),
            })
            .await;
        }
        _ => {}
    }
}

/// Runs a step's function with everything that bounds it: a panic is its failure; when its time
/// is up or its token is cancelled it is told, given grace if it listens, and then dropped. What
/// it completes in its grace is completed.
pub(super) async fn supervise<T>(
    run: &Shared,
    context: &StepContext,
    limit: Duration,
    token: &CancellationToken,
    begin: impl FnOnce() -> Option<StepFuture<T>>,
) -> Attempt<T> {
    let mut work = match std::panic::catch_unwind(AssertUnwindSafe(begin)) {
        Ok(Some(work)) => Caught(work),
        // Whoever calls has seen to it that every input is there.
        Ok(None) => return Attempt::Cancelled,
        Err(panic) => return Attempt::Done(Err(StepError::panicked(&*panic))),
    };
    // Timers cost more than many a step: they are set once it turns out that it has to wait.
    let mut bounds = None;
    let ended = poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut work).poll(cx) {
            return Poll::Ready(Ok(result));
        }
        let (expired, cancelled) =
            bounds.get_or_insert_with(|| (Box::pin(sleep(limit)), Box::pin(token.cancelled())));
        if cancelled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(AttemptError::Cancelled));
        }
        if expired.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(AttemptError::TimedOut(limit)));
        }
        Poll::Pending
    })
    .await;
    let why = match ended {
        // Its own token is a child of this one, so it may end before it is asked to here.
        Ok(Err(_)) if token.is_cancelled() => return Attempt::Cancelled,
        Ok(result) => return Attempt::Done(result),
        Err(why) => why,
    };
    if let Some(watched) = context.watched() {
        watched.cancel();
        if let Ok(Ok(output)) = timeout(run.settings.grace, work).await {
            return Attempt::Done(Ok(output));
        }
    }
    match why {
        AttemptError::Cancelled => Attempt::Cancelled,
        why => Attempt::Done(Err(why.into())),
    }
}

/// A step's future, whose panic is its failure.
struct Caught<T>(StepFuture<T>);

impl<T> Future for Caught<T> {
    type Output = Result<T, StepError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // After a panic it is not polled again, so nobody sees what it left half done.
        let poll = AssertUnwindSafe(|| self.0.as_mut().poll(cx));
        match std::panic::catch_unwind(poll) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(Err(StepError::panicked(&*panic))),
        }
    }
}
