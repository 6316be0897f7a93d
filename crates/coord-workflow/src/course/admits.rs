//! What may happen in a run, and why something may not.

use super::{Course, Fact, Phase, Record};
use crate::outcome::Status;
use crate::plan::Plan;

/// Why a fact may not happen. Steps are named by their indexes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the run has finished, so nothing happens in it any more")]
    RunFinished,
    #[error("the run is suspended, so nothing happens in it until somebody takes it up")]
    RunSuspended,
    #[error("every step is done, so there is nothing to retry: name a step to begin from")]
    NothingToRetry,
    #[error("the run is stopped, so no attempt begins and nothing stops it again")]
    RunStopped,
    #[error(
        "the run goes on, so nothing in it is cancelled or undone, and it is not stopped as completed"
    )]
    RunGoesOn,
    #[error("every step is over, so there is nothing to stop")]
    EverythingOver,
    #[error("{left} steps are not over: what is undone, and the end, come after them")]
    StepsLeft { left: usize },
    #[error("there is no step {step} in this workflow")]
    NoSuchStep { step: usize },
    #[error("step {step} waits for {missing} more that it needs")]
    StepWaits { step: usize, missing: u32 },
    #[error("an attempt at step {step} is under way, or will be")]
    UnderWay { step: usize },
    #[error("no attempt at step {step} is under way")]
    NotRunning { step: usize },
    #[error("step {step} is exhausted: the run is to be continued first")]
    Exhausted { step: usize },
    #[error("no step is exhausted, so there is nothing to continue")]
    NothingExhausted,
    #[error("step {step} is over")]
    StepOver { step: usize },
    #[error("step {step} lacks an input: it can only be skipped")]
    LacksInput { step: usize },
    #[error(
        "none of the steps that step {step} needs any of has completed: it can only be skipped"
    )]
    NoneCompleted { step: usize },
    #[error("step {step} does not begin, as what it needs has failed: that is not skipped")]
    Blocked { step: usize },
    #[error("step {step} has what it needs and no condition: nothing skips it")]
    NothingRulesItOut { step: usize },
    #[error("the next attempt at step {step} is {next}, not {attempt}")]
    WrongAttempt {
        step: usize,
        attempt: u32,
        next: u32,
    },
    #[error("the run that is the work of step {step} is paused as it was")]
    ChildAsItWas { step: usize },
    #[error("step {step} has no parts")]
    NoParts { step: usize },
    #[error("of the {items} items of step {step} {done} are done")]
    PartsLeft {
        step: usize,
        items: usize,
        done: usize,
    },
    #[error("part {part} of step {step} is done, or is none of {of}")]
    NoSuchPart { step: usize, part: usize, of: usize },
    #[error("step {step} is being undone: one after another")]
    BeingUndone { step: usize },
    #[error("step {step} is not being undone")]
    NotBeingUndone { step: usize },
    #[error("it is not step {step}'s turn to be undone, but {next:?}'s")]
    NotItsTurn { step: usize, next: Option<usize> },
    #[error("step {step} is to be undone before the run ends")]
    ToBeUndone { step: usize },
}

