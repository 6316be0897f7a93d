//! The orchestrator: starts runs, owns their tasks, and ends them.

mod builder;

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use coord_bus::{Bus, CancellationToken, ShutdownReport, catch};
use tokio::sync::{oneshot, watch};

pub use builder::OrchestratorBuilder;

use crate::course::Course;
use crate::limits::RunLimits;
use crate::plan::{Definition, Output, Plan};
use crate::run::{Beginning, End, Settings, Shared, Told};
use crate::take_up::Within;
use crate::{
    Command, Outcome, RunId, RunView, StepAction, StepError, Why, Workflow, WorkflowError,
};

/// How long a step that watches its token has to come to an end once it is cancelled.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// How long undoing a run's steps may take, all together.
pub const DEFAULT_COMPENSATION_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How often a step that was under way when its process ended is begun again, before its run is paused.
pub const DEFAULT_MAX_RECOVERY_ATTEMPTS: u32 = 50;

/// How long a keeper of leases may take to hear that an orchestrator is gone.
const GIVING_UP: Duration = Duration::from_secs(5);

/// Runs workflows.
///
/// It owns the runs: they go on when nobody waits for them, and end with it. Every transition of a
/// run is an event on the topic `workflow-events` of its bus, published before it takes effect on
/// other steps; a lossless subscriber that does not read holds the run up, but not for long
/// [once it is to end](crate#what-is-promised).
///
/// # Ending
///
/// [`shutdown`](Self::shutdown) cancels what still runs and lets it be undone. Dropping the
/// orchestrator aborts it: steps stop where they await, and nothing is undone.
///
/// [Durable](Workflow::durable) runs outlive it. What is known of them afterwards, and from when on they can be
/// resumed, depends on how it ended:
///
/// | how it ended | a step that was under way | who may resume its runs |
/// |---|---|---|
/// | [`shutdown`](Self::shutdown) | is told to stop, has the grace, and begins again as the same attempt | anybody, once `shutdown` has returned; where a step still runs then, as it [holds its thread](ShutdownReport#structfield.still_running), once the orchestrator is dropped |
/// | dropped, also by a panic of who owned it | stops where it awaits, and begins again as the same attempt, with the same idempotency key | anybody, at once with leases in memory, and with those of a `coord-journal` as soon as that has written (some milliseconds) that they are given back; with others, when the time of its lease ([`lease_ttl`](OrchestratorBuilder::lease_ttl)) is over |
/// | the process was killed, or crashed | the same | anybody, at once with leases of a `coord-journal`; with others, when that time is over |
/// | the lease was lost, as the process stood still | is told to stop | who has them now; nothing of them is written here any more |
///
/// A panic of a step is none of these: it is the failure of that attempt, and the run goes on. Nobody resumes
/// a run by itself: [`resume_runs`](Self::resume_runs) goes on with all that nobody drives at that moment, and
/// says which others drive ([`Resumed::elsewhere`](crate::Resumed::elsewhere)). So whoever starts an orchestrator
/// calls it, each time; a child of a supervisor at the beginning of each incarnation; and of several workers, which
/// are to take up what one of them leaves, each every few seconds.
pub struct WorkflowOrchestrator {
    pub(crate) settings: Arc<Settings>,
}
impl WorkflowOrchestrator {
    /// An orchestrator with the default settings.
    ///
    /// # Errors
    ///
    /// When the topic of its events cannot be opened.
    pub fn new(bus: &(impl Bus + ?Sized)) -> Result<Self, WorkflowError> {
        Self::builder(bus).build()
    }

