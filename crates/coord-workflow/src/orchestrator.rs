//! The orchestrator: starts runs, owns their tasks, and ends them.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use coord_bus::time::{Clock, SystemClock};
use coord_bus::vocabulary::WORKFLOW_EVENTS;
use coord_bus::{Bus, BusExt, CancellationToken, ShutdownReport, TaskScope};
use tokio::sync::watch;

use crate::course::Course;
use crate::limits::{Limits, RunLimits};
use crate::ownership::Keeping;
use crate::plan::{Definition, Output};
use crate::run::{Beginning, End, Settings, Shared, Told};
use crate::take_up::Within;
use crate::{
    Command, Outcome, RunId, RunJournal, RunView, StepAction, Why, Workflow, WorkflowError,
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
/// other steps; a lossless subscriber that does not read holds the run up.
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
/// | [`shutdown`](Self::shutdown) | is told to stop, has the grace, and begins again as the same attempt | anybody, once `shutdown` has returned |
/// | dropped, also by a panic of who owned it | stops where it awaits, and begins again as the same attempt, with the same idempotency key | anybody, at once with leases of a `coord-journal` or in memory, which are given back as it is dropped; with others, when [`DEFAULT_LEASE_TTL`](crate::DEFAULT_LEASE_TTL) is over |
/// | the process was killed, or crashed | the same | anybody, at once with leases of a `coord-journal`; with others, when that time is over |
/// | the lease was lost, as the process stood still | is told to stop | who has them now; nothing of them is written here any more |
///
/// A panic of a step is none of these: it is the failure of that attempt, and the run goes on. Nobody resumes
/// a run by itself: [`resume_runs`](Self::resume_runs) goes on with all that nobody drives at that moment, so
/// whoever starts an orchestrator calls it, each time; a child of a supervisor at the beginning of each
/// incarnation.
pub struct WorkflowOrchestrator {
    pub(crate) settings: Arc<Settings>,
}

/// Makes a [`WorkflowOrchestrator`] with other settings than the default ones.
pub struct OrchestratorBuilder<'b, B: ?Sized> {
    bus: &'b B,
    clock: Arc<dyn Clock>,
    concurrency: Option<NonZeroUsize>,
    total_concurrency: Option<NonZeroUsize>,
    resources: BTreeMap<String, u32>,
    grace: Duration,
    compensation_timeout: Duration,
    journal: Option<RunJournal>,
    max_recovery_attempts: u32,
}