impl Course {
    /// Whether this may happen now.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn admits(&self, plan: &Plan, fact: &Fact) -> Result<(), Refused> {
        if let Fact::Retried { from, rules, .. } = fact {
            return self.admits_retry(plan, *from, *rules);
        }
        if self.finished.is_some() {
            return Err(Refused::RunFinished);
        }
        if self.is_suspended && !matches!(fact, Fact::Claimed) {
            return Err(Refused::RunSuspended);
        }
        match fact {
            Fact::Started { step, attempt, .. } => self.admits_attempt(*step, *attempt),
            Fact::Skipped {
                step, asked: true, ..
            } => self.admits_skip(*step),
            Fact::Skipped { step, .. } => {
                let record = self.ready(*step)?;
                match record.is_ruled_out() || plan.steps[*step].when.is_some() {
                    true => Ok(()),
                    false => Err(Refused::NothingRulesItOut { step: *step }),
                }
            }
            // How often a step is tried is not asked here: that may be decided anew while a run
            // is interrupted.
            Fact::Completed { step, .. } | Fact::AttemptFailed { step, .. } => {
                self.running(*step).map(drop)
            }
            Fact::PartCompleted { step, part, of, .. } => {
                self.running(*step)?;
                self.admits_part(plan, *step, *part, *of)
            }
            // One that was cut off too often is not under way.
            Fact::Exhausted { step, .. } if self.is_cut_off(*step) => Ok(()),
            Fact::Exhausted { step, .. } => self.running(*step).map(drop),
            Fact::Continued { .. } if self.is_held() => Ok(()),
            Fact::Continued { .. } => Err(Refused::NothingExhausted),
            Fact::Child {
                step,
                part,
                is_paused,
                ..
            } => self.admits_child(*step, *part, *is_paused),
            Fact::Failed { step, .. } => match self.record(*step)?.phase {
                Phase::Waiting if plan.steps[*step].when.is_some() => self.ready(*step).map(drop),
                _ => self.running(*step).map(drop),
            },
            Fact::Cancelled { step, .. } if self.record(*step)?.phase.is_over() => {
                Err(Refused::StepOver { step: *step })
            }
            Fact::Cancelled { .. } if self.stopped.is_none() => Err(Refused::RunGoesOn),
            Fact::Cancelled { .. } => Ok(()),
            Fact::Stopped { .. } if self.stopped.is_some() => Err(Refused::RunStopped),
            Fact::Stopped { .. } if self.left == 0 => Err(Refused::EverythingOver),
            Fact::Stopped {
                status: Status::Completed,
                ..
            } => Err(Refused::RunGoesOn),
            Fact::Stopped { .. } => Ok(()),
            Fact::UndoStarted { step } => self.admits_undo(plan, *step),
            Fact::Undone { step }
            | Fact::UndoAttemptFailed { step, .. }
            | Fact::UndoFailed { step, .. } => match self.undoing {
                Some(undoing) if undoing == *step => Ok(()),
                _ => Err(Refused::NotBeingUndone { step: *step }),
            },
            Fact::Suspended | Fact::Claimed | Fact::Retried { .. } => Ok(()),
            Fact::Up => self.admits_up(),
            Fact::Finished { failed, .. } => self.admits_end(plan, failed.is_some()),
        }
    }

    fn admits_attempt(&self, step: usize, attempt: u32) -> Result<(), Refused> {
        let record = self.record(step)?;
        match record.phase {
            Phase::Waiting => {
                self.ready(step)?;
                if record.lacks_input {
                    return Err(Refused::LacksInput { step });
                }
                if record.none_completed {
                    return Err(Refused::NoneCompleted { step });
                }
            }
            Phase::Pausing => {}
            Phase::Running => return Err(Refused::UnderWay { step }),
            Phase::Exhausted => return Err(Refused::Exhausted { step }),
            _ => return Err(Refused::StepOver { step }),
        }
        if self.stopped.is_some() {
            return Err(Refused::RunStopped);
        }
        match record.attempts + 1 {
            next if next == attempt => Ok(()),
            next => Err(Refused::WrongAttempt {
                step,
                attempt,
                next,
            }),
        }
    }

    fn admits_child(
        &self,
        step: usize,
        part: Option<usize>,
        is_paused: bool,
    ) -> Result<(), Refused> {
        match self.paused_children.contains(&(step, part)) {
            was_paused if was_paused == is_paused => Err(Refused::ChildAsItWas { step }),
            true => Ok(()),
            false => self.running(step).map(drop),
        }
    }

    /// Whether somebody may skip a step. What is under way of it ends first, and says so itself: of that
    /// nothing is known here.
    fn admits_skip(&self, step: usize) -> Result<(), Refused> {
        let record = self.record(step)?;
        match record.phase {
            phase if phase.is_over() => Err(Refused::StepOver { step }),
            _ if record.is_blocked => Err(Refused::Blocked { step }),
            _ => Ok(()),
        }
    }

    fn admits_retry(&self, plan: &Plan, from: Option<usize>, rules: u32) -> Result<(), Refused> {
        if let Some(step) = from {
            self.record(step)?;
        }
        if self.finished.is_none() {
            return Err(Refused::RunGoesOn);
        }
        // Also one that failed for another reason than a step.
        let has_failed = self.failed.is_some();
        match has_failed || self.to_retry(plan, from, rules).contains(&true) {
            true => Ok(()),
            false => Err(Refused::NothingToRetry),
        }
    }

    fn admits_undo(&self, plan: &Plan, step: usize) -> Result<(), Refused> {
        self.record(step)?;
        if self.stopped.is_none() {
            return Err(Refused::RunGoesOn);
        }
        if self.left > 0 {
            return Err(Refused::StepsLeft { left: self.left });
        }
        if let Some(step) = self.undoing {
            return Err(Refused::BeingUndone { step });
        }
        match self.next_to_undo(plan) {
            Some(next) if next == step => Ok(()),
            next => Err(Refused::NotItsTurn { step, next }),
        }
    }

    /// One that fails for what is no step may end with steps that could be undone: who ends it may not know how.
    fn admits_end(&self, plan: &Plan, has_reason: bool) -> Result<(), Refused> {
        if self.left > 0 {
            return Err(Refused::StepsLeft { left: self.left });
        }
        if self.stopped.is_none() {
            return Ok(());
        }
        if let Some(step) = self.undoing {
            return Err(Refused::BeingUndone { step });
        }
        match self.next_to_undo(plan) {
            Some(step) if !has_reason => Err(Refused::ToBeUndone { step }),
            _ => Ok(()),
        }
    }

    fn record(&self, step: usize) -> Result<&Record, Refused> {
        self.steps.get(step).ok_or(Refused::NoSuchStep { step })
    }

    /// A step that has not begun, and could.
    fn ready(&self, step: usize) -> Result<&Record, Refused> {
        let record = self.record(step)?;
        match (record.phase, record.missing) {
            (Phase::Waiting, 0) => Ok(record),
            (Phase::Waiting, missing) => Err(Refused::StepWaits { step, missing }),
            (Phase::Running | Phase::Pausing, _) => Err(Refused::UnderWay { step }),
            (Phase::Exhausted, _) => Err(Refused::Exhausted { step }),
            _ => Err(Refused::StepOver { step }),
        }
    }

    fn is_cut_off(&self, step: usize) -> bool {
        let phase = self.steps.get(step).map(|record| record.phase);
        let may_begin = matches!(phase, Some(Phase::Waiting | Phase::Pausing));
        may_begin && self.cut_off.contains_key(&step)
    }

    fn running(&self, step: usize) -> Result<&Record, Refused> {
        let record = self.record(step)?;
        match record.phase {
            Phase::Running => Ok(record),
            phase if phase.is_over() => Err(Refused::StepOver { step }),
            _ => Err(Refused::NotRunning { step }),
        }
    }
}
