//! A step whose work is a run of another workflow: started once, ended with the step.
//!
//! The child is a run of its own, of the same orchestrator and in the same journal, under an id that
//! follows from its parent's: so a step that runs again, after a crash, has the run that it had. Whoever
//! ends the step ends the child first: cancelled with it, or suspended where it is. Where the child
//! cannot be gone on with here, neither can its parent, which is left as it is: it has not failed.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::timeout;
use coord_bus::vocabulary::Transition;
use coord_bus::{CancellationToken, EventLogError};
use serde_json::value::RawValue;

use super::item_runs::end_of_parts;
use super::writer::BUSY;
use super::{End, Shared};
use crate::child::Child;
use crate::context::Start;
use crate::error::AttemptError;
use crate::orchestrator::Run;
use crate::outcome::Status;
use crate::part_error::PartError;
use crate::plan::Output;
use crate::shape::MAX_DEPTH;
use crate::take_up::{New, Within};
use crate::{Command, Outcome, Parent, RunId, StepContext, StepError, WorkflowError};

/// How often it is asked whether a child that another process drives has ended.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The run that is the work of a step, in one attempt.
pub(crate) struct ChildRun {
    parent: Arc<Shared>,
    child: Arc<Child>,
    step: usize,
    pub(super) id: RunId,
    within: Parent,
    /// Cancelled when the attempt is to end.
    token: CancellationToken,
}

/// Why there is no outcome.
enum NoOutcome {
    /// The attempt has failed.
    Failed(StepError),
    /// It is to be ended, and there is no such run, or that is suspended with its parent.
    Cancelled,
    /// Neither can go on here.
    Refused(WorkflowError),
}

impl ChildRun {
    pub(crate) fn of(start: &Start<'_>, child: &Arc<Child>) -> Self {
        let token = StepContext::token(&start.context());
        let of = (start.step, start.part);
        Self::new(start.shared, child, of, start.attempt, token)
    }

    /// That of the step, or of an item of its list, or of a round.
    pub(super) fn new(
        parent: &Arc<Shared>,
        child: &Arc<Child>,
        (step, part): (usize, Option<usize>),
        attempt: u32,
        token: CancellationToken,
    ) -> Self {
        let depth = parent.child_of.as_ref().map_or(0, |within| within.depth);
        let of = (step, part);
        let id = parent
            .queue()
            .course
            .child(&parent.plan, &parent.id, of, attempt);
        let within = Parent {
            run: parent.id.to_string(),
            step: parent.step_id(step),
            part,
            depth: depth + 1,
        };
        Self {
            parent: Arc::clone(parent),
            child: Arc::clone(child),
            step,
            id,
            within,
            token,
        }
    }

    /// Runs it to its end, started with this. What is chosen of its outputs.
    pub(crate) async fn ended_with(self, input: Output) -> Result<Output, StepError> {
        if self.within.depth > MAX_DEPTH {
            let workflow = self.child.plan.name.to_string();
            return Err(StepError::from(PartError::TooDeep { workflow }).permanent());
        }
        let ended = self.outcome(Some(&input)).await;
        if let Ok(_) | Err(NoOutcome::Failed(_)) = ended {
            self.is_paused(false);
        }
        match ended {
            Ok(outcome) => self.child.output_of(&outcome),
            Err(NoOutcome::Failed(error)) => Err(error),
            Err(NoOutcome::Cancelled) => {
                // A run that is being suspended may hear of it later than its child.
                self.token.cancelled().await;
                Err(AttemptError::Cancelled.into())
            }
            Err(NoOutcome::Refused(error)) => {
                self.parent.leave(self.left(error)).await;
                self.token.cancelled().await;
                Err(AttemptError::Cancelled.into())
            }
        }
    }

    /// Ends it, if there is such a run: nothing goes on with it.
    ///
    /// # Errors
    ///
    /// It cannot be ended here.
    pub(super) async fn end(&self) -> Result<(), End> {
        self.token.cancel();
        match self.outcome(None).await {
            Err(NoOutcome::Refused(error)) => Err(self.left(error)),
            Err(NoOutcome::Cancelled) if self.parent.suspend.is_cancelled() => Err(End::Suspended),
            _ => Ok(()),
        }
    }

    fn is_paused(&self, is_paused: bool) {
        let part = self.within.part;
        self.parent.child_is_paused(self.step, part, is_paused);
    }

