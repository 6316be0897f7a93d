//! The course of one step: its condition, its attempts, its limits, and what is told of them.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use coord_bus::time::timeout;
use coord_bus::vocabulary::Transition;
use coord_bus::{BoxFuture, CancellationToken};
use tokio::task::unconstrained;

use super::bounds::Bounds;
use super::held::Timer;
use super::limited::Held;
use super::{Shared, between, child, hooks, in_nanos};
use crate::context::Start;
use crate::course::Fact;
use crate::durable::as_kept;
use crate::error::AttemptError;
use crate::heartbeat::HeartWatch;
use crate::outcome::SkipReason;
use crate::plan::{Output, StepFuture};
use crate::reason::Reason;
use crate::{OnExhausted, StepContext, StepError};

/// How an attempt ended.
pub(super) enum Attempt<T> {
    Done(Result<T, StepError>),
    Cancelled,
}

/// What came of calling a step's function, and of polling its future once.
pub(super) enum First<T> {
    Done(Result<T, StepError>),
    Going(Begun<T>),
}

/// An attempt that waits for something.
pub(super) struct Begun<T> {
    work: Caught<T>,
    /// What it was told, if it asked.
    context: Option<StepContext>,
}

/// How far a step has come already.
pub(super) enum Stage {
    /// Nothing has happened yet, at least not here: earlier attempts may have been made by who had
    /// the run before.
    Begin,
    /// Its first attempt started, without anybody being told.
    Called(Called),
}

/// An attempt that has begun.
pub(super) struct Called {
    /// How far it has come.
    pub(super) first: First<Output>,
    pub(super) began: u64,
    /// What it was told, if it asked.
    pub(super) context: Option<StepContext>,
}

/// Begins an attempt, and polls it once, without a waker. A panic is its failure.
#[inline]
pub(super) fn first<T>(
    start: &Start<'_>,
    call: impl FnOnce(&Start<'_>) -> Option<StepFuture<T>>,
) -> First<T> {
    let mut pending = None;
    // After a panic nothing of it is looked at again, so nobody sees what it left half done.
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let mut work = call(start)?;
        let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if polled.is_pending() {
            pending = Some(work);
        }
        Some(polled)
    }));
    match (polled, pending) {
        (Ok(Some(Poll::Ready(result))), _) => First::Done(result),
        (Err(panic), _) => First::Done(Err(StepError::panicked(&*panic))),
        (Ok(_), Some(work)) => First::Going(Begun {
            work: Caught::new(work),
            context: start.context.get().cloned(),
        }),
        // Whoever calls has seen to it that every input is there.
        (Ok(_), None) => First::Done(Err(StepError::message("an input of it is missing"))),
    }
}

/// A step, from this stage to the fact that ends it. That has been told when it is ready, and takes
/// effect afterwards.
pub(super) fn step(run: Arc<Shared>, step: usize, stage: Stage) -> BoxFuture<'static, Fact> {
    Box::pin(async move {
        let mut course = Step {
            run: &run,
            step,
            held: run.take_held(step),
        };
        match stage {
            Stage::Begin => course.begin().await,
            Stage::Called(called) => course.attempts(1, Some(called)).await,
        }
    })
}

/// A step of a run.
struct Step<'r> {
    run: &'r Arc<Shared>,
    step: usize,
    /// What it shares with the steps of other runs: given back when it has ended, or is dropped.
    held: Option<Held>,
}

