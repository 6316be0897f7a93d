//! One run of a workflow: what it shares among those who drive it, and its course.

mod actions;
mod attempt;
mod child;
mod compensate;
mod drive;
mod end;
mod further;
mod held;
mod hooks;
mod items;
mod item_runs;
mod limited;
mod ours;
mod pauses;
mod queue;
mod ready;
mod recorder;
mod rounds;
mod skips;
mod stay;
mod telling;
mod backoffs;
mod bounds;
mod wall;
mod why;
mod work;
mod writer;

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use coord_bus::time::{Clock, Instant};
use coord_bus::vocabulary::{Transition, WorkflowEvent};
use coord_bus::{CancellationToken, EventLog, Publisher, TaskScope, Timestamp};
use tokio::runtime::Handle;

use crate::context::Start;
use crate::course::{Course, Fact, Refused};
use crate::handle::{Inputs, Outputs};
use crate::limits::{Limits, RunLimits};
use crate::outcome::Status;
use crate::ownership::{Keeping, Known};
use crate::plan::{Definition, Output, Plan};
use crate::shape::Shape;
use crate::signals::{SignalNumber, Signals};
use crate::so_far::Standing;
use crate::time_limits::TimeLimits;
use crate::waits::Events;
use crate::{Command, Parent, RunId, RunState, RunView, StepError, records};
pub(crate) use actions::Actions;
use backoffs::Backoffs;
pub(crate) use child::ChildRun;
pub(crate) use drive::drive;
pub(crate) use end::End;
use further::Further;
pub(crate) use item_runs::ItemRuns;
pub(crate) use items::Items;
pub(crate) use pauses::Pauses;
use queue::Queue;
use recorder::Recorder;
pub(crate) use rounds::{RoundEnd, Rounds};
use skips::Skips;
pub(crate) use wall::compare;

/// For how long a run has gone on at most where it is taken up, or its time leaps: three centuries, and there is room for
/// as many from then on. A clock that says more is wrong.
pub(crate) const LONGEST: Duration = Duration::from_nanos(u64::MAX / 2);

/// What all runs of an orchestrator share.
pub(crate) struct Settings {
    pub(crate) events: Publisher<WorkflowEvent>,
    /// How many of them there was no room for in time.
    pub(crate) untold: AtomicU64,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) concurrency: Option<NonZeroUsize>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) grace: Duration,
    pub(crate) compensation_timeout: Duration,
    pub(crate) max_recovery_attempts: u32,
    pub(crate) tasks: Arc<TaskScope>,
    /// Cancelled to cancel every run that is not kept.
    pub(crate) token: CancellationToken,
    pub(crate) runs: Mutex<Vec<Weak<Shared>>>,
    /// What it takes to drive durable ones.
    pub(crate) keeping: Option<Keeping>,
}

/// Where a run begins: with nothing, or where it was interrupted.
pub(crate) struct Beginning {
    pub(crate) id: RunId,
    pub(crate) course: Course,
    pub(crate) input: Output,
    pub(crate) started_at: Timestamp,
    /// How long ago that was, in a run that is taken up.
    pub(crate) before: Duration,
    /// Its fencing token.
    pub(crate) fence: u64,
    /// Its parent's cancellation cancels it.
    pub(crate) parent: CancellationToken,
    /// Whether what happens in it is kept; then what suspends it, and until when the lease holds under which it is kept.
    pub(crate) kept: Option<(CancellationToken, Arc<Known>)>,
    /// What it was told so far.
    pub(crate) told: Told,
    /// Whether its processes seem to end as soon as they take it up.
    pub(crate) is_careful: bool,
    /// What it has to do with the limits of all runs: `None`, nothing.
    pub(crate) limits: Option<RunLimits>,
    /// The step that it is the work of, if it is.
    pub(crate) child_of: Option<Parent>,
    /// What pauses the run of that step, and with it this one.
    pub(crate) around: Option<Arc<Pauses>>,
}

/// What a run was told, before it is driven.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) is_cancelled: bool,
    /// Why.
    pub(crate) reason: Option<String>,
    pub(crate) is_paused: bool,
    /// That what is exhausted is to be tried anew.
    pub(crate) is_continued: bool,
    /// The steps that are to be skipped.
    pub(crate) skips: BTreeSet<usize>,
    pub(crate) signals: Signals,
}