    /// An orchestrator with settings to be chosen.
    pub fn builder<B: Bus + ?Sized>(bus: &B) -> OrchestratorBuilder<'_, B> {
        OrchestratorBuilder::new(bus)
    }

    /// Starts a run in memory. It goes on by itself, also if the handle is dropped.
    ///
    /// Nothing of it is kept, whatever the workflow is, also where the orchestrator has a
    /// [journal](OrchestratorBuilder::journal): a run that is to outlive its process is begun with
    /// [`start_durable`](Self::start_durable).
    ///
    /// # Errors
    ///
    /// [`WorkflowError::ShutDown`]; [`WorkflowError::Resources`], when a step asks for a resource that
    /// is not there, or for more of it than there is.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start_workflow<I: Any + Send + Sync, K>(
        &self,
        workflow: &Workflow<I, K>,
        input: I,
    ) -> Result<Run, WorkflowError> {
        let id = RunId::at(self.settings.clock.now());
        let input = Arc::new(input);
        self.settings.start(workflow.definition(), id, input, None)
    }

    /// Runs a workflow to its end, in memory, as [`start_workflow`](Self::start_workflow) does. A run that fails is an
    /// [`Outcome`] like any other.
    ///
    /// The same for a run that is kept is [`start_durable`](Self::start_durable), and then
    /// [`Run::outcome`]; but who drops that leaves the run to go on.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the run is cancelled: it ends, and is undone, in the background.
    ///
    /// # Errors
    ///
    /// See [`WorkflowError`].
    pub async fn execute_workflow<I: Any + Send + Sync, K>(
        &self,
        workflow: &Workflow<I, K>,
        input: I,
    ) -> Result<Arc<Outcome>, WorkflowError> {
        let run = self.start_workflow(workflow, input)?;
        let cancel = run.token.clone().drop_guard();
        let outcome = run.outcome().await;
        cancel.disarm();
        outcome
    }

    /// How many runs are going on.
    pub fn active_runs(&self) -> usize {
        let runs = self.settings.runs();
        runs.iter().filter(|run| !run.is_over()).count()
    }

    /// How many events of runs that were to end were never published, as a subscriber of `workflow-events` left no
    /// room for them: a second is waited for that, and then no more until there is room again.
    pub fn untold(&self) -> u64 {
        self.settings.untold.load(Ordering::Relaxed)
    }

    /// Cancels every run, waits until they have ended and been undone, at most for `deadline`,
    /// and aborts the rest. Durable runs are suspended instead: what runs of them is told to stop,
    /// and they are left as they are, for anybody to resume. After this no run can be started. A step that holds its
    /// thread cannot be aborted: where one still runs, nobody else resumes runs of this orchestrator until it is dropped.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.settings.token.cancel();
        if let Some(keeping) = &self.settings.keeping {
            keeping.suspend.cancel();
        }
        let report = self.settings.tasks.shutdown(deadline).await;
        // What still runs is not to be done by somebody else beside it.
        if let Some(keeping) = &self.settings.keeping
            && report.still_running.is_empty()
        {
            keeping.give_up(GIVING_UP).await;
        }
        report
    }
}

