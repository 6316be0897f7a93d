//! The course of a run: whatever may happen in it, as facts, and what they amount to.
//!
//! A run is exactly its [`Fact`]s. Two functions know all about them: [`Course::admits`] says
//! whether a fact may happen now, and [`Course::apply`] that it has happened. Both are pure: in them
//! are no locks, no tasks and no clock, so who applies the facts of a run to a new [`Course`] has
//! that run again.
//!
//! ```text
//! step:  waiting ◀▶ running ─▶ completed ─▶ undone, or not (one at a time)
//!           │        │  ▲ └──▶ failed, or cancelled
//!           │        ▼  │
//!           │       pausing, or exhausted ─▶ cancelled
//!           └──▶ skipped, failed (by its condition), or cancelled
//!       whatever is not over ─▶ skipped, where somebody asks for that
//! run:   going on ─▶ stopped (nothing begins) ─▶ finished
//! ```

mod admits;
mod branches;
mod cut_off;
mod fact;
mod given;
mod held;
mod parts;
mod retry;
#[cfg(test)]
mod tests;
mod up;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::outcome::{SkipReason, Status};
use crate::plan::{Output, Plan, PlannedStep};
use crate::reason::Reason;
use crate::{OnFailure, StepError};

pub(crate) use admits::Refused;
pub(crate) use fact::{Fact, RULES};
pub(crate) use parts::Parts;

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has not begun.
    Waiting,
    /// An attempt at it is under way.
    Running,
    /// An attempt failed, and there will be another.
    Pausing,
    /// The last attempt there is failed, and the run is to be continued before there is another.
    Exhausted,
    Completed,
    Undone,
    NotUndone,
    Failed,
    Skipped,
    Cancelled,
}

impl Phase {
    pub(crate) fn is_over(self) -> bool {
        !matches!(
            self,
            Self::Waiting | Self::Running | Self::Pausing | Self::Exhausted
        )
    }
}

/// The time of what has not happened.
const NEVER: u64 = u64::MAX;

/// What is known of a step.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) phase: Phase,
    /// An input of it will never be there, so it is to be skipped.
    pub(crate) lacks_input: bool,
    /// It needs any of some steps, and all ended without having completed: it is to be skipped.
    pub(crate) none_completed: bool,
    /// It needs what has failed, or what does not begin for that reason: it does not begin either.
    pub(crate) is_blocked: bool,
    /// Of those that it needs any of, one has failed, or is blocked.
    any_failed: bool,
    /// It was skipped because somebody asked for that.
    is_asked: bool,
    /// How many of the steps that it needs are not over, and one more while it waits for any of
    /// some.
    missing: u32,
    /// How many of those that it needs any of may still complete; 0 once one has.
    any_left: u32,
    /// How many attempts at it count: the next has the number after that.
    pub(crate) attempts: u32,
    /// Whether one more was begun, of which nobody knows the end.
    is_cut_off: bool,
    /// When its first attempt began; [`NEVER`], if none did.
    pub(crate) started: u64,
    /// When it came to its end, or before when it does not try again.
    pub(crate) ended: u64,
    /// Why it failed, is exhausted, or could not be undone; or why its last attempt failed.
    pub(crate) error: Option<Box<StepError>>,
    /// How often it was another doing than before, in what is over: [`Course::round`] says it of now.
    round: u32,
}

impl Record {
    /// Whether an attempt at it has ever begun, here or in a process that is gone.
    pub(crate) fn has_begun(&self) -> bool {
        self.started != NEVER
    }

    /// How many attempts at it were begun.
    pub(crate) fn begun(&self) -> u32 {
        self.attempts + u32::from(self.is_cut_off)
    }

    /// Whether it waits for the end of something that it needs.
    pub(crate) fn waits_for_others(&self) -> bool {
        self.phase == Phase::Waiting && self.missing > 0
    }

    /// Whether it can only be skipped.
    pub(crate) fn is_ruled_out(&self) -> bool {
        self.lacks_input || self.none_completed
    }
}