impl Told {
    pub(crate) fn follow(&mut self, plan: &Plan, command: Command) {
        match command {
            Command::Cancel { .. } if self.is_cancelled => {}
            Command::Cancel { reason } => (self.is_cancelled, self.reason) = (true, reason),
            Command::Pause => self.is_paused = true,
            Command::Continue => self.is_paused = false,
            Command::Skip { step } => self.skips.extend(plan.place(&step)),
            Command::Signal { name, payload, id } => self.signals.arrive(name, payload, id),
            // What it was about has ended with who drove the run then.
            Command::Act(_) => {}
        }
    }

    /// What it was told before its end was about that. Signals stay.
    pub(crate) fn begin_anew(&mut self, plan: &Plan, course: &Course) {
        self.signals.begin_anew(plan, course);
        (self.is_cancelled, self.is_paused, self.is_continued) = (false, false, false);
        self.reason = None;
        self.skips.clear();
    }
}

/// What the tasks that drive a run share.
pub(crate) struct Shared {
    pub(crate) id: RunId,
    /// What tells it from another run of its id, in the idempotency keys of its steps.
    pub(crate) mark: Option<u64>,
    /// The version of the record by which it was started or taken up here: larger than that of whoever had it before.
    pub(crate) fence: u64,
    pub(crate) token: CancellationToken,
    /// Cancelled when a durable run is to be left as it is.
    suspend: CancellationToken,
    is_durable: bool,
    /// How many bytes what is kept of a step takes at most.
    pub(crate) kept_max: usize,
    /// Whether that an attempt begins is kept before it does.
    is_careful: bool,
    plan: Arc<Plan>,
    identity: u64,
    settings: Arc<Settings>,
    /// What it has to do with the limits of all runs: `None`, nothing.
    limits: Option<RunLimits>,
    /// The step that it is the work of, if it is.
    child_of: Option<Parent>,
    pauses: Arc<Pauses>,
    /// Whether the last event that there was no room for was given up.
    gave_up: AtomicBool,
    /// The steps that are more than one, and are under way.
    further: Further,
    input: Output,
    pub(crate) signals: Arc<Signals>,
    pub(crate) actions: Arc<Actions>,
    /// The steps that are to be skipped.
    skips: Skips,
    /// The steps that wait for another attempt.
    backoffs: Backoffs,
    events: Arc<Events>,
    /// Whether it was retried, so that steps may be another doing than before.
    is_retried: bool,
    /// How long the run had gone on before this process took it up.
    before: Duration,
    started: Instant,
    started_at: Timestamp,
    /// How many tasks besides the driver may work at the run: with it, one for each thread.
    helpers_max: usize,
    watched: Watched,
    queue: Mutex<Queue>,
}

/// What helpers look at all the time. On cache lines of its own, so that to look disturbs nothing else.
#[repr(align(128))]
struct Watched {
    /// When somebody last took a step to poll it, in nanoseconds from the beginning.
    taken: AtomicU64,
    /// By how much the time of the run has leapt since it began here, in nanoseconds.
    leapt: AtomicU64,
}

/// The lock of a run, as far as who begins a step holds it still.
#[derive(Default)]
pub(crate) struct Lock<'r>(Cell<Option<MutexGuard<'r, Queue>>>);

impl<'r> Lock<'r> {
    fn held(queue: MutexGuard<'r, Queue>) -> Self {
        Self(Cell::new(Some(queue)))
    }
}

impl Start<'_> {
    /// What the step takes from others. The lock is free afterwards.
    #[inline]
    pub(crate) fn values<In: Inputs>(&self, inputs: &In) -> Option<In::Values> {
        let held = self.lock.0.take();
        let queue = held.unwrap_or_else(|| self.shared.queue());
        inputs.values(&Outputs {
            input: &self.shared.input,
            of_steps: queue.course.outputs(),
        })
    }

    /// What another step has put out.
    pub(crate) fn output(&self, step: usize) -> Option<Output> {
        let queue = self.shared.queue();
        queue.course.outputs().get(step)?.clone()
    }
}

