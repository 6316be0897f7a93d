//! Polling steps: one task drives a run, and helps itself to others where there is more to do at
//! once than one thread can.
//!
//! A step is a future that is polled in place: it has no task of its own. One that is done when its
//! function is called costs the call: no machinery is built around it, and ending it and finding the
//! next is one visit of the lock.
//!
//! A step that burns processor time holds up whoever polls it. So before a worker polls a step while
//! others wait, it sees to it that a helper stands by: awake, and watching. That is done at most
//! once in [`CALL_EVERY`], and a helper stands by for at least twice as long. As long as somebody
//! takes steps quickly, it leaves them alone: two threads that take turns at a lock are slower
//! than one. It takes one when nobody has taken any for [`PATIENCE`], and goes on for as long as its
//! own steps take longer than that. So short steps do not pay for help, and no step waits
//! for another's work longer than that and until the helper looks.

use std::future::poll_fn;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use coord_bus::BoxFuture;
use tokio::task::coop::has_budget_remaining;

use super::attempt::{self, Called, First, Stage};
use super::queue::{Job, Queue, Running};
use super::{Lock, Shared};
use crate::StepError;
use crate::course::Fact;
use crate::durable::as_kept;
use crate::plan::Output;

/// How often a worker calls for help at most, in nanoseconds: waking somebody costs about a
/// twentieth of this.
const CALL_EVERY: u64 = 100_000;
/// How long a helper waits to be needed.
const STAND_BY: u64 = 2 * CALL_EVERY;
/// For how long nobody takes a step before a helper does: two threads take turns at the lock in
/// about half of this.
const PATIENCE: u64 = 2_000;
/// How long it does nothing between two looks, in turns of an empty loop: about five microseconds. To look takes the
/// memory from who writes there, who then waits for it: once a microsecond cost steps that do nothing a tenth.
const LOOK_EVERY: u32 = 160;
/// After how long the runtime has its turn: what else it has to do on this thread waits no longer
/// than this, and one step.
const SLICE: u64 = 100_000;

/// Who works: the driver sleeps as soon as there is nothing to do, a helper stands by first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Worker {
    Driver,
    Helper,
}

/// Why a worker stops for a moment.
enum Pause {
    /// There is nothing to do.
    Idle,
    /// Its steps are so short that it had better not meddle.
    Needless,
    /// It is somebody else's turn on this thread.
    SliceOver,
}

/// Does what is to be done in a run until the run is over.
pub(super) async fn work(run: Arc<Shared>, worker: Worker) {
    let mut last_call = None;
    let mut pause = match worker {
        Worker::Driver => work_for_a_slice(&run, worker, &mut last_call),
        Worker::Helper => Pause::Needless,
    };
    loop {
        match pause {
            Pause::SliceOver => yield_within_reach().await,
            Pause::Idle | Pause::Needless => {
                let is_needed = worker == Worker::Helper && stand_by(&run).await;
                if !is_needed && poll_fn(|cx| poll_idle(&run, cx)).await.is_none() {
                    return;
                }
            }
        }
        pause = work_for_a_slice(&run, worker, &mut last_call);
    }
}

/// Lets others have their turn on this thread, and remains where every thread finds this task.
///
/// What tokio's own `yield_now` puts back, only the thread that ran it takes up again. If a step
/// held that thread meanwhile, whoever stood by for just that would stay with it.
async fn yield_within_reach() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Until there is something to do, or `None` once the run is over.
fn poll_idle(run: &Shared, cx: &mut Context<'_>) -> Poll<Option<()>> {
    let mut queue = run.queue();
    // Whoever is in this list sleeps.
    queue.idle.retain(|idle| !idle.will_wake(cx.waker()));
    if queue.has_next() {
        return Poll::Ready(Some(()));
    }
    if queue.is_over() {
        return Poll::Ready(None);
    }
    queue.idle.push(cx.waker().clone());
    Poll::Pending
}

/// Watches until somebody is held up, or nobody has called for a while. Whether there is something
/// to do.
async fn stand_by(run: &Shared) -> bool {
    let since = run.elapsed();
    run.queue().standing_by += 1;
    loop {
        yield_within_reach().await;
        let now = run.elapsed();
        let idle = now.saturating_sub(run.watched.taken.load(Ordering::Relaxed));
        if idle < PATIENCE {
            // To look is to take the memory from who writes there: not more often than needed.
            for _ in 0..LOOK_EVERY {
                spin_loop();
            }
            continue;
        }
        let mut queue = run.queue();
        let is_needed = queue.has_next();
        let since = since.max(queue.called);
        if is_needed || queue.is_over() || now.saturating_sub(since) >= STAND_BY {
            queue.standing_by -= 1;
            return is_needed;
        }
    }
}

