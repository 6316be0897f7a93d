//! With which settings an orchestrator is made.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::{Clock, SystemClock};
use coord_bus::vocabulary::WORKFLOW_EVENTS;
use coord_bus::{Bus, BusExt, CancellationToken, TaskScope};

use super::{
    DEFAULT_COMPENSATION_TIMEOUT, DEFAULT_GRACE, DEFAULT_MAX_RECOVERY_ATTEMPTS,
    WorkflowOrchestrator,
};
use crate::limits::Limits;
use crate::ownership::{DEFAULT_LEASE_TTL, Keeping};
use crate::run::Settings;
use crate::{RunJournal, WorkflowError};

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
    lease_ttl: Duration,
}

impl<'b, B: Bus + ?Sized> OrchestratorBuilder<'b, B> {
    pub(super) fn new(bus: &'b B) -> Self {
        Self {
            bus,
            clock: Arc::new(SystemClock),
            concurrency: None,
            total_concurrency: None,
            resources: BTreeMap::new(),
            grace: DEFAULT_GRACE,
            compensation_timeout: DEFAULT_COMPENSATION_TIMEOUT,
            journal: None,
            max_recovery_attempts: DEFAULT_MAX_RECOVERY_ATTEMPTS,
            lease_ttl: DEFAULT_LEASE_TTL,
        }
    }

    /// With this clock for the times of events, and for the time of durable runs where it is ahead of timers, instead
    /// of the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// With at most this many steps of a run at once, where its workflow does not state fewer. What takes no place is
    /// told with [`WorkflowBuilder::concurrency`](crate::WorkflowBuilder::concurrency). There is no limit by default:
    /// steps that only wait cost next to nothing.
    #[must_use]
    pub fn concurrency(mut self, steps: NonZeroUsize) -> Self {
        self.concurrency = Some(steps);
        self
    }

    /// With at most this many steps at once, those of all runs counted. Runs take turns: the one that
    /// has waited longest begins its next step. What is undone is not counted, nor what takes no place in a
    /// [run](crate::WorkflowBuilder::concurrency). There is no limit by default.
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

    /// With another time than [`DEFAULT_LEASE_TTL`] after which others may take up the durable runs of this
    /// orchestrator where it does not renew its lease any more: its process is stopped, or cannot reach who keeps
    /// the leases. A process that has ended need not be waited for with leases of a `coord-journal`.
    ///
    /// It is renewed in each third of that time, also by a thread of its own: so steps that hold every thread of
    /// the runtime lose nothing, and a process that hangs for good keeps its runs until it is ended. A second is the
    /// least.
    #[must_use]
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.lease_ttl = ttl.max(Duration::from_secs(1));
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
        let lease = crate::ownership::new_lease();
        let keeping = self.journal;
        let clock = Arc::clone(&self.clock);
        let keeping = keeping.map(|journal| Keeping::new(journal, lease, self.lease_ttl, clock));
        Ok(WorkflowOrchestrator {
            settings: Arc::new(Settings {
                events: self.bus.publisher(&WORKFLOW_EVENTS)?,
                untold: AtomicU64::new(0),
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
