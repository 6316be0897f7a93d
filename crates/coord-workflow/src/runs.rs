//! Durable runs of an orchestrator: started, resumed, and none of them twice.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use coord_bus::{AppendTo, CancellationToken, EventLogError, ExpectedVersion, Record, StreamQuery};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{Notify, watch};

use crate::course::{Course, Fact};
use crate::orchestrator::Run;
use crate::outcome::Outcome;
use crate::ownership::Keeping;
use crate::records::{self, RUN_CLAIMED, RUN_STARTED, Started, VERSION};
use crate::run::{Beginning, End, Shared, Told, write};
use crate::run_journal::{any_run, run_of};
use crate::{
    Durable, RecordFault, RunId, Workflow, WorkflowError, WorkflowOrchestrator, fingerprint, resume,
};

/// The durable runs that go on, and those that are about to.
#[derive(Default)]
pub(crate) struct LiveRuns {
    runs: Mutex<HashMap<RunId, Run>>,
    /// Runs that are being started or resumed: one at a time of each.
    entering: Mutex<HashSet<RunId>>,
    entered: Notify,
}

/// Nobody else starts or resumes this run meanwhile.
struct Entry<'k> {
    runs: &'k LiveRuns,
    run: RunId,
}

impl LiveRuns {
    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entering(&self) -> MutexGuard<'_, HashSet<RunId>> {
        self.entering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn enter(&self, run: &RunId) -> Entry<'_> {
        loop {
            let entered = self.entered.notified();
            if self.entering().insert(run.clone()) {
                let run = run.clone();
                return Entry { runs: self, run };
            }
            entered.await;
        }
    }

    /// A run of this id that goes on here.
    fn find(&self, run: &RunId) -> Option<Run> {
        self.runs().get(run).cloned()
    }

    /// A run was told something, by somebody else.
    pub(crate) fn has_news(&self, run: &RunId) {
        if let Some(run) = self.find(run).and_then(|run| run.shared.upgrade()) {
            run.has_news();
        }
    }

    fn insert(&self, run: &Run) {
        let mut runs = self.runs();
        // Those that have ended go when as many again have begun.
        if runs.len() == runs.capacity() {
            runs.retain(|_, run| {
                run.outcome.borrow().is_none() && run.outcome.has_changed().is_ok()
            });
        }
        runs.insert(run.id.clone(), run.clone());
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.runs.entering().remove(&self.run);
        self.runs.entered.notify_waiters();
    }
}

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
            owner,
        };
        let record = record(&id, 1, RUN_STARTED, &started)?;
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
            for id in page.iter().filter_map(run_of) {
                match self.resume_if_free(keeping, workflow, &id).await {
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
        let run = || id.to_string();
        loop {
            let kept = resume::read(&*keeping.journal.log, &workflow.plan, &id).await?;
            let kept = kept.ok_or_else(|| WorkflowError::NoSuchRun { run: run() })?;
            if input.is_some_and(|input| !is_same(input, &kept.input)) {
                return Err(WorkflowError::OtherInput { run: run() });
            }
            if kept.course.is_finished() {
                return Ok(finished(workflow, id, kept));
            }
            if let Some(run) = keeping.runs.find(&id).filter(Run::goes_on) {
                return Ok(run);
            }
            if let Some(holder) = keeping.journal.driven_by(&kept.owner).await? {
                return Err(WorkflowError::DrivenElsewhere { run: run(), holder });
            }
            let input: I = serde_json::from_str(kept.input.get()).map_err(|source| {
                let source = RecordFault::Unreadable(source);
                let record = 1;
                let run = run();
                WorkflowError::Record {
                    run,
                    record,
                    source,
                }
            })?;
            let (owner, suspend) = keeping.owner().await?;
            let claimed = record(&id, kept.version + 1, RUN_CLAIMED, &owner)?;
            let claim = AppendTo::stream(records::stream(id.as_str()))
                .expecting(ExpectedVersion::Exactly(kept.version))
                .record(claimed);
            let claimed = match keeping.journal.log.append(claim).await {
                Ok(claimed) => claimed,
                // Somebody else was there first: perhaps to claim it, too.
                Err(EventLogError::WrongVersion { .. }) => continue,
                Err(error) => return Err(WorkflowError::journal(&id, error)),
            };
            let before = self.settings.clock.now().duration_since(kept.started_at);
            let mut course = kept.course;
            course.apply(&workflow.plan, Fact::Claimed, |_| {});
            let beginning = Beginning {
                id,
                course,
                input: Arc::new(input),
                started_at: kept.started_at,
                before: Duration::try_from(before).unwrap_or_default(),
                parent: CancellationToken::new(),
                suspend: Some(suspend),
                told: kept.told,
            };
            return Ok(self.keep(keeping, workflow, beginning, claimed.version));
        }
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
fn finished<I>(workflow: &Workflow<I, Durable>, id: RunId, kept: resume::Kept) -> Run {
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

fn record(
    run: &RunId,
    number: u64,
    kind: &str,
    payload: &impl Serialize,
) -> Result<Record, WorkflowError> {
    records::record(kind, payload).map_err(|source| WorkflowError::Record {
        run: run.to_string(),
        record: number,
        source,
    })
}