/// Takes steps and polls them.
fn work_for_a_slice(run: &Arc<Shared>, worker: Worker, last_call: &mut Option<u64>) -> Pause {
    let plan = &*run.plan;
    let began = run.elapsed();
    let mut now = began;
    let mut queue = run.queue();
    // Asked under the lock: who subscribes before something happens hears of it.
    let mut quiet = !run.is_heard();
    loop {
        let Some(job) = queue.next(run, now, quiet) else {
            call_writer(queue, true);
            return Pause::Idle;
        };
        let has_more = queue.has_next();
        let step = job.step();
        let mut lock = Lock::default();
        if matches!(job, Job::Call(_)) && plan.steps[step].reads_first && queue.recorder.is_none() {
            // It gives the lock back as soon as it has what it takes from others.
            lock = Lock::held(queue);
        } else {
            call_writer(queue, false);
        }
        if run.helpers_max > 0 {
            run.watched.taken.store(now, Ordering::Relaxed);
            if has_more && is_due(now, last_call) {
                drop(std::mem::take(&mut lock));
                call_for_help(run, now);
            }
        }
        let before = now;
        let ended = match job {
            Job::Call(_) => {
                let start = run.start_under(lock, step, 1, &run.token);
                let first = attempt::first(&start, |start| (plan.steps[step].action)(start));
                match done(run, step, first) {
                    Ok(done) => {
                        // Reading the clock costs as much as a small step: the end of one is the
                        // beginning of the next.
                        now = run.elapsed();
                        let mut queue = run.queue();
                        quiet = !run.is_heard();
                        if quiet {
                            let signal = run.signal_taken(step);
                            queue.complete(plan, step, done, signal, now);
                            Ok((queue, false))
                        } else {
                            drop(queue);
                            let called = Called {
                                first: First::Done(Ok(done.0)),
                                began: before,
                                context: None,
                            };
                            Err(poll(run, step, Stage::Called(called), &mut now))
                        }
                    }
                    Err(first) => {
                        let called = Called {
                            first,
                            began: before,
                            context: start.context.into_inner(),
                        };
                        Err(poll(run, step, Stage::Called(called), &mut now))
                    }
                }
            }
            Job::Begin(_) => Err(poll(run, step, Stage::Begin, &mut now)),
            Job::Resume(_, running) => Err(resume(run, step, running, &mut now)),
        };
        let stops;
        (queue, stops) = match ended {
            Ok(ended) => ended,
            Err(Some(fact)) => {
                let ended = end(run, step, fact);
                quiet = !run.is_heard();
                ended
            }
            // It waits, perhaps because it has used up what the runtime grants a task at a time.
            Err(None) if !has_budget_remaining() => return Pause::SliceOver,
            Err(None) => {
                quiet = !run.is_heard();
                (run.queue(), false)
            }
        };
        if stops || queue.is_over() {
            return ended_the_run(run, queue, stops);
        }
        if now.saturating_sub(began) >= SLICE {
            return Pause::SliceOver;
        }
        if worker == Worker::Helper && now.saturating_sub(before) < PATIENCE {
            return Pause::Needless;
        }
    }
}

/// What a call came to, and that as it is kept; or the call, where there is more to it.
#[inline]
fn done(
    run: &Shared,
    step: usize,
    first: First<Output>,
) -> Result<(Output, Option<Box<str>>), First<Output>> {
    let First::Done(Ok(output)) = first else {
        return Err(first);
    };
    match run.keep(step, &output) {
        Ok(kept) => Ok(as_kept(output, kept)),
        // Where it fails again, it is the step that fails.
        Err(_) => Err(First::Done(Ok(output))),
    }
}

/// Gives the lock back, and wakes who writes what happened under it; where there is time, also for
/// what nobody waits for.
#[inline]
fn call_writer(mut queue: MutexGuard<'_, Queue>, has_time: bool) {
    let recorder = queue.recorder.as_mut();
    let writer = recorder.and_then(|recorder| recorder.call_writer(has_time));
    drop(queue);
    writer.into_iter().for_each(Waker::wake);
}