    /// That the parent is left as it is.
    fn left(&self, error: WorkflowError) -> End {
        End::of_child(&self.within.step, &self.id, error)
    }

    /// How it ended. Without an input it is not started.
    async fn outcome(&self, input: Option<&Output>) -> Result<Arc<Outcome>, NoOutcome> {
        let kept = match input.filter(|_| self.parent.is_durable) {
            Some(input) => Some(self.child.written(input).map_err(NoOutcome::Failed)?),
            None => None,
        };
        let (input, written) = match &kept {
            Some((read, written)) => (Some(read), Some(&**written)),
            None => (input, None),
        };
        let mut was_told = false;
        let mut refused = 0;
        loop {
            let begun = match input.filter(|_| !self.token.is_cancelled()) {
                Some(input) => self.start(input, written).await,
                None => self.go_on().await,
            };
            match begun {
                Ok(run) => {
                    let told = || Transition::ChildStarted {
                        step: self.within.step.clone(),
                        child: self.id.to_string(),
                    };
                    if !std::mem::replace(&mut was_told, true) {
                        self.parent.tell(told).await;
                    }
                    match self.ended(&run).await {
                        Ok(outcome) => return Ok(outcome),
                        // Somebody else goes on with it, or it is to be taken up anew.
                        Err(WorkflowError::TakenOver { .. } | WorkflowError::Suspended { .. })
                            if !self.parent.suspend.is_cancelled() => {}
                        // It was about to begin as its orchestrator was shut down, or that is gone, and this run with it.
                        Err(WorkflowError::Aborted { .. }) => {
                            self.parent.suspend.cancelled().await;
                            return Err(NoOutcome::Cancelled);
                        }
                        Err(error @ WorkflowError::Panicked { .. }) if !self.parent.is_durable => {
                            return Err(NoOutcome::Failed(StepError::from(error).permanent()));
                        }
                        Err(
                            error
                            @ (WorkflowError::Journal { .. } | WorkflowError::Panicked { .. }),
                        ) => return Err(NoOutcome::Refused(error)),
                        Err(_) => return Err(NoOutcome::Cancelled),
                    }
                }
                Err(WorkflowError::DrivenElsewhere { .. }) => self.elsewhere().await?,
                // Nothing was written: as with this run's own records, nothing is lost by waiting.
                Err(error) if is_busy(&error) => {
                    refused += 1;
                    let wait = timeout(BUSY.delay(refused), self.parent.suspend.cancelled());
                    if wait.await.is_ok() {
                        return Err(NoOutcome::Cancelled);
                    }
                }
                Err(WorkflowError::NoSuchRun { .. } | WorkflowError::ShutDown { .. }) => {
                    return Err(NoOutcome::Cancelled);
                }
                Err(error @ WorkflowError::TooLarge { .. }) => {
                    let error = PartError::ChildNotStarted {
                        workflow: self.child.plan.name.to_string(),
                        source: Arc::new(error),
                    };
                    return Err(NoOutcome::Failed(StepError::from(error).permanent()));
                }
                Err(error) => return Err(NoOutcome::Refused(error)),
            }
        }
    }

    async fn start(
        &self,
        input: &Output,
        written: Option<&RawValue>,
    ) -> Result<Run, WorkflowError> {
        let settings = &self.parent.settings;
        let (id, input) = (self.id.clone(), Arc::clone(input));
        let Some(written) = written else {
            return settings.start(self.child.definition(), id, input, Some(self.within()));
        };
        let new = New {
            id,
            input,
            written: written.to_owned(),
            parent: Some(self.within()),
            replaces: false,
        };
        settings.start_kept(self.child.definition(), new).await
    }

    /// The run, if it has begun already.
    async fn go_on(&self) -> Result<Run, WorkflowError> {
        if !self.parent.is_durable {
            return Err(WorkflowError::NoSuchRun {
                run: self.id.to_string(),
            });
        }
        let settings = &self.parent.settings;
        let going_on = settings.go_on_with_child(self.child.definition(), &self.id, self.within());
        going_on.await
    }

