//! One run of a workflow: what it shares among those who drive it, and its course.

mod attempt;
mod compensate;
mod limited;
mod queue;
mod ready;
mod work;

use std::cell::OnceCell;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use coord_bus::time::{Clock, Instant, sleep};
use coord_bus::vocabulary::{Transition, WorkflowEvent};
use coord_bus::{CancellationToken, Publisher, TaskScope, Timestamp};
use serde::{Serialize, Serializer};
use tokio::runtime::Handle;

use crate::Workflow;
use crate::context::Start;
use crate::course::{Fact, Refused};
use crate::limits::{Limits, RunLimits};
use crate::outcome::{Outcome, Status};
use crate::plan::{Output, Plan, Slots};
use queue::Queue;
use work::Worker;

/// The id of a run: unique, and later ones sort after earlier ones.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Arc<str>);

impl RunId {
    /// The time in milliseconds and a random part, both in base 36.
    fn new(now: Timestamp) -> Self {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let base_36 = |mut number: u64, digits: usize| {
            let mut text = vec![b'0'; digits];
            for digit in text.iter_mut().rev() {
                *digit = DIGITS[(number % 36) as usize];
                number /= 36;
            }
            String::from_utf8_lossy(&text).into_owned()
        };
        let time = base_36(now.as_millisecond().unsigned_abs(), 9);
        Self(format!("{time}-{}", base_36(fastrand::u64(..), 6)).into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What all runs of an orchestrator share.
pub(crate) struct Settings {
    pub(crate) events: Publisher<WorkflowEvent>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) concurrency: Option<NonZeroUsize>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) grace: Duration,
    pub(crate) compensation_timeout: Duration,
    pub(crate) tasks: Arc<TaskScope>,
}

/// What the tasks that drive a run share.
pub(crate) struct Shared {
    pub(crate) id: RunId,
    pub(crate) token: CancellationToken,
    plan: Arc<Plan>,
    identity: u64,
    settings: Arc<Settings>,
    /// What it has to do with the limits of all runs: `None`, nothing.
    limits: Option<RunLimits>,
    slots: Slots,
    started: Instant,
    started_at: Timestamp,
    /// How many tasks besides the driver may work at the run: with it, one for each thread.
    helpers_max: usize,
    taken: Taken,
    queue: Mutex<Queue>,
}

/// When somebody last took a step to poll it, in nanoseconds from the beginning: written by workers,
/// watched by helpers. On cache lines of its own, so that to watch it disturbs nothing else.
#[repr(align(128))]
struct Taken(AtomicU64);

impl Shared {
    pub(crate) fn new<I>(
        workflow: &Workflow<I>,
        input: Output,
        limits: Option<RunLimits>,
        settings: &Arc<Settings>,
        parent: &CancellationToken,
    ) -> Arc<Self> {
        let plan = Arc::clone(&workflow.plan);
        let started_at = settings.clock.now();
        let limit = [plan.concurrency, settings.concurrency];
        let limit = limit.into_iter().flatten().map(usize::from).min();
        let queue = Queue::new(&plan, limit.unwrap_or(usize::MAX));
        Arc::new(Self {
            id: RunId::new(started_at),
            token: parent.child_token(),
            identity: workflow.identity,
            settings: Arc::clone(settings),
            limits,
            slots: Slots {
                input,
                outputs: Arc::clone(queue.course.outputs()),
            },
            started: Instant::now(),
            started_at,
            helpers_max: Handle::current().metrics().num_workers() - 1,
            taken: Taken(AtomicU64::new(0)),
            queue: Mutex::new(queue),
            plan,
        })
    }

    /// Whether every step has come to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.queue().is_over()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time, in nanoseconds from the beginning of the run.
    #[inline]
    fn elapsed(&self) -> u64 {
        let elapsed = self.started.elapsed();
        // Five hundred years fit in.
        elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos())
    }

    fn start<'r>(&'r self, step: usize, attempt: u32, parent: &'r CancellationToken) -> Start<'r> {
        Start {
            plan: &self.plan,
            run: &self.id,
            slots: &self.slots,
            step,
            attempt,
            parent,
            context: OnceCell::new(),
        }
    }