impl Step<'_> {
    fn id(&self) -> String {
        self.run.step_id(self.step)
    }

    async fn begin(&mut self) -> Fact {
        let run = self.run;
        let record = run.queue().course.step(self.step).clone();
        if run.skips.is_asked(self.step) {
            return self.skipped_as_asked().await;
        }
        if !record.has_begun() {
            return match self.ruled_out().await {
                Some(fact) => fact,
                None => self.attempts(1, None).await,
            };
        }
        // Its condition was asked before its first attempt.
        if let Some(fact) = self.until_next(record.attempts).await {
            return fact;
        }
        self.attempts(record.attempts + 1, None).await
    }

    /// The fact that ends the step before it has begun, if something does.
    async fn ruled_out(&self) -> Option<Fact> {
        let (run, step) = (self.run, self.step);
        let planned = &run.plan.steps[step];
        let reason = run.queue().course.ruled_out(&run.plan, step);
        if let Some(reason) = reason {
            return Some(self.skipped(reason).await);
        }
        let when = planned.when.as_ref()?;
        if !run.may_begin().await {
            return Some(self.cancelled().await);
        }
        let first = first(&run.start(step, 1, &run.token), when);
        match supervise(run, first, Bounds::timeout(planned.timeout), &run.token).await {
            Attempt::Done(Ok(true)) => None,
            Attempt::Done(Ok(false)) => Some(self.skipped(SkipReason::Condition).await),
            Attempt::Done(Err(error)) => Some(self.failed(error.into(), 0, run.elapsed()).await),
            Attempt::Cancelled => Some(self.cancelled().await),
        }
    }

    /// Waits until another attempt is to be made, without a place, and until it has one again. The fact that ends
    /// the step instead, if something does.
    async fn until_next(&mut self, attempts: u32) -> Option<Fact> {
        let (run, step) = (self.run, self.step);
        let place = tokio::select! {
            biased;
            () = run.token.cancelled() => return Some(self.cancelled_after(attempts).await),
            () = run.skips.until_asked(step) => return Some(self.skipped_as_asked().await),
            place = run.rest(step, self.held.as_mut()) => place,
        };
        if let Some(held) = &mut self.held {
            held.place = place;
        }
        None
    }

    /// Attempts until one succeeds, or no more are to be made: from this one, which may have begun.
    async fn attempts(&mut self, mut attempt: u32, mut called: Option<Called>) -> Fact {
        let (run, step) = (self.run, self.step);
        let planned = &run.plan.steps[step];
        loop {
            let called = match called.take() {
                Some(called) => Some(called),
                None if run.skips.is_asked(step) => return self.skipped_as_asked().await,
                None => self.call(attempt).await,
            };
            let Some(Called {
                first,
                began,
                context,
            }) = called
            else {
                // Meanwhile the run was stopped.
                return self.cancelled_after(attempt - 1).await;
            };
            let supervised = supervise(run, first, run.bounds(step), &run.token);
            let ended = match planned.wait {
                None => supervised.await,
                // What only waits need not be waited for.
                Some(_) => tokio::select! {
                    biased;
                    ended = supervised => ended,
                    () = run.skips.until_asked(step) => return self.skipped_as_asked().await,
                },
            };
            let error = match ended {
                Attempt::Done(Ok(output)) => match run.keep(step, &output) {
                    Ok(kept) => {
                        let (output, kept) = as_kept(output, kept);
                        self.hook(Ok(&output), attempt).await;
                        return self.completed(output, kept, attempt, began).await;
                    }
                    Err(error) => error,
                },
                Attempt::Done(Err(error)) => error,
                Attempt::Cancelled => return self.cancelled_after(attempt).await,
            };
            let error = planned.judged(error);
            let has_another = planned.has_another(attempt, &error);
            let wait = has_another.then(|| planned.retry.wait_after(attempt, &error));
            let (error, wait) = run.another_in_time(step, error, wait);
            let error = Reason::from(error);
            let wait = match wait {
                Some(wait) => wait,
                // It is skipped below: why its last attempt failed is kept all the same.
                None if run.skips.is_asked(step) => Duration::ZERO,
                None if planned.on_exhausted == OnExhausted::Pause
                    && !error.error.is_permanent() =>
                {
                    return self.exhausted(error, attempt, began, context).await;
                }
                None => {
                    self.hook(Err(Some(&error.error)), attempt).await;
                    if !run.skips.is_asked(step) {
                        return self.failed(error, attempt, began).await;
                    }
                    // Somebody said so meanwhile. The hook has been told how it ended.
                    run.hook_was_called(step);
                    Duration::ZERO
                }
            };
            let retrying = || Transition::StepRetrying {
                step: self.id(),
                attempt,
                error: error.words.to_string(),
                wait,
            };
            let failed = Fact::AttemptFailed {
                step,
                error: error.clone(),
                heartbeat: context.and_then(|context| context.heart().details()),
                signal: run.signal_taken(step),
                until: run.elapsed().saturating_add(in_nanos(wait)),
            };
            if run.happens(failed, retrying).await.is_err() {
                return self.cancelled_after(attempt).await;
            }
            if let Some(fact) = self.until_next(attempt).await {
                return fact;
            }
            attempt += 1;
        }
    }

    /// Begins an attempt, unless the run was stopped meanwhile.
    async fn call(&self, attempt: u32) -> Option<Called> {
        let (run, step) = (self.run, self.step);
        if !run.may_begin().await {
            return None;
        }
        let at = run.elapsed();
        let started = || Transition::StepStarted {
            step: self.id(),
            attempt,
        };
        let fact = Fact::Started { step, attempt, at };
        run.happens(fact, started).await.ok()?;
        let planned = &run.plan.steps[step];
        // A run within this one is looked for where its step is known to have begun, and nowhere else.
        if run.is_careful || planned.runs_workflow() {
            run.settled().await.ok()?;
        }
        // All that took its time.
        if !run.may_begin().await {
            return None;
        }
        let mut start = run.start(step, attempt, &run.token);
        start.last_heartbeat = run.queue().course.last_heartbeat(step);
        let first = match run.total_left(step) {
            // Its time was over before it was taken up. A run that is its work is ended.
            Some((total, Duration::ZERO)) if !planned.runs_workflow() => {
                First::Done(Err(AttemptError::AllTimedOut(total).into()))
            }
            _ => first(&start, &planned.action),
        };
        Some(Called {
            first,
            began: at,
            context: start.context.into_inner(),
        })
    }

    async fn completed(
        &self,
        output: Output,
        kept: Option<Box<str>>,
        attempt: u32,
        began: u64,
    ) -> Fact {
        let at = self.run.elapsed();
        let told = || Transition::StepCompleted {
            step: self.id(),
            attempt,
            duration: between(began, at),
        };
        self.run.tell(told).await;
        Fact::Completed {
            step: self.step,
            output,
            kept,
            print: None,
            signal: self.run.signal_taken(self.step),
            at,
        }
    }

    async fn failed(&self, error: Reason, attempt: u32, began: u64) -> Fact {
        let at = self.run.elapsed();
        let told = || Transition::StepFailed {
            step: self.id(),
            attempt,
            error: error.words.to_string(),
            duration: between(began, at),
            optional: self.run.plan.steps[self.step].optional,
        };
        self.run.tell(told).await;
        Fact::Failed {
            step: self.step,
            error,
            signal: self.run.signal_taken(self.step),
            at,
        }
    }

    async fn exhausted(
        &self,
        error: Reason,
        attempt: u32,
        began: u64,
        context: Option<StepContext>,
    ) -> Fact {
        let at = self.run.elapsed();
        let told = || Transition::StepExhausted {
            step: self.id(),
            attempt,
            error: error.words.to_string(),
            duration: between(began, at),
        };
        self.run.tell(told).await;
        Fact::Exhausted {
            step: self.step,
            error,
            heartbeat: context.and_then(|context| context.heart().details()),
            signal: self.run.signal_taken(self.step),
            at,
        }
    }

    async fn skipped(&self, reason: SkipReason<'_>) -> Fact {
        let told = || Transition::StepSkipped {
            step: self.id(),
            reason: reason.to_string(),
        };
        self.run.tell(told).await;
        Fact::Skipped {
            step: self.step,
            at: self.run.elapsed(),
            asked: reason == SkipReason::Asked,
        }
    }

    /// Nothing of it is under way any more, and somebody wants it to be skipped.
    async fn skipped_as_asked(&self) -> Fact {
        if !self.ends_child().await {
            return self.cancelled().await;
        }
        self.run.hook_of_idle(self.step).await;
        self.skipped(SkipReason::Asked).await
    }

    /// Ends the run that was the work of the step in a process that is gone, or those that were. Where it cannot be ended, neither
    /// is the step: its own run is left as it is.
    async fn ends_child(&self) -> bool {
        let run = self.run;
        let Err(end) = child::end_of_stopped(run, self.step).await else {
            return true;
        };
        run.leave(end).await;
        run.token.cancelled().await;
        false
    }

    /// The same, of a step of which so many attempts have begun.
    async fn cancelled_after(&self, attempts: u32) -> Fact {
        if !self.run.suspend.is_cancelled() {
            self.ends_child().await;
        }
        if attempts > 0 && !self.is_left() {
            self.run.hook_of_cancelled(self.step, attempts).await;
        }
        self.cancelled().await
    }

    async fn hook(&self, ended: Result<&Output, Option<&StepError>>, attempt: u32) {
        hooks::of_step(self.run, self.step, ended, attempt).await;
    }

    /// Whether it has not come to its end, as the run is only left as it is.
    fn is_left(&self) -> bool {
        self.run.queue().leaves_stopped(&self.run.plan, self.step)
    }

    async fn cancelled(&self) -> Fact {
        if !self.is_left() {
            let told = || Transition::StepCancelled { step: self.id() };
            self.run.tell(told).await;
        }
        Fact::Cancelled {
            step: self.step,
            signal: self.run.signal_taken(self.step),
            at: self.run.elapsed(),
        }
    }
}

