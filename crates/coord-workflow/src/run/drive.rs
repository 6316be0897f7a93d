//! Driving a run: from its beginning, or where it was interrupted, to its end, or to where it is left.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use coord_bus::vocabulary::Transition;

use super::held::Timer;
use super::queue::Unfinished;
use super::work::{self, Worker};
use super::{End, Shared, child, compensate, hooks, stay};
use crate::course::Fact;
use crate::outcome::{Outcome, Status};
use crate::plan::Definition;

/// Drives a run to its end, compensation included; or to where it is to be left as it is.
pub(crate) async fn drive(run: Arc<Shared>) -> End {
    match to_end(&run).await {
        Ok(outcome) => End::Finished(outcome),
        Err(end) => {
            run.tell(|| Transition::RunSuspended).await;
            end
        }
    }
}

async fn to_end(run: &Arc<Shared>) -> Result<Arc<Outcome>, End> {
    let unfinished = Unfinished(Arc::clone(run));
    if let Err(end) = finish(run).await {
        run.end_recording(end.clone());
        return Err(end);
    }
    drop(unfinished);
    let definition = Definition {
        plan: &run.plan,
        identity: run.identity,
        decode: None,
    };
    let (id, child_of) = (run.id.clone(), run.child_of.clone());
    // Under one lock, so that nobody finds the run without its steps.
    let mut queue = run.queue();
    let course = std::mem::take(&mut queue.course);
    let outcome = Outcome::of(definition, id, run.started_at, child_of, course);
    let outcome = Arc::new(outcome);
    queue.outcome = Some(Arc::clone(&outcome));
    Ok(outcome)
}

/// All that happens in a run, its end included.
async fn finish(run: &Arc<Shared>) -> Result<(), End> {
    let steps = run.plan.steps.len();
    run.tell(|| Transition::RunStarted { steps }).await;
    run.tell_exhausted().await;
    run.skip_asked().await;
    let mut status = steps_to_end(run).await;
    if run.queue().is_suspended() {
        return Err(run.left().await);
    }
    if status == Status::Completed {
        status = stay::as_long_as_wanted(run).await?;
        run.queue().is_done = status == Status::Completed;
    }
    if run.queue().course.status() != Status::Completed {
        let (waiting, at) = (run.queue().waiting(), run.elapsed());
        for step in waiting {
            child::end_of_stopped(run, step).await?;
            run.hook_of_idle(step).await;
            let id = || run.step_id(step);
            let signal = None;
            let fact = Fact::Cancelled { step, signal, at };
            run.must_happen(fact, || Transition::StepCancelled { step: id() })
                .await;
        }
        compensate::all(run).await?;
    }
    if run.plan.hook.is_some() {
        // Nothing that it is told of is done again, should the process end meanwhile.
        run.settled().await?;
        hooks::of_run(run, status).await;
    }
    let at = run.elapsed();
    let finished = || Transition::RunFinished {
        outcome: status.to_string(),
        duration: Duration::from_nanos(at),
    };
    let failed = run.queue().failed();
    let failed = failed.filter(|_| status == Status::Failed);
    run.must_happen(Fact::Finished { at, failed }, finished)
        .await;
    run.settled().await
}

/// Until every step has come to its end: works, and watches for a cancellation and the timeout.
async fn steps_to_end(run: &Arc<Shared>) -> Status {
    let mut work = Box::pin(work::work(Arc::clone(run), Worker::Driver));
    let mut suspended = Box::pin(run.suspend.cancelled());
    let mut cancelled = Box::pin(run.token.cancelled());
    let mut expired = Timer::new(Duration::ZERO);
    let mut ends = |cx: &mut Context<'_>| {
        let ends = if run.is_durable && suspended.as_mut().poll(cx).is_ready() {
            run.queue().suspend();
            true
        } else if cancelled.as_mut().poll(cx).is_ready() {
            let mut queue = run.queue();
            let wanted = queue.wanted_end();
            queue.stop(&run.plan, wanted)
        } else if run.is_expired(&mut expired, cx) {
            run.queue().stop(&run.plan, Status::TimedOut)
        } else {
            false
        };
        if ends {
            // What runs is told; what has not started is over, perhaps all there was. That it is stopped
            // is kept at once, as what runs may take its time.
            run.leave_limits();
            run.token.cancel();
            run.call_writer();
        }
        ends
    };
    let mut has_begun = false;
    std::future::poll_fn(|cx| {
        // It may have been told to end before it was driven, or its time may be over: then no step begins.
        let is_ended = !std::mem::replace(&mut has_begun, true) && ends(cx);
        if work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match is_ended || !ends(cx) {
            true => Poll::Pending,
            false => work.as_mut().poll(cx),
        }
    })
    .await;
    run.leave_limits();
    run.queue().course.status()
}