impl Shared {
    pub(crate) fn new(
        definition: Definition<'_>,
        beginning: Beginning,
        settings: &Arc<Settings>,
    ) -> Arc<Self> {
        let plan = Arc::clone(definition.plan);
        let limit = [plan.concurrency, settings.concurrency];
        let limit = limit.into_iter().flatten().map(usize::from).min();
        let is_durable = beginning.kept.is_some();
        let (suspend, known) = beginning.kept.unzip();
        let recorder = known.map(|known| Recorder::new(beginning.started_at, known));
        let told = beginning.told;
        let limit = limit.unwrap_or(usize::MAX);
        let pauses = Pauses::new(beginning.id.clone(), told.is_paused, beginning.around);
        let mut queue = Queue::new(
            &plan,
            beginning.course,
            limit,
            recorder,
            Arc::clone(&pauses),
        );
        if told.is_continued {
            queue.go_on(&plan, beginning.before.as_nanos() as u64);
        }
        let mark = queue.course.nonce.filter(|_| queue.course.is_marked);
        let is_retried = queue.course.retries().next().is_some();
        let token = beginning.parent.child_token();
        queue.wanted = told.reason.map(|why| (Status::Cancelled, why.into()));
        let keeping = settings.keeping.as_ref().filter(|_| is_durable);
        let kept_max = keeping.map(|keeping| records::kept_max(&*keeping.journal.log));
        if told.is_cancelled {
            token.cancel();
        }
        Arc::new(Self {
            id: beginning.id,
            mark,
            fence: beginning.fence,
            token,
            // Its own: what suspends this run alone leaves the others.
            suspend: suspend
                .as_ref()
                .map(CancellationToken::child_token)
                .unwrap_or_default(),
            is_durable,
            kept_max: kept_max.unwrap_or(usize::MAX),
            is_careful: beginning.is_careful,
            identity: definition.identity,
            settings: Arc::clone(settings),
            limits: beginning.limits,
            child_of: beginning.child_of,
            pauses,
            gave_up: AtomicBool::new(false),
            further: Further::default(),
            input: beginning.input,
            signals: Arc::new(told.signals),
            actions: Arc::default(),
            skips: Skips::new(told.skips),
            backoffs: Backoffs::default(),
            events: Arc::default(),
            is_retried,
            before: beginning.before,
            started: Instant::now(),
            started_at: beginning.started_at,
            helpers_max: Handle::current().metrics().num_workers() - 1,
            watched: Watched {
                taken: AtomicU64::new(0),
                leapt: AtomicU64::new(0),
            },
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
        let elapsed = self.before + self.started.elapsed();
        // Five hundred years fit in.
        let elapsed = elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos());
        elapsed + self.watched.leapt.load(Ordering::Relaxed)
    }

    fn start<'r>(
        self: &'r Arc<Self>,
        step: usize,
        attempt: u32,
        parent: &'r CancellationToken,
    ) -> Start<'r> {
        self.start_under(Lock::default(), step, attempt, parent)
    }

    /// The same, of who still holds the lock.
    #[inline]
    fn start_under<'r>(
        self: &'r Arc<Self>,
        lock: Lock<'r>,
        step: usize,
        attempt: u32,
        parent: &'r CancellationToken,
    ) -> Start<'r> {
        Start {
            shared: self,
            plan: &self.plan,
            run: &self.id,
            round: self.round(&lock, step),
            lock,
            signals: &self.signals,
            events: &self.events,
            step,
            attempt,
            part: None,
            since: self.started,
            last_heartbeat: None,
            parent,
            context: OnceCell::new(),
        }
    }

    /// How often a step is another doing than the first.
    #[inline]
    fn round(&self, lock: &Lock<'_>, step: usize) -> u32 {
        if !self.is_retried {
            return 0;
        }
        let held = lock.0.take();
        let round = match &held {
            Some(queue) => queue.course.round(&self.plan, step),
            None => self.queue().course.round(&self.plan, step),
        };
        lock.0.set(held);
        round
    }

    /// Listens, from now on, for the events that its steps wait for. `None`: for none.
    pub(crate) fn listen(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        if !self.plan.listens {
            return None;
        }
        let queue = self.queue();
        let steps = self.plan.steps.iter().zip(queue.course.steps()).enumerate();
        let steps = steps.filter(|(_, (_, record))| !record.phase.is_over());
        let listening = steps.filter_map(|(step, (planned, _))| {
            let listen = planned.listen.as_ref()?;
            Some((step, listen(&self.id)))
        });
        let (listening, events) = (listening.collect(), Arc::clone(&self.events));
        Some(async move { events.listen(listening).await })
    }

    /// For how long an attempt at a step that only waits has gone on, also in processes that are gone.
    fn waited(&self, step: usize) -> Duration {
        let queue = self.queue();
        let record = queue.course.step(step);
        // The first began when the step did; any other when the wait before it was over.
        between(record.started.max(record.ended), self.elapsed())
    }

    /// Does what the run is told.
    pub(crate) fn follow(self: &Arc<Self>, command: Command) {
        match command {
            Command::Cancel { reason } => self.cancel(reason.as_deref()),
            Command::Skip { step } => self.ask_skip(&step),
            Command::Pause => {
                self.pauses.tell(true);
                self.pauses_anew();
            }
            Command::Continue => {
                let at = self.elapsed();
                self.pauses.tell(false);
                let mut queue = self.queue();
                queue.go_on(&self.plan, at);
                // The driver among them: the time of the run may count anew.
                let mut woken = std::mem::take(&mut queue.idle);
                let recorder = queue.recorder.as_mut();
                woken.extend(recorder.and_then(|recorder| recorder.call_writer(true)));
                drop(queue);
                woken.into_iter().for_each(Waker::wake);
            }
            Command::Signal { name, payload, id } => self.signals.arrive(name, payload, id),
            Command::Act(action) => self.actions.arrive(action),
        }
    }

    /// What is to be seen of it.
    pub(crate) fn view(&self) -> RunView {
        let queue = self.queue();
        if let Some(outcome) = queue.outcome.clone() {
            drop(queue);
            return outcome.view();
        }
        let ending = queue.course.stopped();
        let is_paused = queue.is_paused() || queue.course.is_held();
        let mut view = RunView {
            run: self.id.clone(),
            workflow: self.plan.name.to_string(),
            started_at: self.started_at,
            state: RunState::Running,
            duration: None,
            timed_from: queue.course.timed_from.map(Duration::from_nanos),
            ending,
            is_paused: is_paused && ending.is_none(),
            paused_by: self.pauses.paused_by().cloned(),
            is_up: queue.course.is_up(),
            error: queue.course.error().map(ToString::to_string),
            failed_step: queue.course.failed_step(),
            driven_by: Some("this process".to_owned()),
            parent: self.child_of.clone(),
            steps: RunView::steps_of(&self.id, &self.plan, &queue.course),
            times_out_at: None,
        };
        TimeLimits::of(&self.plan, self.is_durable).tell(&mut view, &queue.course);
        drop(queue);
        self.tell_part_runs(&mut view);
        view
    }

    /// A step's output as it is kept and read from that, in a run that is kept. That of a list is, item by item.
    #[inline]
    fn keep(&self, step: usize, output: &Output) -> Result<Option<(Output, Box<str>)>, StepError> {
        match self.plan.steps[step].shape {
            _ if !self.is_durable => Ok(None),
            Some(Shape::ForEach { .. }) => Ok(None),
            _ => self.plan.steps[step].keep(output, self.kept_max),
        }
    }

    /// The signal that the attempt at a step took which is at its end.
    #[inline]
    fn signal_taken(&self, step: usize) -> Option<SignalNumber> {
        self.plan.steps[step].signal()?;
        self.signals.taken(step)
    }

    fn step_id(&self, step: usize) -> String {
        self.plan.steps[step].id.to_string()
    }

    fn next_to_undo(&self) -> Option<usize> {
        self.queue().course.next_to_undo(&self.plan)
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
        // Meanwhile the run may have been stopped.
        self.applies(fact)
    }

    /// The same, where whoever is to know of it does.
    fn applies(&self, fact: Fact) -> Result<(), Refused> {
        let mut queue = self.queue();
        queue.course.admits(&self.plan, &fact)?;
        queue.apply(&self.plan, fact);
        let has_time = !queue.has_next();
        let writer = queue
            .recorder
            .as_mut()
            .and_then(|recorder| recorder.call_writer(has_time));
        drop(queue);
        writer.into_iter().for_each(Waker::wake);
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

/// In nanoseconds, of which five hundred years are the most that is told.
pub(crate) fn in_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes what happens in a durable run, whose stream is at this version.
pub(crate) async fn write(run: Arc<Shared>, log: Arc<dyn EventLog>, from: Standing) {
    writer::write(run, log, from).await;
}
