//! Polling steps: one task drives a run, and helps itself to others where there is more to do at
//! once than one thread can.
//!
//! A step is a future that is polled in place: it has no task of its own, so one that only awaits
//! costs a poll. A step that burns processor time holds up whoever polls it; so before it polls a
//! step while others wait, a worker sees to it that somebody else is awake to take them. That is
//! done at most once in [`HELP_EVERY`], and a helper that finds nothing to do stays awake for as
//! long: short steps are not slowed down by waking, and no step waits for another's work longer
//! than that.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use coord_bus::time::Instant;

use super::queue::{Ended, Job, Running};
use super::{Shared, attempt};

/// How often a worker calls for help at most: a wake-up costs about a hundredth of this.
const HELP_EVERY: Duration = Duration::from_micros(50);

/// Who works: the driver sleeps as soon as there is nothing to do, a helper has patience first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Worker {
    Driver,
    Helper,
}

/// Does what is to be done in a run until the run is over.
pub(super) async fn work(run: Arc<Shared>, worker: Worker) {
    let mut last_call: Option<Instant> = None;
    // Reading the clock costs as much as a small step: the end of one is the beginning of the next.
    let mut now: Option<Instant> = None;
    loop {
        // A step may use up the budget of this task: then the runtime has its turn.
        tokio::task::consume_budget().await;
        let Some((job, more)) = next(&run, worker, &mut now).await else {
            return;
        };
        let began = now.take().unwrap_or_else(Instant::now);
        if more && last_call.is_none_or(|call| began >= call + HELP_EVERY) {
            last_call = Some(began);
            call_for_help(&run);
        }
        let (step, mut running) = match job {
            Job::Begin(step) => (step, attempt::step(Arc::clone(&run), step, began)),
            Job::Resume(step, running) => (step, running),
        };
        match poll(&run, step, &mut running) {
            Poll::Ready(ended) => {
                now = Some(run.started + ended.started + ended.duration);
                end(&run, step, ended);
            }
            Poll::Pending => {
                let abandoned = run.queue().park(step, running);
                drop(abandoned);
            }
        }
    }
}

/// The next job and whether there are more, or `None` when the run is over. `now` is forgotten if
/// there was a wait.
async fn next(run: &Shared, worker: Worker, now: &mut Option<Instant>) -> Option<(Job, bool)> {
    let next = run.queue().next_and_more();
    if next.is_some() {
        return next;
    }
    *now = None;
    if worker == Worker::Helper {
        let since = Instant::now();
        while since.elapsed() < HELP_EVERY {
            tokio::task::yield_now().await;
            let next = run.queue().next_and_more();
            if next.is_some() {
                return next;
            }
        }
    }
    poll_fn(|cx| poll_next(run, cx)).await
}

fn poll_next(run: &Shared, cx: &mut Context<'_>) -> Poll<Option<(Job, bool)>> {
    let mut queue = run.queue();
    // Whoever is in this list sleeps.
    queue.idle.retain(|idle| !idle.will_wake(cx.waker()));
    if let Some(next) = queue.next_and_more() {
        return Poll::Ready(Some(next));
    }
    if queue.is_over() {
        return Poll::Ready(None);
    }
    queue.idle.push(cx.waker().clone());
    Poll::Pending
}

/// Polls a step. The first time without a waker of its own, which many never need.
fn poll(run: &Arc<Shared>, step: usize, running: &mut Running) -> Poll<Ended> {
    let noop = running
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    if noop.is_ready() {
        return noop;
    }
    let waker = Waker::from(Arc::new(StepWaker {
        run: Arc::clone(run),
        step,
    }));
    Pin::new(running).poll(&mut Context::from_waker(&waker))
}

fn end(run: &Shared, step: usize, mut ended: Ended) {
    if let Some(output) = ended.output.take() {
        // A step ends once, so its place is empty.
        let _ = run.slots.outputs[step].set(output);
    }
    let mut queue = run.queue();
    let failed = queue.end(&run.plan, step, ended);
    let idle = if queue.is_over() {
        std::mem::take(&mut queue.idle)
    } else {
        Vec::new()
    };
    drop(queue);
    if failed {
        run.token.cancel();
    }
    idle.into_iter().for_each(Waker::wake);
}

/// Wakes an idle worker, or starts one if there may be more.
fn call_for_help(run: &Arc<Shared>) {
    let tasks = &run.settings.tasks;
    let mut queue = run.queue();
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
