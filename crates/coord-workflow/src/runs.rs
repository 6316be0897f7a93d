//! Durable runs of an orchestrator: started, resumed, and none of them twice.

use std::any::Any;
use std::sync::Arc;

use coord_bus::StreamQuery;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::to_raw_value;

use crate::course::{Fact, RULES};
use crate::durable::check_levels;
use crate::orchestrator::Run;
use crate::plan::Definition;
use crate::resume::check_retry;
use crate::run::Settings;
use crate::run_journal::any_run;
use crate::take_up::{Asked, Claim, New, read};
use crate::{Durable, RunId, Workflow, WorkflowError, WorkflowOrchestrator, records};

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
    /// Those that others drive, and who: to be asked for again, should these have been about to go.
    pub elsewhere: Vec<(RunId, String)>,
}

impl WorkflowOrchestrator {
    /// Starts a run that is kept in the journal. Once this has returned, the run is not lost: it
    /// goes on by itself, and after the end of its process when it is resumed.
    ///
    /// The id makes it idempotent: where there is a run of this id already, started with the same
    /// workflow and input, it is that run that is returned, taken up where it was interrupted, or
    /// with its outcome where it has finished. Whether inputs are the same is seen by how they are kept, as JSON,
    /// whatever the order of keys: so an input should not hold a `HashSet`, which is written in another order each
    /// time. That holds for as long as the journal has the run: once what
    /// tidies the journal has forgotten it, as a run that finished long ago, a start with its id is that of
    /// a new run.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the run is started all the same, and goes on; or it is not, as with an error.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NoJournal`] where the orchestrator has none, `ShutDown`, `OtherWorkflow`,
    /// `OtherInput`, `Changed`, `DrivenElsewhere`, `Record`, `Journal`, `Lease`, `UnwritableInput`,
    /// `UnreadableInput`, `TooLarge`.
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
        self.start_kept(workflow, id, input, false).await
    }

    /// Starts a run that is kept in the journal, in place of the one of this id, if that has finished: it is
    /// forgotten as this one begins, or neither happens. Where it has not finished, this is
    /// [`start_durable`](Self::start_durable).
    ///
    /// # Cancel safety
    ///
    /// As [`start_durable`](Self::start_durable). To start it anew again would do so once more, had it finished
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`start_durable`](Self::start_durable); `Journal` also where the run that has finished is the work of
    /// a step of one that has not.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start_durable_anew<I>(
        &self,
        workflow: &Workflow<I, Durable>,
        id: RunId,
        input: I,
    ) -> Result<Run, WorkflowError>
    where
        I: Serialize + DeserializeOwned + Any + Send + Sync,
    {
        self.start_kept(workflow, id, input, true).await
    }

    async fn start_kept<I>(
        &self,
        workflow: &Workflow<I, Durable>,
        id: RunId,
        input: I,
        replaces: bool,
    ) -> Result<Run, WorkflowError>
    where
        I: Serialize + DeserializeOwned + Any + Send + Sync,
    {
        let written = to_raw_value(&input).map_err(|source| WorkflowError::UnwritableInput {
            run: id.to_string(),
            source,
        })?;
        // It begins with what is read, as whoever takes it up will.
        let read = serde_json::from_str::<I>(written.get());
        let read = read.and_then(|read| check_levels(written.get()).map(|()| read));
        let input = read.map_err(|source| WorkflowError::UnreadableInput {
            run: id.to_string(),
            source,
        })?;
        let beginning = New {
            id,
            input: Arc::new(input),
            written,
            parent: None,
            replaces,
        };
        let name = workflow.name();
        let (settings, workflow) = (Arc::clone(&self.settings), workflow.clone());
        let starting = async move {
            let definition = workflow.durable_definition();
            settings.start_kept(definition, beginning).await
        };
        self.settings.see_through(name, starting).await
    }

    /// Goes on with a run where it was interrupted. A step that had completed, by its record on the disk,
    /// does not run again; one that was under way does, with the same
    /// [idempotency key](crate::StepContext::idempotency_key). A run that goes on here, or has
    /// finished, is returned as it is.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it goes on all the same.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NoSuchRun`], or any of [`start_durable`](Self::start_durable) but
    /// `OtherInput`, `UnwritableInput`, `UnreadableInput` and `TooLarge`.
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
        let name = workflow.name();
        let (settings, workflow, id) = (Arc::clone(&self.settings), workflow.clone(), id.clone());
        let resuming = async move {
            let definition = workflow.durable_definition();
            let keeping = settings.keeping(definition)?;
            let _entry = keeping.runs.enter(&id).await;
            let asked = Asked::default();
            settings.take_up(keeping, definition, &id, asked).await
        };
        self.settings.see_through(name, resuming).await
    }

    /// Goes on with a run that has finished without completing: steps that failed, were stopped, or
    /// were undone, or could not be, are done, with all their attempts, and so is everything that comes after them;
    /// what is done, and was not to be undone, stays done. With `from`, that step is done again in any case,
    /// and what comes after it, also in a run that completed.
    ///
    /// Of a step that could not be undone nobody knows how much is left: it may be all, and what is done again then is
    /// done twice. So see to that first; why it could not be undone stays in the
    /// [view](crate::StepView::not_undone).
    ///
    /// A run within another is retried by itself only once that one has finished: until then nobody there would take
    /// what comes of it, as another attempt at the step has another run.
    ///
    /// The run's timeout begins anew. Which steps ask for what they asked for before, and which for something else, is
    /// told by their [idempotency keys](crate::StepContext::idempotency_key).
    ///
    /// # Cancel safety
    ///
    /// As [`resume_run`](Self::resume_run).
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NotFinished`], `WithinUnfinished`, `NothingToRetry`, `NoSuchStep`, or any of
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
        let place = |step: &str| {
            let place = workflow.steps().position(|id| id == step);
            place.ok_or_else(|| WorkflowError::no_step(id, step, workflow.steps()))
        };
        let from = from.map(place).transpose()?;
        let name = workflow.name();
        let (settings, workflow, id) = (Arc::clone(&self.settings), workflow.clone(), id.clone());
        let retrying = async move {
            let definition = workflow.durable_definition();
            settings.retry_kept(definition, &id, from).await
        };
        self.settings.see_through(name, retrying).await
    }

    /// Goes on with every run of a workflow that has not finished and that nobody drives: what an
    /// application does when it begins. A run that is the work of a step of another one goes on with that
    /// one, not with this; unless that has finished, and this one was [retried](Self::retry_run) by itself.
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
        let name = workflow.name();
        let (settings, workflow) = (Arc::clone(&self.settings), workflow.clone());
        let resuming = async move { settings.resume_kept(workflow.durable_definition()).await };
        self.settings.see_through(name, resuming).await
    }
}

impl Settings {
    async fn retry_kept(
        self: &Arc<Self>,
        definition: Definition<'_>,
        id: &RunId,
        from: Option<usize>,
    ) -> Result<Run, WorkflowError> {
        let keeping = self.keeping(definition)?;
        let _entry = keeping.runs.enter(id).await;
        loop {
            let kept = read(keeping, definition, id).await?;
            let run = id.to_string();
            if !kept.course.is_finished() {
                return Err(WorkflowError::NotFinished { run });
            }
            check_retry(&*keeping.journal.log, id, kept.child_of.as_ref()).await?;
            let at = kept.gone_on(self.clock.now()).as_nanos() as u64;
            let retried = Fact::Retried {
                from,
                at,
                rules: RULES,
            };
            if kept.course.admits(definition.plan, &retried).is_err() {
                return Err(WorkflowError::NothingToRetry { run });
            }
            let claim = Claim {
                retried: Some(retried),
                parent: None,
            };
            let claimed = self.claim(keeping, definition, id, kept, claim);
            if let Some(run) = claimed.await? {
                return Ok(run);
            }
        }
    }

    async fn resume_kept(
        self: &Arc<Self>,
        definition: Definition<'_>,
    ) -> Result<Resumed, WorkflowError> {
        let keeping = self.keeping(definition)?;
        let mut resumed = Resumed::default();
        let mut query = StreamQuery::by_name().open();
        loop {
            let page = keeping.journal.log.streams(&query).await.map_err(any_run)?;
            let Some(last) = page.last() else {
                return Ok(resumed);
            };
            query = query.after(last);
            let ids = page.into_iter();
            let ids = ids.filter_map(|stream| records::run_of(&stream.name));
            let resuming = ids.map(|id| async move {
                let taken_up = self.resume_if_free(keeping, definition, &id).await;
                (id, taken_up)
            });
            let mut resuming = stream::iter(resuming).buffer_unordered(RESUMED_AT_ONCE);
            while let Some((id, taken_up)) = resuming.next().await {
                match taken_up {
                    Ok(run) => resumed.runs.extend(run),
                    Err(WorkflowError::DrivenElsewhere { holder, .. }) => {
                        resumed.elsewhere.push((id, holder));
                    }
                    Err(error) => resumed.refused.push((id, error)),
                }
            }
        }
    }
}