impl Settings {
    /// The runs that go on, and some that have just ended.
    pub(crate) fn runs(&self) -> Vec<Arc<Shared>> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.iter().filter_map(Weak::upgrade).collect()
    }

    /// Starts a run in memory.
    pub(crate) fn start(
        self: &Arc<Self>,
        definition: Definition<'_>,
        id: RunId,
        input: Output,
        within: Option<Within<'_>>,
    ) -> Result<Run, WorkflowError> {
        self.check_open(definition)?;
        let beginning = Beginning {
            id,
            course: Course::new(definition.plan),
            input,
            started_at: self.clock.now(),
            before: Duration::ZERO,
            // As that of a durable one that nobody has taken up.
            fence: 1,
            parent: self.token.clone(),
            kept: None,
            told: Told::default(),
            is_careful: false,
            limits: self.limits(definition)?,
            child_of: within.map(|within| within.parent.clone()),
            around: within.map(|within| Arc::clone(within.pauses)),
        };
        Ok(self.drive(Shared::new(definition, beginning, self), None))
    }

    pub(crate) fn check_open(&self, definition: Definition<'_>) -> Result<(), WorkflowError> {
        match self.token.is_cancelled() {
            false => Ok(()),
            true => Err(WorkflowError::ShutDown {
                workflow: definition.plan.name.to_string(),
            }),
        }
    }

    /// What a run of this workflow has to do with the limits of all runs. What its steps run has to find there what
    /// it asks for, too: otherwise it would fail only once it has come so far.
    pub(crate) fn limits(
        &self,
        definition: Definition<'_>,
    ) -> Result<Option<RunLimits>, WorkflowError> {
        let mut within: Vec<&Arc<Plan>> = vec![definition.plan];
        let mut next = 0;
        while let Some(&plan) = within.get(next) {
            next += 1;
            for child in plan.steps.iter().filter_map(|step| step.child.as_ref()) {
                if !within.iter().any(|known| Arc::ptr_eq(known, &child.plan)) {
                    self.limits_of(&child.plan)?;
                    within.push(&child.plan);
                }
            }
        }
        self.limits_of(definition.plan)
    }

    fn limits_of(&self, plan: &Plan) -> Result<Option<RunLimits>, WorkflowError> {
        let limits = self.limits.of_run(plan);
        limits.map_err(|faults| WorkflowError::Resources {
            workflow: plan.name.to_string(),
            faults,
        })
    }

    /// What makes a run this orchestrator's own, and is seen through: once it has to wait it is a task, so that nobody
    /// who asked can stop it between what is kept and what is done about that, or hold up others by not polling it.
    pub(crate) async fn see_through<T>(
        &self,
        workflow: &str,
        work: impl Future<Output = Result<T, WorkflowError>> + Send + 'static,
    ) -> Result<T, WorkflowError>
    where
        T: Send + 'static,
    {
        let mut work = Box::pin(work);
        let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context)));
        if let Poll::Ready(result) = first.await {
            return result;
        }
        let (done, outcome) = oneshot::channel();
        self.tasks.spawn("a run begins", async {
            // Where nobody waits for it, what came of it is in the journal.
            let _ = done.send(catch(work).await);
        });
        match outcome.await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(WorkflowError::ShutDown {
                workflow: workflow.to_owned(),
            }),
        }
    }
}

impl Drop for WorkflowOrchestrator {
    fn drop(&mut self) {
        self.settings.tasks.abort();
        if let Some(keeping) = &self.settings.keeping {
            keeping.abort();
        }
    }
}

impl fmt::Debug for WorkflowOrchestrator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WorkflowOrchestrator")
            .field("active_runs", &self.active_runs())
            .finish_non_exhaustive()
    }
}

/// A run that is going on.
#[derive(Debug, Clone)]
pub struct Run {
    pub(crate) id: RunId,
    pub(crate) token: CancellationToken,
    pub(crate) outcome: watch::Receiver<Option<End>>,
    pub(crate) shared: Weak<Shared>,
    /// Who has it and did not start it has the handles of this build of its workflow.
    pub(crate) asked_by: Option<Workflow>,
}

impl Run {
    /// Its id.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Has a step that waits for its next attempt make it at once. Whether it does wait for one: `false` also
    /// of a step that there is not, and of a run that has ended.
    ///
    /// How long a step waits is decided by who drives its run, and only there can it be cut short. The attempt
    /// counts like any other.
    pub fn try_now(&self, step: &str) -> bool {
        let shared = self.shared.upgrade();
        shared.is_some_and(|shared| shared.try_now(step))
    }

    /// Has no further item of a step's [list](crate::StepBuilder::for_each) begin, and no further
    /// [round](crate::StepBuilder::repeat): those that have not begun fail with this error, in the attempt that is under
    /// way. Those that have go on: how they are ended is known to who does them. Whether an attempt at such a step
    /// is under way: `false` also of a step that is one piece of work, or that there is not.
    ///
    /// It is for a program that is [told](Self::next_action) to stop a step. An error that is
    /// [permanent](StepError::permanent) makes it the last attempt.
    pub fn begin_no_more(&self, step: &str, error: StepError) -> bool {
        let shared = self.shared.upgrade();
        shared.is_some_and(|shared| shared.begin_no_more(step, error))
    }

