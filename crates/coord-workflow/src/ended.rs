//! Waiting for the end of a run, in whichever process it is driven: by its records.

use crate::outcome::Outcome;
use crate::{Durable, RunId, RunJournal, RunState, RunSummary, Workflow, WorkflowError, resume};

impl RunJournal {
    /// Waits for the end of a run, whichever process drives it, and says how it ended.
    ///
    /// Who has the workflow, and wants what its steps have put out, asks for the [`outcome`](Self::outcome); who
    /// drives the run itself has [`Run::outcome`](crate::Run::outcome).
    ///
    /// Nobody drives a run whose process has gone: then this says so, after a second or where the keeper of leases
    /// does not know that as soon as the lease has run out. It is there to be resumed, and who expects that somebody
    /// does asks again. One that is paused is driven, and waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing has happened, and the run goes on.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NotDriven`], `NoSuchRun`, `Record`, `Journal` or `Lease`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time enabled.
    pub async fn ended(&self, run: &RunId) -> Result<RunSummary, WorkflowError> {
        loop {
            if let Some(summary) = self.ended_before(run).await? {
                return Ok(summary);
            }
            let mut following = self.follow(run).await?;
            while following.next().await?.is_some() {}
            let view = following.view().await?;
            match view.state {
                RunState::Finished(_) => return Ok(RunSummary::of(view)),
                RunState::Interrupted => {
                    let run = run.to_string();
                    return Err(WorkflowError::NotDriven { run });
                }
                // Somebody has taken it up just now.
                RunState::Running => {}
            }
        }
    }

    /// Waits for the end of a run of this workflow, as [`ended`](Self::ended) does, and has what
    /// [`Run::outcome`](crate::Run::outcome) gives where it is driven: the outputs of its steps too, by the handles of
    /// the workflow.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::sync::Arc;
    /// # use coord_bus::{LocalBus, MemoryEventLog, MemoryLeases};
    /// # use coord_workflow::{RunId, RunJournal, StepError, Workflow, WorkflowOrchestrator};
    /// # let journal = RunJournal::new(Arc::new(MemoryEventLog::new()), Arc::new(MemoryLeases::new()));
    /// # let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
    /// #     .journal(journal.clone())
    /// #     .build()?;
    /// let mut workflow = Workflow::durable("release");
    /// let build = workflow.step("build").run(async || Ok::<_, StepError>(7));
    /// let workflow = workflow.build()?;
    /// let id = RunId::named("release-7")?;
    /// # orchestrator.start_durable(&workflow, id.clone(), ()).await?;
    /// // In any process that opens the journal, and has the workflow.
    /// let outcome = journal.outcome(&workflow, &id).await?;
    /// assert_eq!(outcome.output(&build).as_deref(), Some(&7));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing has happened, and the run goes on.
    ///
    /// # Errors
    ///
    /// As for `ended`; [`WorkflowError::OtherWorkflow`] and `Changed` at once, before it is waited for.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time enabled.
    pub async fn outcome<I>(
        &self,
        workflow: &Workflow<I, Durable>,
        run: &RunId,
    ) -> Result<Outcome, WorkflowError> {
        let definition = workflow.definition();
        loop {
            let kept = resume::read(&*self.log, definition.plan, run).await?;
            let Some(kept) = kept else {
                let run = run.to_string();
                return Err(WorkflowError::NoSuchRun { run });
            };
            if kept.course.is_finished() {
                let (run, began) = (run.clone(), kept.started_at);
                let outcome = Outcome::of(definition, run, began, kept.child_of, kept.course);
                return Ok(outcome);
            }
            self.ended(run).await?;
        }
    }
}