/// A step has come to its end. Whether the run is stopped for it.
fn end(run: &Arc<Shared>, step: usize, fact: Fact) -> (MutexGuard<'_, Queue>, bool) {
    let is_exhausted = matches!(fact, Fact::Exhausted { .. });
    let mut queue = run.queue();
    let stops = queue.end(&run.plan, step, fact);
    if is_exhausted && run.skips.is_asked(step) {
        // It was asked for after the step had looked for that.
        run.skip_soon(step);
    }
    (queue, stops)
}

/// Nothing begins any more: perhaps all is over, and whoever sleeps is to know.
fn ended_the_run(run: &Shared, mut queue: MutexGuard<'_, Queue>, stops: bool) -> Pause {
    let idle = match queue.is_over() {
        true => std::mem::take(&mut queue.idle),
        false => Vec::new(),
    };
    drop(queue);
    if stops {
        run.leave_limits();
        run.token.cancel();
    }
    idle.into_iter().for_each(Waker::wake);
    Pause::Idle
}

/// Polls a step as far as it goes now: what it comes to, or `None` if it is parked. `now` is the
/// time after that.
fn poll(run: &Arc<Shared>, step: usize, stage: Stage, now: &mut u64) -> Option<Fact> {
    let is_waiting =
        matches!(&stage, Stage::Called(called) if matches!(called.first, First::Going(_)));
    let mut future = attempt::step(Arc::clone(run), step, stage);
    // The first time without a waker of its own, which many never need.
    let mut noop = Context::from_waker(Waker::noop());
    if !is_waiting && let Poll::Ready(fact) = polled(run, step, &mut future, &mut noop) {
        *now = run.elapsed();
        return Some(fact);
    }
    let run_of_step = Arc::clone(run);
    let waker = Waker::from(Arc::new(StepWaker {
        run: run_of_step,
        step,
    }));
    run.queue().poll_first(step);
    resume(run, step, Running { future, waker }, now)
}

fn resume(run: &Shared, step: usize, mut running: Running, now: &mut u64) -> Option<Fact> {
    let Running { future, waker } = &mut running;
    let polled = polled(run, step, future, &mut Context::from_waker(waker));
    *now = run.elapsed();
    match polled {
        Poll::Ready(fact) => Some(fact),
        Poll::Pending => {
            let abandoned = run.queue().park(step, running);
            drop(abandoned);
            None
        }
    }
}

/// Polls a step. What panics in it beside its function, which is caught there, is its failure, and not
/// the end of who polls it.
fn polled(
    run: &Shared,
    step: usize,
    future: &mut BoxFuture<'static, Fact>,
    cx: &mut Context<'_>,
) -> Poll<Fact> {
    // After a panic it is not polled again, so nobody sees what it left half done.
    let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
    polled.unwrap_or_else(|panic| {
        let (at, signal) = (run.elapsed(), run.signal_taken(step));
        let error = StepError::panicked(&*panic).into();
        let failed = Fact::Failed {
            step,
            error,
            signal,
            at,
        };
        let is_admitted = run.queue().course.admits(&run.plan, &failed).is_ok();
        Poll::Ready(match is_admitted {
            true => failed,
            // It was not under way: the run is stopped for it.
            false => Fact::Cancelled { step, signal, at },
        })
    })
}

/// Whether it is time to call for help again. Whoever is told so does.
fn is_due(now: u64, last_call: &mut Option<u64>) -> bool {
    let is_due = last_call.is_none_or(|call| now >= call + CALL_EVERY);
    if is_due {
        *last_call = Some(now);
    }
    is_due
}

/// Sees to it that a helper stands by, if there may be one.
fn call_for_help(run: &Arc<Shared>, now: u64) {
    let tasks = &run.settings.tasks;
    let mut queue = run.queue();
    queue.called = now;
    if queue.standing_by > 0 {
        return;
    }
    if let Some(idle) = queue.idle.pop() {
        drop(queue);
        idle.wake();
    } else if queue.helpers < run.helpers_max {
        queue.helpers += 1;
        drop(queue);
        let helper = work(Arc::clone(run), Worker::Helper);
        tasks.spawn("workflow helper", helper);
    } else {
        return;
    }
    // What a thread of the runtime wakes last it keeps for itself, out of reach of the others:
    // this takes that place, and the helper goes where an idle thread finds it.
    tasks.spawn("workflow helper's herald", async {});
}

/// Wakes one step.
struct StepWaker {
    run: Arc<Shared>,
    step: usize,
}

impl Wake for StepWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut queue = self.run.queue();
        let woken = queue.wake(self.step);
        let idle = woken.then(|| queue.idle.pop()).flatten();
        drop(queue);
        if let Some(idle) = idle {
            idle.wake();
        }
    }
}