impl<B: Bus + ?Sized> OrchestratorBuilder<'_, B> {
    /// With this clock for the times of events, instead of the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// With at most this many steps of a run at once, where its workflow does not state fewer.
    /// There is no limit by default: steps that only wait cost next to nothing.
    #[must_use]
    pub fn concurrency(mut self, steps: NonZeroUsize) -> Self {
        self.concurrency = Some(steps);
        self
    }

    /// With at most this many steps at once, those of all runs counted. Runs take turns: the one that
    /// has waited longest begins its next step. What is undone is not counted. There is no limit by
    /// default.
    ///
    /// A step that waits for another run of the same orchestrator is counted meanwhile: where all
    /// places are taken by such steps, nothing goes on.
    #[must_use]
    pub fn total_concurrency(mut self, steps: NonZeroUsize) -> Self {
        self.total_concurrency = Some(steps);
        self
    }

    /// With a resource that the steps of all runs share, and this many permits of it: a step that
    /// [asks](crate::StepBuilder::resource) for some waits until there are enough, and those that
    /// asked first are first. A later one of the same name counts.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use coord_bus::LocalBus;
    /// use coord_workflow::{StepError, Workflow, WorkflowOrchestrator};
    ///
    /// # async fn train() -> Result<(), StepError> { Ok(()) }
    /// let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
    ///     .resource("gpu", 2)
    ///     .build()?;
    /// let mut workflow = Workflow::builder("models");
    /// workflow.step("small").resource("gpu", 1).run(train);
    /// workflow.step("large").resource("gpu", 2).run(train);
    /// let workflow = workflow.build()?;
    /// assert!(orchestrator.execute_workflow(&workflow, ()).await?.is_completed());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn resource(mut self, name: impl Into<String>, permits: u32) -> Self {
        self.resources.insert(name.into(), permits);
        self
    }

    /// With another time for cancelled steps to end than [`DEFAULT_GRACE`].
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// With another limit to undoing a run than [`DEFAULT_COMPENSATION_TIMEOUT`]. When the time is up, what
    /// is being undone is told to stop, and has the [grace](Self::grace) if it listens; what is left then is
    /// not begun, and counts as having failed with
    /// [`AttemptError::TimedOut`](crate::AttemptError::TimedOut).
    #[must_use]
    pub fn compensation_timeout(mut self, timeout: Duration) -> Self {
        self.compensation_timeout = timeout;
        self
    }

    /// With a journal, in which the runs are kept that are begun with
    /// [`start_durable`](WorkflowOrchestrator::start_durable), and no others.
    #[must_use]
    pub fn journal(mut self, journal: RunJournal) -> Self {
        self.journal = Some(journal);
        self
    }

    /// With another number of times that a step of a durable run is begun again because it was under
    /// way when its process ended, than [`DEFAULT_MAX_RECOVERY_ATTEMPTS`]. One that was under way once
    /// more may be what ends the processes: so the run is paused for it, as for one that is
    /// [exhausted](crate::OnExhausted::Pause). Continued, the step is begun again as often.
    ///
    /// What counts is that in a row: an attempt that fails begins the count anew. Steps that only wait do
    /// not count, nor does it count that the orchestrator is shut down, if it has come to its end within
    /// its deadline: that is kept in the journal.
    ///
    /// Undoing a step is begun again as often. After that it counts as having failed, with
    /// [`AttemptError::CutOff`](crate::AttemptError::CutOff), and the other steps are undone.
    #[must_use]
    pub fn max_recovery_attempts(mut self, attempts: u32) -> Self {
        self.max_recovery_attempts = attempts;
        self
    }

    /// The orchestrator.
    ///
    /// # Errors
    ///
    /// When the topic of its events cannot be opened.
    pub fn build(self) -> Result<WorkflowOrchestrator, WorkflowError> {
        let tasks = TaskScope::reporting("workflows", self.bus, Arc::clone(&self.clock))?;
        let lease = format!("orchestrator-{}", RunId::unique());
        let keeping = self.journal.map(|journal| Keeping::new(journal, lease));
        Ok(WorkflowOrchestrator {
            settings: Arc::new(Settings {
                events: self.bus.publisher(&WORKFLOW_EVENTS)?,
                clock: self.clock,
                concurrency: self.concurrency,
                limits: Limits::new(self.total_concurrency, self.resources),
                grace: self.grace,
                compensation_timeout: self.compensation_timeout,
                max_recovery_attempts: self.max_recovery_attempts,
                tasks: Arc::new(tasks),
                token: CancellationToken::new(),
                runs: Mutex::default(),
                keeping,
            }),
        })
    }
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
        OrchestratorBuilder {
            bus,
            clock: Arc::new(SystemClock),
            concurrency: None,
            total_concurrency: None,
            resources: BTreeMap::new(),
            grace: DEFAULT_GRACE,
            compensation_timeout: DEFAULT_COMPENSATION_TIMEOUT,
            journal: None,
            max_recovery_attempts: DEFAULT_MAX_RECOVERY_ATTEMPTS,
        }
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

    /// Cancels every run, waits until they have ended and been undone, at most for `deadline`,
    /// and aborts the rest. Durable runs are suspended instead: what runs of them is told to stop,
    /// and they are left as they are, for anybody to resume. After this no run can be started.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.settings.token.cancel();
        if let Some(keeping) = &self.settings.keeping {
            keeping.suspend.cancel();
        }
        let report = self.settings.tasks.shutdown(deadline).await;
        if let Some(keeping) = &self.settings.keeping {
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
            parent: self.token.clone(),
            suspend: None,
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

    /// What a run of this workflow has to do with the limits of all runs.
    pub(crate) fn limits(
        &self,
        definition: Definition<'_>,
    ) -> Result<Option<RunLimits>, WorkflowError> {
        let limits = self.limits.of_run(definition.plan);
        limits.map_err(|faults| WorkflowError::Resources {
            workflow: definition.plan.name.to_string(),
            faults,
        })
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

impl<B: ?Sized> fmt::Debug for OrchestratorBuilder<'_, B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OrchestratorBuilder")
            .field("concurrency", &self.concurrency)
            .field("total_concurrency", &self.total_concurrency)
            .field("resources", &self.resources)
            .field("grace", &self.grace)
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

    /// Cancels it: no step starts any more, those that run are told to stop and then dropped,
    /// and what had completed is undone.
    ///
    /// For a durable run, that is not yet kept when this returns: it may be gone with the process, and
    /// then the run goes on when it is resumed. Where that matters, [tell](Self::tell) it
    /// [`Command::Cancel`].
    pub fn cancel(&self) {
        self.token.cancel();
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
        self.end().await.outcome(&self.id)
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
    /// [`WorkflowError::RunFinished`], `TooManySignals`, `TooLarge`, `NoSuchStep`, `NotSkipped`, or what kept the
    /// run from being written: `Suspended`, `Aborted`, `TakenOver`, `Child` or `Journal`.
    pub async fn tell(&self, command: Command) -> Result<(), WorkflowError> {
        match self.shared.upgrade() {
            Some(shared) if self.goes_on() => shared.tell_run(command).await,
            // It has come to an end, or is just about to.
            _ => Err(self.end().await.into_error(&self.id)),
        }
    }

    /// The next thing that this program, which drives the run, is to do with a step, as it was
    /// [told](RunJournal::tell) with [`Command::Act`]: by itself, or from another process. `None` once the run
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
    /// other runs of the orchestrator among them: the first eight, and how many more.
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
        match (self.shared.upgrade(), &why) {
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
