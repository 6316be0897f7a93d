//! Ends a durable run that nobody can go on with: without its definition, so nothing of it is undone.

use std::iter;
use std::sync::Arc;

use coord_bus::{AppendTo, Durability, EventLogError, ExpectedVersion};

use crate::course::{Course, Fact};
use crate::outcome::Status;
use crate::records::{self, RUN_CLAIMED};
use crate::resume::fault_of;
use crate::{RunId, StepView, WorkflowError, WorkflowOrchestrator};

impl WorkflowOrchestrator {
    /// Ends a run that nobody drives, as it is: what had completed is not undone, no hook is called, and of what
    /// was under way in a process that is gone nothing is known. It has failed then, for this reason, and can be
    /// forgotten.
    ///
    /// It takes no definition. So it is for a run that cannot be resumed, as its workflow is another one by now
    /// ([`WorkflowError::Changed`]); any other is to be resumed and [cancelled](crate::Run::cancel), which undoes
    /// what it has done. One that was stopped before, and was not undone to the end, ends as it was to. The runs
    /// within it that have not finished are ended first, for the same reason.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use std::sync::Arc;
    ///
    /// use coord_bus::{LocalBus, MemoryEventLog, MemoryLeases};
    /// use coord_workflow::{RunId, RunJournal, Workflow, WorkflowOrchestrator};
    ///
    /// let journal = RunJournal::new(Arc::new(MemoryEventLog::new()), Arc::new(MemoryLeases::new()));
    /// let bus = LocalBus::new();
    /// let id = RunId::named("order-1042")?;
    /// # {
    /// # let before = WorkflowOrchestrator::builder(&bus).journal(journal.clone()).build()?;
    /// # let mut workflow = Workflow::durable("order");
    /// # workflow.step("paid").signal::<u64>("paid");
    /// # before.start_durable(&workflow.build()?, id.clone(), ()).await?;
    /// # }
    /// let orchestrator = WorkflowOrchestrator::builder(&bus).journal(journal.clone()).build()?;
    /// orchestrator.terminate_run(&id, "orders have another step since May").await?;
    /// let view = journal.view(&id).await?;
    /// assert_eq!(view.state.to_string(), "failed");
    /// assert_eq!(view.error.as_deref(), Some("orders have another step since May"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the run may have ended, or runs within it.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NoSuchRun`], `RunFinished`, `DrivenElsewhere` (also where it goes on here), `ShutDown`,
    /// `Record`, `Journal` or `Lease`.
    pub async fn terminate_run(&self, id: &RunId, reason: &str) -> Result<(), WorkflowError> {
        let run = id.to_string();
        let Some(keeping) = &self.settings.keeping else {
            return Err(WorkflowError::NoSuchRun { run });
        };
        let _entry = keeping.runs.enter(id).await;
        loop {
            let (plan, kept) = keeping.journal.read(id).await?;
            if self.settings.token.is_cancelled() {
                let workflow = plan.name.to_string();
                return Err(WorkflowError::ShutDown { workflow });
            }
            if kept.course.is_finished() {
                return Err(WorkflowError::RunFinished { run });
            }
            let goes_on = keeping.runs.find(id).is_some_and(|run| run.goes_on());
            let driven_by = keeping.journal.driven_by(&kept.owner).await?;
            if driven_by.is_some() && (goes_on || !keeping.is_own(&kept.owner).await) {
                return Err(keeping.driven_elsewhere(id, &kept.owner));
            }
            let (view, _) = keeping.journal.view_of(id, &plan, &kept).await?;
            for child in view.steps.into_iter().flat_map(StepView::into_runs) {
                match Box::pin(self.terminate_run(&child, reason)).await {
                    Ok(())
                    | Err(WorkflowError::NoSuchRun { .. } | WorkflowError::RunFinished { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            let owner = keeping.held(&plan.name).await?.owner;
            let at = kept.gone_on(self.settings.clock.now()).as_nanos() as u64;
            let fault = |source| fault_of(id, kept.version + 1, source);
            let claimed = records::record(RUN_CLAIMED, &owner).map_err(fault)?;
            let mut ending = AppendTo::stream(records::stream(id.as_str()))
                .expecting(ExpectedVersion::Exactly(kept.version))
                .durably(Durability::Disk)
                .record(claimed)
                .closing();
            let mut course = kept.course;
            course.apply(&plan, Fact::Claimed, |_| {});
            for fact in end_of(&course, reason, at) {
                debug_assert_eq!(course.admits(&plan, &fact), Ok(()));
                let record = records::write(&plan, &fact, &course, kept.started_at);
                ending = ending.record(record.map_err(fault)?);
                course.apply(&plan, fact, |_| {});
            }
            match keeping.journal.log.append(ending).await {
                Ok(_) => return Ok(()),
                // Somebody has taken it up meanwhile, or told it something.
                Err(EventLogError::WrongVersion { .. }) => {}
                Err(error) => return Err(WorkflowError::journal(id, error)),
            }
        }
    }
}

/// What ends a run that has come this far.
fn end_of(course: &Course, reason: &str, at: u64) -> Vec<Fact> {
    let goes_on = course.stopped().is_none() && course.left() > 0;
    let failed = Some(Arc::from(reason));
    let stopped = goes_on.then(|| Fact::Stopped {
        status: Status::Failed,
        failed: failed.clone(),
    });
    let left = (0..course.steps().len()).filter(|step| !course.step(*step).phase.is_over());
    let cancelled = left.map(|step| {
        let signal = None;
        Fact::Cancelled { step, signal, at }
    });
    let finished = iter::once(Fact::Finished { at, failed });
    stopped
        .into_iter()
        .chain(cancelled)
        .chain(finished)
        .collect()
}