    /// Cancels it: no step starts any more, those that run are told to stop and then dropped,
    /// and what had completed is undone.
    ///
    /// For a durable run, that is not yet kept when this returns: it may be gone with the process, and
    /// then the run goes on when it is resumed. Where that matters, [tell](Self::tell) it
    /// [`Command::Cancel`].
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// The same, for a reason, which is the [error](RunView::error) of the run then. Where somebody wanted it to end
    /// for another one before, that stays.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use coord_bus::LocalBus;
    /// # use coord_workflow::{StepError, Workflow, WorkflowOrchestrator};
    /// # let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// # let mut workflow = Workflow::builder("watch");
    /// # let step = workflow.step("watch");
    /// # step.run(|| std::future::pending::<Result<(), StepError>>());
    /// let run = orchestrator.start_workflow(&workflow.build()?, ())?;
    /// run.cancel_for("the customer has changed her mind");
    /// let outcome = run.outcome().await?;
    /// assert_eq!(outcome.error(), Some("the customer has changed her mind"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn cancel_for(&self, reason: &str) {
        if let Some(run) = self.shared.upgrade() {
            run.cancel(Some(reason));
        }
    }

    /// Ends it as failed, for a reason that is none of its steps: as [`cancel`](Self::cancel), but for how
    /// it has ended. Where all its steps are over, nothing is undone; one that has come to its end, or was
    /// failed or cancelled before, stays as it is.
    ///
    /// What becomes of that where the process ends is as for `cancel`.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use coord_bus::LocalBus;
    /// use coord_workflow::{Status, StepError, Workflow, WorkflowOrchestrator};
    ///
    /// let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// let mut workflow = Workflow::builder("watch");
    /// let step = workflow.step("watch");
    /// step.run(|| std::future::pending::<Result<(), StepError>>());
    /// let run = orchestrator.start_workflow(&workflow.build()?, ())?;
    /// run.fail("the disk is gone");
    /// let outcome = run.outcome().await?;
    /// assert_eq!(outcome.status, Status::Failed);
    /// assert_eq!(outcome.view().error.as_deref(), Some("the disk is gone"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn fail(&self, why: &str) {
        if let Some(run) = self.shared.upgrade() {
            run.fail(why);
        }
    }

    /// Waits for its end.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the run goes on.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::Aborted`]; for a durable run also `Suspended`, `LeaseLost`, `TakenOver`,
    /// `Child` or `Journal`.
    pub async fn outcome(&self) -> Result<Arc<Outcome>, WorkflowError> {
        let outcome = self.end().await.outcome(&self.id)?;
        Ok(match &self.asked_by {
            Some(build) => Arc::new(outcome.asked_for_by(build)),
            None => outcome,
        })
    }

    /// The same, whose outputs are found by the handles of this build of its workflow.
    pub(crate) fn asked_for_by(self, definition: Definition<'_>) -> Self {
        let asked_by = Some(Workflow {
            plan: Arc::clone(definition.plan),
            identity: definition.identity,
            types: PhantomData,
        });
        Self { asked_by, ..self }
    }

    async fn end(&self) -> End {
        let mut watch = self.outcome.clone();
        let end = watch.wait_for(Option::is_some).await;
        let end = end.ok().and_then(|end| end.clone());
        end.unwrap_or(End::Aborted)
    }

    /// Tells it something. For a durable run, that is kept when this returns, and is done also if
    /// the process ends before. What a run is told it does in the order in which that is kept, which is
    /// the order of the calls.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the run may have been told: what is kept of that it does.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::RunFinished`], `OtherSignal`, `TooManySignals`, `TooLarge`, `NoSuchStep`, `NoSuchSignal`, `NotSkipped`, or what kept the
    /// run from being written: `Suspended`, `Aborted`, `TakenOver`, `Child` or `Journal`.
    pub async fn tell(&self, command: Command) -> Result<(), WorkflowError> {
        match self.shared.upgrade() {
            Some(shared) if self.goes_on() => shared.tell_run(command).await,
            // It has come to an end, or is just about to.
            _ => Err(self.end().await.into_error(&self.id)),
        }
    }

    /// The next thing that this program, which drives the run, is to do with a step, as it was
    /// [told](crate::RunJournal::tell) with [`Command::Act`]: by itself, or from another process. `None` once the run
    /// has come to an end, or is driven no more.
    ///
    /// At most 64 wait to be asked for; of more, the oldest are forgotten. Of several who ask, each learns of
    /// others.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use coord_bus::LocalBus;
    /// use coord_workflow::{Command, StepAction, StepError, Workflow, WorkflowOrchestrator};
    ///
    /// let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// let mut workflow = Workflow::builder("serve");
    /// let step = workflow.step("server");
    /// step.run(|| std::future::pending::<Result<(), StepError>>());
    /// let run = orchestrator.start_workflow(&workflow.build()?, ())?;
    /// run.tell(Command::Act(StepAction::new("server", "reload"))).await?;
    /// let told = run.next_action().await.unwrap();
    /// assert_eq!((&*told.step, &*told.action), ("server", "reload"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing is missed.
    pub async fn next_action(&self) -> Option<StepAction> {
        // Nothing of the run is held by who waits.
        let actions = Arc::clone(&self.shared.upgrade()?.actions);
        let mut outcome = self.outcome.clone();
        tokio::select! {
            biased;
            _ = outcome.wait_for(Option::is_some) => None,
            action = actions.next() => Some(action),
        }
    }

    /// Where it is, and each of its steps. `None` once its orchestrator has gone without its having
    /// finished.
    pub fn view(&self) -> Option<RunView> {
        if let Some(End::Finished(outcome)) = &*self.outcome.borrow() {
            return Some(outcome.view());
        }
        Some(self.shared.upgrade()?.view())
    }

    /// What a step waits for, or else what it does. `None`: there is no such step, or the orchestrator has
    /// gone without the run's having finished.
    ///
    /// Where the step waits for permits or for a place, it names the steps that have them, those of the
    /// other runs of the orchestrator among them: the first eight, and how many more. By when a step and its run are
    /// to be done is in a [view](crate::StepView::times_out_at).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use coord_bus::LocalBus;
    /// use coord_workflow::{StepError, Workflow, WorkflowOrchestrator};
    ///
    /// let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new()).resource("gpu", 1).build()?;
    /// let mut workflow = Workflow::builder("train");
    /// for step in ["one", "two"] {
    ///     let step = workflow.step(step).resource("gpu", 1);
    ///     step.run(|| std::future::pending::<Result<(), StepError>>());
    /// }
    /// let run = orchestrator.start_workflow(&workflow.build()?, ())?;
    /// tokio::task::yield_now().await;
    /// let why = run.why("two").unwrap().to_string();
    /// assert_eq!(why, "it is ready, and waits for permits of `gpu`, which `one` has");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn why(&self, step: &str) -> Option<Why> {
        let view = self.view()?;
        let why = view.why(step);
        let shared = self.shared.upgrade();
        let why = match (&shared, why) {
            (Some(shared), Some(Why::Retry { .. })) if shared.is_ready_again(step) => {
                Some(view.place(view.holding()))
            }
            (_, why) => why,
        };
        match (shared, &why) {
            (Some(shared), Some(Why::Permits { .. } | Why::Place { .. })) => {
                shared.why_limited(&view, step)
            }
            _ => why,
        }
    }

    pub(crate) fn goes_on(&self) -> bool {
        self.outcome.borrow().is_none() && self.outcome.has_changed().is_ok()
    }
}