    fn step_id(&self, step: usize) -> String {
        self.plan.steps[step].id.to_string()
    }

    fn next_to_undo(&self) -> Option<usize> {
        self.queue().course.next_to_undo(&self.plan)
    }

    fn is_heard(&self) -> bool {
        self.settings.events.is_heard()
    }

    /// Tells who listens. Costs nothing where nobody does.
    async fn tell(&self, transition: impl FnOnce() -> Transition) {
        if !self.is_heard() {
            return;
        }
        let event = WorkflowEvent {
            workflow: self.plan.name.to_string(),
            run: self.id.to_string(),
            at: self.settings.clock.now(),
            transition: transition(),
        };
        // A closed bus has nobody left to tell.
        let _ = self.settings.events.publish(event).await;
    }

    /// Something happens in the run, if it may. Whoever is to know of it before it takes effect
    /// learns of it here.
    async fn happens(
        &self,
        fact: Fact,
        transition: impl FnOnce() -> Transition,
    ) -> Result<(), Refused> {
        self.queue().course.admits(&self.plan, &fact)?;
        self.tell(transition).await;
        let mut queue = self.queue();
        // Meanwhile the run may have been stopped.
        queue.course.admits(&self.plan, &fact)?;
        queue.apply(&self.plan, fact);
        Ok(())
    }

    /// Something happens that nothing else in the run can come in the way of.
    async fn must_happen(&self, fact: Fact, transition: impl FnOnce() -> Transition) {
        let happened = self.happens(fact, transition).await;
        debug_assert_eq!(happened, Ok(()));
    }
}

/// The time between two, in nanoseconds.
fn between(began: u64, ended: u64) -> Duration {
    Duration::from_nanos(ended.saturating_sub(began))
}

/// Drives a run to its end, compensation included.
pub(crate) async fn drive(run: Arc<Shared>) -> Arc<Outcome> {
    let unfinished = queue::Unfinished(Arc::clone(&run));
    let steps = run.plan.steps.len();
    run.tell(|| Transition::RunStarted { steps }).await;
    let status = steps_to_end(&run).await;
    if status != Status::Completed {
        let (waiting, at) = (run.queue().waiting(), run.elapsed());
        for step in waiting {
            let id = || run.step_id(step);
            let fact = Fact::Cancelled { step, at };
            run.must_happen(fact, || Transition::StepCancelled { step: id() })
                .await;
        }
        compensate::all(&run).await;
    }
    let at = run.elapsed();
    let finished = || Transition::RunFinished {
        outcome: status.to_string(),
        duration: Duration::from_nanos(at),
    };
    run.must_happen(Fact::Finished { at }, finished).await;
    let course = std::mem::take(&mut run.queue().course);
    drop(unfinished);
    Arc::new(Outcome {
        workflow: run.plan.name.to_string(),
        run: run.id.clone(),
        status,
        started_at: run.started_at,
        duration: Duration::from_nanos(course.duration()),
        identity: run.identity,
        plan: Arc::clone(&run.plan),
        course,
    })
}

/// Until every step has come to its end: works, and watches for a cancellation and the timeout.
async fn steps_to_end(run: &Arc<Shared>) -> Status {
    let mut work = Box::pin(work::work(Arc::clone(run), Worker::Driver));
    let mut cancelled = Box::pin(run.token.cancelled());
    let mut expired = Box::pin(sleep(run.plan.timeout));
    std::future::poll_fn(|cx| {
        if work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let ended = if cancelled.as_mut().poll(cx).is_ready() {
            Some(Status::Cancelled)
        } else if expired.as_mut().poll(cx).is_ready() {
            Some(Status::TimedOut)
        } else {
            None
        };
        match ended {
            Some(status) if run.queue().stop(&run.plan, status) => {
                run.leave_limits();
                run.token.cancel();
                // What runs is told; what has not started is over, perhaps all there was.
                work.as_mut().poll(cx)
            }
            _ => Poll::Pending,
        }
    })
    .await;
    run.leave_limits();
    run.queue().course.status()
}