/// What the facts of a run so far amount to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    steps: Box<[Record]>,
    outputs: Box<[Option<Output>]>,
    /// What is done of steps that have parts and are not done.
    parts: BTreeMap<usize, Parts>,
    /// Steps that are not over.
    left: usize,
    /// Whether a step has failed, and the other branches are to come to their end.
    is_failing: bool,
    /// How many steps do not begin because of that.
    blocked: usize,
    /// The step that is being undone.
    undoing: Option<usize>,
    /// The steps that completed, in the order in which they did.
    completed: Vec<u32>,
    /// How many of the last of those undoing has come past.
    passed: usize,
    /// How many of them have been undone, or could not be.
    undone: usize,
    /// Whether a step may be exhausted: none is that is not looked for.
    may_be_held: bool,
    /// What the last sign of life of a failed attempt came with, by step, where one said something.
    heartbeats: BTreeMap<usize, Arc<str>>,
    /// How often in a row each step was under way when the process that drove the run ended.
    cut_off: BTreeMap<usize, u32>,
    /// The same of undoing a step.
    undo_cut_off: u32,
    /// Whether nobody drives it, because who did has left it in order.
    is_suspended: bool,
    /// Set when no further step may begin.
    stopped: Option<Status>,
    is_up: bool,
    finished: Option<u64>,
    /// Why it failed, if that was no step; or was cancelled, if somebody said why.
    failed: Option<Arc<str>>,
    /// The first step whose failure makes the run fail, and why, in a line.
    first_failed: Option<(usize, Arc<str>)>,
    /// The steps whose work is a run that is paused for a step, of its own or of one within it; of one that has such a
    /// run for each item of a list, or for each round, at which.
    paused_children: BTreeSet<(usize, Option<usize>)>,
    /// When it was retried, or continued, last: its timeout counts from then on.
    pub(crate) timed_from: Option<u64>,
    /// Since when all attempts at a step count together, where that is not since its first.
    tried_since: BTreeMap<usize, u64>,
    /// How often it was.
    lives: u32,
    /// How often it had been, when a step was last begun anew; of those where that is not never.
    begun_in: BTreeMap<usize, u32>,
    /// When it was retried, and how often it had been retried or continued by then, that time included.
    retries: Vec<(u32, u64)>,
    /// Why steps could not be undone in a run that was retried since, and did them again.
    not_undone: BTreeMap<usize, Box<StepError>>,
    /// A few bytes of what steps have put out, by step: of what was read, and in a run in which somebody is to be
    /// given something again.
    prints: BTreeMap<usize, u64>,
    /// The same of what steps were given that are done again after those that gave it.
    given: BTreeMap<usize, u64>,
    /// And of what steps have begun with for which any of some is enough.
    begun_with: BTreeMap<usize, u64>,
    /// What the ids of the runs within it are made of, beside its own.
    pub(crate) nonce: Option<u64>,
    /// Whether the idempotency keys of its steps are, too.
    pub(crate) is_marked: bool,
    #[cfg(test)]
    history: Vec<Fact>,
}

impl Course {
    /// A run in which nothing has happened.
    pub(crate) fn new(plan: &Plan) -> Self {
        let record = |(step, &missing): (&PlannedStep, &u32)| Record {
            phase: Phase::Waiting,
            lacks_input: false,
            none_completed: false,
            is_blocked: false,
            any_failed: false,
            is_asked: false,
            missing,
            any_left: step.needs_any.len() as u32,
            attempts: 0,
            is_cut_off: false,
            started: NEVER,
            ended: 0,
            error: None,
            round: 0,
        };
        Self {
            steps: plan.steps.iter().zip(plan.needs()).map(record).collect(),
            outputs: vec![None; plan.steps.len()].into(),
            parts: BTreeMap::new(),
            left: plan.steps.len(),
            is_failing: false,
            blocked: 0,
            undoing: None,
            completed: Vec::with_capacity(plan.steps.len()),
            passed: 0,
            undone: 0,
            may_be_held: false,
            heartbeats: BTreeMap::new(),
            cut_off: BTreeMap::new(),
            undo_cut_off: 0,
            is_suspended: false,
            stopped: None,
            is_up: false,
            finished: None,
            failed: None,
            first_failed: None,
            paused_children: BTreeSet::new(),
            timed_from: None,
            tried_since: BTreeMap::new(),
            lives: 0,
            begun_in: BTreeMap::new(),
            retries: Vec::new(),
            not_undone: BTreeMap::new(),
            prints: BTreeMap::new(),
            given: BTreeMap::new(),
            begun_with: BTreeMap::new(),
            nonce: None,
            is_marked: false,
            #[cfg(test)]
            history: Vec::new(),
        }
    }

    pub(crate) fn step(&self, step: usize) -> &Record {
        &self.steps[step]
    }

    pub(crate) fn steps(&self) -> &[Record] {
        &self.steps
    }

    /// How often the run had been retried, or continued, when a step was last begun anew.
    pub(crate) fn life(&self, step: usize) -> u32 {
        self.begun_in.get(&step).copied().unwrap_or_default()
    }

    /// Whether a step is done; perhaps it was undone later.
    pub(crate) fn is_completed(&self, step: usize) -> bool {
        let phase = self.steps[step].phase;
        matches!(phase, Phase::Completed | Phase::Undone | Phase::NotUndone)
    }

    pub(crate) fn outputs(&self) -> &[Option<Output>] {
        &self.outputs
    }

