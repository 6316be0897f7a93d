//! What becomes of a run when something in it fails, or hangs.

use std::time::Duration;

use super::{StepBuilder, WorkflowBuilder};
#[expect(unused_imports, reason = "for links in the documentation")]
use crate::StepContext;
use crate::{OnExhausted, OnFailure, StepError};

impl<I, K> WorkflowBuilder<I, K> {
    /// What becomes of the rest of a run when a step fails for good that is not optional: with
    /// [`OnFailure::FailFast`], the default, it is cancelled at once; with
    /// [`OnFailure::FinishBranches`], whatever does not need that step comes to its end first. Either
    /// way the run has failed, and is undone.
    ///
    /// ```
    /// # use coord_workflow::{OnFailure, StepError, Workflow};
    /// # async fn check() -> Result<(), StepError> { Ok(()) }
    /// // Every check is made, so that all that is wrong is known at once; without a place to make
    /// // them in, there is nothing to be known.
    /// let mut workflow = Workflow::<()>::builder("checks").on_failure(OnFailure::FinishBranches);
    /// let place = workflow.step("place").critical().run(check);
    /// workflow.step("lint").after(&place).run(check);
    /// workflow.step("test").after(&place).run(check);
    /// # workflow.build().unwrap();
    /// ```
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }
}

impl<I, In, U, K> StepBuilder<'_, I, In, U, K> {
    /// Tried again, as often as [`retry`](Self::retry) says, only after errors of which this is true: by
    /// default, after all that are not [permanent](crate::StepError::permanent). One of which it is not
    /// is as permanent from then on, also in what is kept of a durable run.
    ///
    /// It is asked of errors of the step's own and of an [`AttemptError`](crate::AttemptError), such as a
    /// timeout; of a step [for each item](Self::for_each) of a list, of each item's. Where it panics,
    /// that is why the step failed.
    ///
    /// How long to wait, an error can say itself: see
    /// [`retry_after`](coord_bus::Failure::retry_after). Such a wait is bounded by the run's timeout and the step's [total one](Self::total_timeout).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use coord_workflow::{Retry, StepError, Workflow};
    /// #[derive(Debug, thiserror::Error)]
    /// enum Answer {
    ///     #[error("too busy")]
    ///     Busy { retry_after: Duration },
    ///     #[error("not found")]
    ///     NotFound,
    /// }
    ///
    /// async fn ask() -> Result<String, StepError> {
    ///     let retry_after = Duration::from_secs(20);
    ///     Err(StepError::from(Answer::Busy { retry_after }).retry_after(retry_after))
    /// }
    ///
    /// let mut workflow = Workflow::<()>::builder("ask");
    /// workflow
    ///     .step("ask")
    ///     .retry(Retry::exponential())
    ///     .retry_if(|error| !matches!(error.downcast_ref(), Some(Answer::NotFound)))
    ///     .run(ask);
    /// # workflow.build().unwrap();
    /// ```
    pub fn retry_if(
        mut self,
        retry_if: impl Fn(&StepError) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.step.retry_if = Some(Box::new(retry_if));
        self
    }

    /// How long all attempts at the step take at most, with the waits between them, from the beginning of the first:
    /// by default, as long as the run may.
    ///
    /// The attempt that is under way then is told to stop, as by its [timeout](Self::timeout), and is the last. Nor is
    /// there another where the wait for it would be longer than what is left: the step fails at once. What
    /// becomes of the run then is as if every attempt had failed: see [`on_exhausted`](Self::on_exhausted). In a durable
    /// run the time goes on while nobody drives it; who takes the step up has what is left, and where that is
    /// nothing, its function is not called again.
    ///
    /// Once the run is continued for the step, or a run that is the work of the step was paused and goes on, all of it
    /// is there again. What undoes the step has no such limit.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use coord_workflow::{Retry, StepError, Workflow};
    /// # async fn ask() -> Result<(), StepError> { Ok(()) }
    /// let mut workflow = Workflow::<()>::builder("ask");
    /// workflow
    ///     .step("ask")
    ///     .retry(Retry::exponential().max_attempts(100))
    ///     .timeout(Duration::from_secs(10))
    ///     .total_timeout(Duration::from_secs(5 * 60))
    ///     .run(ask);
    /// # workflow.build().unwrap();
    /// ```
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.step.total_timeout = Some(timeout);
        self
    }

    /// An attempt that gives no sign of life for so long has failed, and is retried like any other:
    /// each [`StepContext::heartbeat`] is one, and its beginning; so is each item of a [list](Self::for_each) that is
    /// done, and of a step that [repeats](Self::repeat), each round as it begins. While items wait as the run is
    /// [paused](crate::Command::Pause), it does not count. There is no such limit by default.
    ///
    /// It is for steps that may take long, and are to be given up soon when they hang. One that was
    /// added by `run` has no context to give signs with: for it, or for each item or round of it, this is another
    /// timeout. A step that [runs a workflow](Self::workflow) has none, as nobody gives signs for it: the steps of that
    /// workflow may have theirs.
    pub fn heartbeat_timeout(mut self, timeout: Duration) -> Self {
        self.step.heartbeat_timeout = Some(timeout);
        self
    }

    /// What becomes of the run when every attempt at the step has failed: it fails, by default.
    ///
    /// With [`OnExhausted::Pause`] it is paused for the step: what else can go on does, what needs the
    /// step waits, and [`RunView`](crate::RunView) and an event tell of it. Once somebody has seen to the
    /// cause and the run is [continued](crate::Command::Continue), the step has all its attempts again,
    /// counted from 1, with the same [idempotency key](StepContext::idempotency_key); the run's timeout, which does not
    /// count meanwhile, begins anew. Or the step is [skipped](crate::Command::Skip), and the run goes on without
    /// it; or the run is cancelled, and undone. A durable run is paused across processes. Where the run is the
    /// work of a step of another one, the time of that one does not count meanwhile either.
    ///
    /// An error that is [permanent](crate::StepError::permanent) fails the step all the same: it would
    /// not be better at another attempt.
    pub fn on_exhausted(mut self, on_exhausted: OnExhausted) -> Self {
        self.step.on_exhausted = on_exhausted;
        self
    }

    /// Its failure ends the run at once, also where the workflow lets the other
    /// [branches finish](WorkflowBuilder::on_failure). Of this and [`optional`](Self::optional), the
    /// later counts.
    pub fn critical(mut self) -> Self {
        (self.step.critical, self.step.optional) = (true, false);
        self
    }
}