/// Goes on with an attempt, with everything that bounds it: when its time is up or its token is
/// cancelled it is told, given grace if it listens, and then dropped. What it completes in its grace
/// is completed.
pub(super) async fn supervise<T>(
    run: &Shared,
    first: First<T>,
    mut limits: Bounds,
    token: &CancellationToken,
) -> Attempt<T> {
    let Begun { mut work, context } = match first {
        First::Done(result) => return ended(result, token),
        First::Going(begun) => begun,
    };
    // Timers cost more than many a step: they are set once it turns out that it has to wait.
    let mut bounds = None;
    let stopped = poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut work).poll(cx) {
            return Poll::Ready(Ok(result));
        }
        let (expired, cancelled, heart) = bounds.get_or_insert_with(|| {
            let expired = Timer::new(limits.timeout);
            let heart = limits.heartbeat.map(HeartWatch::new);
            (expired, Box::pin(token.cancelled()), heart)
        });
        // The work may have used up what tokio lets a task do in one go; a timer that asks for more
        // of it would never be over.
        let bounded = poll_fn(|cx| {
            if cancelled.as_mut().poll(cx).is_ready() {
                return Poll::Ready(AttemptError::Cancelled);
            }
            if let Some(step) = limits.child {
                run.time_child(step, expired, &mut limits);
            }
            if let Some(step) = limits.waits {
                run.time_wait(step, expired, limits.timeout);
            }
            if expired.sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(limits.timed_out());
            }
            match heart {
                Some(heart) => heart.poll(cx, context.as_ref()),
                None => Poll::Pending,
            }
        });
        pin!(unconstrained(bounded)).poll(cx).map(Err)
    })
    .await;
    let why = match stopped {
        Ok(result) => return ended(result, token),
        Err(why) => why,
    };
    if let Some(watched) = context.as_ref().and_then(StepContext::watched) {
        watched.cancel();
        let grace = limits.grace.unwrap_or(run.settings.grace);
        if let Ok(Ok(output)) = timeout(grace, &mut work).await {
            return Attempt::Done(Ok(output));
        }
    }
    if let Err(panicked) = work.end() {
        return ended(Err(panicked), token);
    }
    // The run that is its work was left as it is, to be ended by who goes on with this one.
    if limits.child.is_some() && run.suspend.is_cancelled() {
        token.cancelled().await;
        return Attempt::Cancelled;
    }
    match why {
        AttemptError::Cancelled => Attempt::Cancelled,
        why => Attempt::Done(Err(why.into())),
    }
}

/// How an attempt ended that came to its end by itself.
fn ended<T>(result: Result<T, StepError>, token: &CancellationToken) -> Attempt<T> {
    match result {
        // Its own token is a child of this one, so it may end before it is asked to here.
        Err(_) if token.is_cancelled() => Attempt::Cancelled,
        result => Attempt::Done(result),
    }
}

/// A step's future, whose panic is its failure, also one as it is dropped.
pub(super) struct Caught<T>(Option<StepFuture<T>>);

impl<T> Caught<T> {
    pub(super) fn new(work: StepFuture<T>) -> Self {
        Self(Some(work))
    }

    /// Drops it, if that has not been done.
    ///
    /// # Errors
    ///
    /// The panic of that.
    fn end(&mut self) -> Result<(), StepError> {
        let work = self.0.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(work)));
        dropped.map_err(|panic| StepError::panicked(&*panic))
    }
}

impl<T> Future for Caught<T> {
    type Output = Result<T, StepError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else {
            return Poll::Pending;
        };
        // After a panic it is not polled again, so nobody sees what it left half done.
        let result = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(StepError::panicked(&*panic)),
        };
        Poll::Ready(result.and_then(|output| self.end().map(|()| output)))
    }
}

impl<T> Drop for Caught<T> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
