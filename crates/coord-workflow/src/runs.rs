//! Durable runs of an orchestrator: started, resumed, and none of them twice.

use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::Duration;

use coord_bus::{
    AppendTo, CancellationToken, Durability, EventLogError, ExpectedVersion, StreamQuery,
};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::watch;

use crate::course::{Course, Fact};
use crate::orchestrator::Run;
use crate::outcome::Outcome;
use crate::ownership::Keeping;
use crate::records::{self, RUN_CLAIMED, RUN_STARTED, Started, VERSION};
use crate::resume::{self, Kept, fault_of};
use crate::run::{Beginning, End, Shared, Told, write};
use crate::run_journal::{any_run, run_of};
use crate::{
    AttemptError, Durable, RecordFault, RunId, Workflow, WorkflowError, WorkflowOrchestrator,
    fingerprint,
};

/// How many runs are taken up at once: enough that they share what the journal writes.
const RESUMED_AT_ONCE: usize = 128;

/// What came of resuming the runs of a workflow.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Resumed {
    /// The runs that go on now.
    pub runs: Vec<Run>,
    /// Those that do not, and why.
    pub refused: Vec<(RunId, WorkflowError)>,
}

impl WorkflowOrchestrator {
    /// Starts a run that is kept in the journal. Once this has returned, the run is not lost: it
    /// goes on by itself, and after the end of its process when it is resumed.
    ///
    /// The id makes it idempotent: where there is a run of this id already, started with the same
    /// workflow and input, it is that run that is returned, taken up where it was interrupted, or
    /// with its outcome where it has finished.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the run may be in the journal, and is not driven: start it again.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NoJournal`] where the orchestrator has none, `ShutDown`, `OtherWorkflow`,
    /// `OtherInput`, `Changed`, `DrivenElsewhere`, `Record`, `Journal`, `Lease`, `UnwritableInput`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start_durable<I>(
        &self,
        workflow: &Workflow<I, Durable>,
        id: RunId,
        input: I,
    ) -> Result<Run, WorkflowError>
    where
        I: Serialize + DeserializeOwned + Any + Send + Sync,
    {
        let keeping = self.keeping(workflow)?;
        let limits = self.limits(workflow)?;
        let written = to_raw_value(&input).map_err(|source| WorkflowError::UnwritableInput {
            run: id.to_string(),
            source,
        })?;
        let _entry = keeping.runs.enter(&id).await;
        let (owner, suspend) = keeping.owner().await?;
        let started = Started {
            version: VERSION,
            workflow: workflow.name().to_owned(),
            started_at: self.settings.clock.now(),
            input: written,
            steps: fingerprint::steps(&workflow.plan),
            on_failure: workflow.plan.on_failure,
            owner,
        };
        let record = records::record(RUN_STARTED, &started);
        let record = record.map_err(|source| fault_of(&id, 1, source))?;
        let begun = AppendTo::stream(records::stream(id.as_str()))
            .expecting(ExpectedVersion::Empty)
            .record(record);
        match keeping.journal.log.append(begun).await {
            Ok(begun) => {
                let beginning = Beginning {
                    id,
                    course: Course::new(&workflow.plan),
                    input: Arc::new(input),
                    started_at: started.started_at,
                    before: Duration::ZERO,
                    parent: CancellationToken::new(),
                    suspend: Some(suspend),
                    told: Told::default(),
                    is_careful: false,
                    limits,
                };
                Ok(self.keep(keeping, workflow, beginning, begun.version))
            }
            Err(EventLogError::WrongVersion { .. }) => {
                self.take_up(keeping, workflow, id, Some(&started.input))
                    .await
            }
            Err(error) => Err(WorkflowError::journal(&id, error)),
        }
    }

    /// Goes on with a run where it was interrupted. A step that had completed does not run again;
    /// one that was under way does, with the same
    /// [idempotency key](crate::StepContext::idempotency_key). A run that goes on here, or has
    /// finished, is returned as it is.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the run may have been claimed, and is not driven: resume it
    /// again.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NoSuchRun`], or any of [`start_durable`](Self::start_durable) but
    /// `OtherInput` and `UnwritableInput`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn resume_run<I>(
        &self,
        workflow: &Workflow<I, Durable>,
        id: &RunId,
    ) -> Result<Run, WorkflowError>
    where
        I: DeserializeOwned + Any + Send + Sync,
    {
        let keeping = self.keeping(workflow)?;
        let _entry = keeping.runs.enter(id).await;
        self.take_up(keeping, workflow, id.clone(), None).await
    }

    /// Goes on with a run that has finished without completing: steps that failed, were stopped, or
    /// were undone, are done, with all their attempts, and so is everything that comes after them;
    /// what is done and was not undone stays done. With `from`, that step is done again in any case,
    /// and what comes after it, also in a run that completed.
    ///
    /// The run's timeout begins anew.
    ///
    /// # Cancel safety
    ///
    /// As [`resume_run`](Self::resume_run).
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NotFinished`], `NothingToRetry`, `NoSuchStep`, or any of
    /// [`resume_run`](Self::resume_run).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn retry_run<I>(
        &self,
        workflow: &Workflow<I, Durable>,
        id: &RunId,
        from: Option<&str>,
    ) -> Result<Run, WorkflowError>
    where
        I: DeserializeOwned + Any + Send + Sync,
    {
        let keeping = self.keeping(workflow)?;
        let _entry = keeping.runs.enter(id).await;
        let place = |step: &str| {
            let mut ids = workflow.steps();
            ids.position(|id| id == step)
                .ok_or_else(|| WorkflowError::NoSuchStep {
                    run: id.to_string(),
                    step: step.to_owned(),
                })
        };
        let from = from.map(place).transpose()?;
        loop {
            let kept = read(keeping, workflow, id).await?;
            let run = id.to_string();
            if !kept.course.is_finished() {
                return Err(WorkflowError::NotFinished { run });
            }
            let since = self.settings.clock.now().duration_since(kept.started_at);
            let at = u64::try_from(since.as_nanos()).unwrap_or_default();
            let retried = Fact::Retried { from, at };
            if kept.course.admits(&workflow.plan, &retried).is_err() {
                return Err(WorkflowError::NothingToRetry { run });
            }
            if let Some(run) = self
                .claim(keeping, workflow, id, kept, Some(retried))
                .await?
            {
                return Ok(run);
            }
        }
    }

    /// Goes on with every run of a workflow that has not finished and that nobody drives: what an
    /// application does when it begins.
    ///
    /// # Cancel safety
    ///
    /// As [`resume_run`](Self::resume_run).
    ///
    /// # Errors
    ///
    /// When the journal cannot be read at all, or there is none. What is wrong with single runs is
    /// in what is returned.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn resume_runs<I>(
        &self,
        workflow: &Workflow<I, Durable>,
    ) -> Result<Resumed, WorkflowError>
    where
        I: DeserializeOwned + Any + Send + Sync,
    {
        let keeping = self.keeping(workflow)?;
        let mut resumed = Resumed::default();
        let mut query = StreamQuery::by_name().open();
        loop {
            let page = keeping.journal.log.streams(&query).await.map_err(any_run)?;
            let Some(last) = page.last() else {
                return Ok(resumed);
            };
            query = query.after(last);
            let ids = page.iter().filter_map(run_of);
            let resuming = ids.map(|id| async move {
                let taken_up = self.resume_if_free(keeping, workflow, &id).await;
                (id, taken_up)
            });
            let mut resuming = stream::iter(resuming).buffer_unordered(RESUMED_AT_ONCE);
            while let Some((id, taken_up)) = resuming.next().await {
                match taken_up {
                    Ok(run) => resumed.runs.extend(run),
                    Err(error) => resumed.refused.push((id, error)),
                }
            }
        }
    }

    /// Goes on with a run, if it is one of this workflow and nobody drives it.
    async fn resume_if_free<I>(
        &self,
        keeping: &Keeping,
        workflow: &Workflow<I, Durable>,
        id: &RunId,
    ) -> Result<Option<Run>, WorkflowError>
    where
        I: DeserializeOwned + Any + Send + Sync,
    {
        let _entry = keeping.runs.enter(id).await;
        if keeping.runs.find(id).is_some_and(|run| run.goes_on()) {
            return Ok(None);
        }
        match self.take_up(keeping, workflow, id.clone(), None).await {
            Ok(run) => Ok(Some(run)),
            Err(WorkflowError::OtherWorkflow { .. } | WorkflowError::DrivenElsewhere { .. }) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn keeping<I>(&self, workflow: &Workflow<I, Durable>) -> Result<&Keeping, WorkflowError> {
        self.check_open(workflow.name())?;
        self.keeping
            .as_ref()
            .ok_or_else(|| WorkflowError::NoJournal {
                workflow: workflow.name().to_owned(),
            })
    }

    /// A run that is in the journal, from where it is on.
    async fn take_up<I>(
        &self,
        keeping: &Keeping,
        workflow: &Workflow<I, Durable>,
        id: RunId,
        input: Option<&RawValue>,
    ) -> Result<Run, WorkflowError>
    where
        I: DeserializeOwned + Any + Send + Sync,
    {
        loop {
            let kept = read(keeping, workflow, &id).await?;
            if input.is_some_and(|input| !is_same(input, &kept.input)) {
                let run = id.to_string();
                return Err(WorkflowError::OtherInput { run });
            }
            if kept.course.is_finished() {
                return Ok(finished(workflow, id, kept));
            }
            if let Some(run) = keeping.runs.find(&id).filter(Run::goes_on) {
                return Ok(run);
            }
            // Where it is this orchestrator's own and does not go on, nobody drives it: its start was
            // not waited for, or the journal had failed.
            let is_own = keeping.is_own(&kept.owner).await;
            let driven_by = keeping.journal.driven_by(&kept.owner).await?;
            if let Some(holder) = driven_by.filter(|_| !is_own) {
                let run = id.to_string();
                return Err(WorkflowError::DrivenElsewhere { run, holder });
            }
            if let Some(run) = self.claim(keeping, workflow, &id, kept, None).await? {
                return Ok(run);
            }
        }
    }

    /// Makes a run this orchestrator's own, and drives it; retried, if that is to happen first.
    /// `None`: something has happened to it meanwhile, perhaps that somebody else has claimed it.
    async fn claim<I>(
        &self,
        keeping: &Keeping,
        workflow: &Workflow<I, Durable>,
        id: &RunId,
        kept: Kept,
        retried: Option<Fact>,
    ) -> Result<Option<Run>, WorkflowError>
    where
        I: DeserializeOwned + Any + Send + Sync,
    {
        let plan = &workflow.plan;
        let fault = |record, source| fault_of(id, record, source);
        let input: I = serde_json::from_str(kept.input.get())
            .map_err(|source| fault(1, RecordFault::Unreadable(source)))?;
        let (owner, suspend) = keeping.owner().await?;
        let mut claim = AppendTo::stream(records::stream(id.as_str()))
            .expecting(ExpectedVersion::Exactly(kept.version));
        let is_careful = kept.seems_to_kill();
        let mut course = kept.course;
        if let Some(retried) = retried {
            let record = records::write(plan, &retried, course.status());
            claim = claim.record(record.map_err(|source| fault(kept.version + 1, source))?);
            course.apply(plan, retried, |_| {});
        }
        let claimed = records::record(RUN_CLAIMED, &owner);
        // If a loss of power undoes it, nobody drives the run: then it is to be claimed again anyway.
        let claim = claim.durably(Durability::Process);
        let mut claim = claim.record(claimed.map_err(|source| fault(kept.version + 1, source))?);
        let before = self.settings.clock.now().duration_since(kept.started_at);
        let before = Duration::try_from(before).unwrap_or_default();
        course.apply(plan, Fact::Claimed, |_| {});
        for fact in self.cut_off_too_often(&course, before) {
            let record = records::write(plan, &fact, course.status());
            claim = claim.record(record.map_err(|source| fault(kept.version + 1, source))?);
            course.apply(plan, fact, |_| {});
        }
        let claimed = match keeping.journal.log.append(claim).await {
            Ok(claimed) => claimed,
            Err(EventLogError::WrongVersion { .. }) => return Ok(None),
            Err(error) => return Err(WorkflowError::journal(id, error)),
        };
        let beginning = Beginning {
            id: id.clone(),
            course,
            input: Arc::new(input),
            started_at: kept.started_at,
            before,
            parent: CancellationToken::new(),
            suspend: Some(suspend),
            told: kept.told,
            is_careful,
            limits: self.limits(workflow)?,
        };
        Ok(Some(self.keep(
            keeping,
            workflow,
            beginning,
            claimed.version,
        )))
    }

    /// That the run is paused for the steps that may be what ends its processes.
    fn cut_off_too_often(&self, course: &Course, before: Duration) -> Vec<Fact> {
        let max = self.settings.max_recovery_attempts;
        let cut_off = course.cut_off().filter(|(_, times)| *times > max);
        let exhausted = cut_off.map(|(step, times)| Fact::Exhausted {
            step,
            error: AttemptError::CutOff { times }.into(),
            heartbeat: None,
            at: before.as_nanos() as u64,
        });
        exhausted.collect()
    }

    /// Drives a run whose stream is at this version.
    fn keep<I>(
        &self,
        keeping: &Keeping,
        workflow: &Workflow<I, Durable>,
        beginning: Beginning,
        version: u64,
    ) -> Run {
        let shared = Shared::new(workflow, beginning, &self.settings);
        let writing = write(
            Arc::clone(&shared),
            Arc::clone(&keeping.journal.log),
            version,
        );
        self.settings
            .tasks
            .spawn(format!("records of run {}", shared.id), writing);
        let run = self.drive(shared);
        keeping.runs.insert(&run);
        run
    }
}

/// A run that has finished, as a handle.
fn finished<I>(workflow: &Workflow<I, Durable>, id: RunId, kept: Kept) -> Run {
    let outcome = Outcome::of(workflow, id.clone(), kept.started_at, kept.course);
    let (_, outcome) = watch::channel(Some(End::Finished(Arc::new(outcome))));
    Run {
        id,
        token: CancellationToken::new(),
        outcome,
        shared: Weak::new(),
    }
}

/// Whether two texts are the same JSON.
fn is_same(one: &RawValue, other: &RawValue) -> bool {
    let value = |json: &RawValue| serde_json::from_str::<serde_json::Value>(json.get()).ok();
    one.get() == other.get() || value(one) == value(other)
}

async fn read<I>(
    keeping: &Keeping,
    workflow: &Workflow<I, Durable>,
    id: &RunId,
) -> Result<Kept, WorkflowError> {
    let kept = resume::read(&*keeping.journal.log, &workflow.plan, id).await?;
    kept.ok_or_else(|| WorkflowError::NoSuchRun {
        run: id.to_string(),
    })
}