    /// What is known of how far the attempts at a step had come.
    pub(crate) fn last_heartbeat(&self, step: usize) -> Option<Arc<str>> {
        self.heartbeats.get(&step).cloned()
    }

    /// How many steps are done, and have not been undone.
    pub(crate) fn done(&self) -> usize {
        self.completed.len() - self.undone
    }

    /// How many steps are not over.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// How the run ends, if that is known before all its steps are over.
    pub(crate) fn stopped(&self) -> Option<Status> {
        self.stopped
    }

    /// The step that is being undone.
    pub(crate) fn undoing(&self) -> Option<usize> {
        self.undoing
    }

    /// How the run has ended, once every step is over.
    pub(crate) fn status(&self) -> Status {
        self.stopped.unwrap_or(Status::Completed)
    }

    /// Whether the run has come to its end.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.is_some()
    }

    /// How long the run took, once it has finished.
    pub(crate) fn duration(&self) -> u64 {
        self.finished.unwrap_or_default()
    }

    /// The first of a step's inputs that will never be there.
    pub(crate) fn missing_input(&self, plan: &Plan, step: usize) -> Option<usize> {
        let mut inputs = plan.steps[step].inputs.iter().copied();
        let is_missing =
            |input: &usize| self.steps[*input].phase.is_over() && self.outputs[*input].is_none();
        inputs.find(is_missing)
    }

    /// Why a step that is ready can only be skipped, or was, whatever its condition says.
    pub(crate) fn ruled_out<'p>(&self, plan: &'p Plan, step: usize) -> Option<SkipReason<'p>> {
        if self.steps[step].is_asked {
            return Some(SkipReason::Asked);
        }
        let missing = self.missing_input(plan, step);
        let missing = missing.map(|input| SkipReason::MissingInput(&plan.steps[input].id));
        let none = self.steps[step].none_completed;
        missing.or_else(|| none.then_some(SkipReason::NoneCompleted))
    }

    /// This has happened. `ready` is called with each step that may begin because of it.
    ///
    /// What [`admits`](Self::admits) refuses must not be applied.
    #[inline(always)]
    pub(crate) fn apply(&mut self, plan: &Plan, fact: Fact, ready: impl FnMut(usize)) {
        #[cfg(test)]
        if !matches!(fact, Fact::Completed { .. }) {
            self.history.push(fact.clone());
        }
        match fact {
            Fact::Started { step, attempt, at } => {
                if plan.has_any() && !self.prints.is_empty() {
                    self.begins_with(plan, step);
                }
                let record = &mut self.steps[step];
                // It may have begun before, in a process that is gone.
                if !record.has_begun() {
                    record.started = at;
                }
                (record.attempts, record.is_cut_off) = (attempt, false);
                record.phase = Phase::Running;
            }
            Fact::Completed {
                step,
                output,
                kept,
                print,
                at,
                ..
            } => {
                self.note(plan, step, kept.as_deref(), print);
                self.complete(plan, step, output, at, ready);
            }
            fact => self.apply_rarer(plan, fact, ready),
        }
    }

    /// A step is done: what [`apply`](Self::apply) does with [`Fact::Completed`], for who keeps no facts. To make
    /// one only for that takes as long as the lock.
    #[inline(always)]
    pub(crate) fn complete(
        &mut self,
        plan: &Plan,
        step: usize,
        output: Output,
        at: u64,
        ready: impl FnMut(usize),
    ) {
        #[cfg(test)]
        self.history.push(Fact::Completed {
            step,
            output: Output::clone(&output),
            kept: None,
            print: None,
            signal: None,
            at,
        });
        self.outputs[step] = Some(output);
        self.completed.push(step as u32);
        if !self.parts.is_empty() {
            self.parts.remove(&step);
        }
        self.end(plan, step, Phase::Completed, at, ready);
    }

    #[inline(never)]
    fn apply_rarer(&mut self, plan: &Plan, fact: Fact, ready: impl FnMut(usize)) {
        match fact {
            Fact::Started { .. } | Fact::Completed { .. } => {}
            Fact::AttemptFailed {
                step,
                error,
                until,
                heartbeat,
                ..
            } => self.attempt_failed(step, Phase::Pausing, error, heartbeat, until),
            Fact::PartCompleted {
                step,
                part,
                of,
                output,
                kept,
                print,
                at,
            } => {
                let print = self.print_of(kept.as_deref(), print);
                self.apply_part(plan, (step, part, of), (output, print), at);
            }
            Fact::Failed {
                step, error, at, ..
            } => {
                if !plan.steps[step].optional {
                    self.note_failed(plan, step, &error.words);
                }
                self.steps[step].error = Some(Box::new(error.error));
                if !plan.steps[step].optional {
                    match plan.on_failure {
                        _ if plan.stops_at(step) => {
                            self.stopped.get_or_insert(Status::Failed);
                        }
                        OnFailure::FinishAll => self.is_failing = true,
                        _ => return self.fail_branch(plan, step, at),
                    }
                }
                self.end_without_output(plan, step, Phase::Failed, at, ready);
            }
            Fact::Exhausted {
                step,
                error,
                heartbeat,
                at,
                ..
            } => {
                self.may_be_held = true;
                self.attempt_failed(step, Phase::Exhausted, error, heartbeat, at);
            }
            Fact::Continued { at } => self.try_anew(at, ready),
            Fact::Child {
                step,
                part,
                is_paused,
                at,
            } => {
                let stood_still = self.stands_still();
                match is_paused {
                    true => self.paused_children.insert((step, part)),
                    false => self.paused_children.remove(&(step, part)),
                };
                self.tried_since.insert(step, at);
                self.counts_anew(stood_still, at);
            }
            Fact::Skipped { step, at, asked } => {
                let stood_still = self.stands_still();
                self.steps[step].is_asked = asked;
                self.end_without_output(plan, step, Phase::Skipped, at, ready);
                self.counts_anew(stood_still, at);
            }
            Fact::Cancelled { step, at, .. } => {
                self.end_without_output(plan, step, Phase::Cancelled, at, ready);
            }
            Fact::Stopped { status, failed } => {
                (self.stopped, self.failed) = (Some(status), failed);
            }
            Fact::UndoStarted { step } => self.begin_undoing(step),
            Fact::UndoAttemptFailed { step, error } => {
                self.steps[step].error = Some(Box::new(error.error));
            }
            Fact::Undone { step } => self.end_undoing(step, Phase::Undone),
            Fact::UndoFailed { step, error } => {
                self.end_undoing(step, Phase::NotUndone);
                self.steps[step].error = Some(Box::new(error.error));
            }
            Fact::Suspended => self.is_suspended = true,
            Fact::Claimed => self.take_back(plan, ready),
            Fact::Up => self.is_up = true,
            Fact::Finished { at, failed } => self.finish(at, failed),
            Fact::Retried { from, at, rules } => self.retry(plan, from, at, rules),
        }
    }

    /// An attempt at a step failed, and that is not its end.
    fn attempt_failed(
        &mut self,
        step: usize,
        phase: Phase,
        error: Reason,
        heartbeat: Option<Arc<str>>,
        ended: u64,
    ) {
        self.cut_off.remove(&step);
        self.heartbeats
            .extend(heartbeat.map(|heartbeat| (step, heartbeat)));
        let record = &mut self.steps[step];
        (record.phase, record.ended) = (phase, ended);
        record.error = Some(Box::new(error.error));
    }

    /// A step has come to its end: those that waited only for it may begin.
    #[inline]
    fn end(
        &mut self,
        plan: &Plan,
        step: usize,
        phase: Phase,
        at: u64,
        mut ready: impl FnMut(usize),
    ) {
        self.left -= 1;
        if !self.paused_children.is_empty() {
            self.no_child_is_paused(step);
        }
        let record = &mut self.steps[step];
        record.phase = phase;
        record.ended = at;
        for &next in plan.needed_by(step) {
            let record = &mut self.steps[next as usize];
            record.missing -= 1;
            if record.missing == 0 && record.phase == Phase::Waiting {
                ready(next as usize);
            }
        }
        if plan.has_any() {
            self.end_of_any(plan, step, phase == Phase::Completed, ready);
        }
        if self.is_failing {
            self.stop_if_finished();
        }
    }

    /// The same for those that waited for any of some, this one among them.
    #[inline(never)]
    fn end_of_any(
        &mut self,
        plan: &Plan,
        step: usize,
        completed: bool,
        mut ready: impl FnMut(usize),
    ) {
        for &next in plan.any_needed_by(step) {
            let record = &mut self.steps[next as usize];
            if record.any_left == 0 {
                continue;
            }
            record.any_left = if completed { 0 } else { record.any_left - 1 };
            if record.any_left > 0 {
                continue;
            }
            if !completed && record.any_failed {
                self.block(plan, next as usize);
                continue;
            }
            record.none_completed = !completed;
            record.missing -= 1;
            if record.missing == 0 && record.phase == Phase::Waiting {
                ready(next as usize);
            }
        }
    }

    fn end_without_output(
        &mut self,
        plan: &Plan,
        step: usize,
        phase: Phase,
        at: u64,
        ready: impl FnMut(usize),
    ) {
        for &next in plan.needed_by(step) {
            if plan.steps[next as usize].inputs.contains(&step) {
                self.steps[next as usize].lacks_input = true;
            }
        }
        self.end(plan, step, phase, at, ready);
    }
}