    fn within(&self) -> Within<'_> {
        Within {
            parent: &self.within,
            suspend: &self.parent.suspend,
            pauses: &self.parent.pauses,
        }
    }

    /// Waits for its end, and brings it about where the attempt is to end.
    async fn ended(&self, run: &Run) -> Result<Arc<Outcome>, WorkflowError> {
        tokio::select! {
            biased;
            ended = run.outcome() => return ended,
            () = self.token.cancelled() => {}
            never = self.follow_pauses(run) => match never {},
            never = self.hand_on_pauses(run) => match never {},
        }
        // One that is suspended suspends its child; any other end of the attempt is the child's.
        if !self.parent.suspend.is_cancelled() {
            match self.why_cancelled() {
                Some(why) => run.cancel_for(&why),
                None => run.cancel(),
            }
        }
        run.outcome().await
    }

    /// Why its parent was cancelled, if it was and somebody said so.
    fn why_cancelled(&self) -> Option<Arc<str>> {
        self.parent.queue().wanted_as(Status::Cancelled)
    }

    /// Lets the parent know whether its child is paused.
    async fn follow_pauses(&self, run: &Run) -> Infallible {
        let Some(run) = run.shared.upgrade() else {
            return pending().await;
        };
        loop {
            let (is_paused, changed) = run.stillness();
            self.is_paused(is_paused);
            changed.notified().await;
        }
    }

    /// Lets the child know that its parent, or a run around that, was told to pause, or to go on: it looks for itself
    /// before anything in it begins.
    async fn hand_on_pauses(&self, run: &Run) -> Infallible {
        let Some(run) = run.shared.upgrade() else {
            return pending().await;
        };
        loop {
            let mut changed = pin!(self.parent.pauses.changed().notified());
            changed.as_mut().enable();
            run.pauses_anew();
            run.pauses.ring();
            changed.await;
        }
    }

    /// Somebody else drives it: waits a while, and lets them know where it is to end.
    async fn elsewhere(&self) -> Result<(), NoOutcome> {
        if self.parent.suspend.is_cancelled() {
            return Err(NoOutcome::Cancelled);
        }
        if !self.token.is_cancelled() {
            if let Some(keeping) = &self.parent.settings.keeping
                && let Ok(view) = keeping.journal.view(&self.id).await
            {
                self.is_paused(view.stands_still());
            }
            let _ = timeout(LOOK_EVERY, self.token.cancelled()).await;
            return Ok(());
        }
        if let Some(keeping) = &self.parent.settings.keeping {
            let reason = self.why_cancelled().map(|why| why.to_string());
            let cancel = Command::Cancel { reason };
            match keeping.journal.tell(&self.id, cancel).await {
                Ok(()) | Err(WorkflowError::RunFinished { .. }) => {}
                Err(error) if is_busy(&error) => {}
                Err(error) => return Err(NoOutcome::Refused(error)),
            }
        }
        let suspended = timeout(LOOK_EVERY, self.parent.suspend.cancelled());
        let _ = suspended.await;
        Ok(())
    }
}

/// Whether another process is writing to the journal for longer than one waits for it.
fn is_busy(error: &WorkflowError) -> bool {
    matches!(error, WorkflowError::Journal { source, .. } if matches!(**source, EventLogError::Busy { .. }))
}

impl End {
    /// That the run which this one of a step is the work of cannot be gone on with.
    pub(super) fn of_child(step: &str, child: &RunId, error: WorkflowError) -> Self {
        match error {
            WorkflowError::Journal { source, .. } => Self::Unrecorded(source),
            error => Self::Child {
                step: step.to_owned(),
                child: child.clone(),
                source: Arc::new(error),
            },
        }
    }
}

impl Shared {
    /// Leaves the run as it is, for this reason. What else has happened in it is kept.
    pub(super) async fn leave(&self, end: End) {
        if !matches!(end, End::Suspended) {
            let _ = self.settled().await;
            self.end_recording(end);
        }
    }
}

/// A step that had begun in a process that is gone is not to run again, as its run is stopped: the run
/// that was its work is ended first, or those that were at the items of its list, or in its rounds.
///
/// # Errors
///
/// It cannot be ended here.
pub(super) async fn end_of_stopped(parent: &Arc<Shared>, step: usize) -> Result<(), End> {
    let Some(child) = &parent.plan.steps[step].child else {
        return Ok(());
    };
    let record = parent.queue().course.step(step).clone();
    if !record.has_begun() || !parent.is_durable {
        return Ok(());
    }
    // In a box, as it is large, and the future of every step and run has room for this one.
    let attempt = record.attempts + 1;
    match parent.plan.steps[step].runs_parts() {
        true => Box::pin(end_of_parts(parent, child, step, attempt)).await,
        false => {
            let token = CancellationToken::new();
            let run = ChildRun::new(parent, child, (step, None), attempt, token);
            Box::pin(run.end()).await
        }
    }
}
