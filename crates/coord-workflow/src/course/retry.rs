//! A run that has finished, and goes on after all.

use std::collections::BTreeMap;

use super::parts::after_retry;
use super::{Course, Phase};
use crate::StepError;
use crate::plan::{Output, Plan};

impl Course {
    /// Which steps a retry does again: those that were not done, or are not done any more, this one,
    /// and all that come after any of them.
    pub(crate) fn to_retry(&self, plan: &Plan, from: Option<usize>, rules: u32) -> Vec<bool> {
        let is_undone = |step: usize| match self.steps[step].phase {
            Phase::Completed | Phase::Skipped => false,
            // Nobody knows how much of it is left: nothing is to build on that.
            Phase::NotUndone => rules > 0,
            // That it fails harms nobody.
            Phase::Failed => !plan.steps[step].optional,
            _ => true,
        };
        let steps = 0..self.steps.len();
        let again = steps.map(|step| is_undone(step) || from == Some(step));
        Self::with_what_comes_after(plan, again.collect())
    }

    /// These steps, and all that come after any of them.
    fn with_what_comes_after(plan: &Plan, mut again: Vec<bool>) -> Vec<bool> {
        let mut next: Vec<_> = (0..again.len()).filter(|step| again[*step]).collect();
        while let Some(step) = next.pop() {
            for &after in plan.needed_by(step).iter().chain(plan.any_needed_by(step)) {
                if !std::mem::replace(&mut again[after as usize], true) {
                    next.push(after as usize);
                }
            }
        }
        again
    }

    /// Why a step could not be undone before it was last done again for that, if it was.
    pub(crate) fn not_undone(&self, step: usize) -> Option<&StepError> {
        self.not_undone.get(&step).map(|error| &**error)
    }

    /// When it was retried, each time.
    pub(crate) fn retries(&self) -> impl Iterator<Item = u64> {
        self.retries.iter().map(|(_, at)| *at)
    }

    /// When it was retried so that a step was to be done again, if it was.
    pub(crate) fn retried(&self, step: usize) -> Option<u64> {
        let life = self.life(step);
        let mut retries = self.retries.iter().rev();
        let retried = retries.find(|(first, _)| *first <= life)?;
        Some(retried.1)
    }

    pub(super) fn retry(&mut self, plan: &Plan, from: Option<usize>, at: u64, rules: u32) {
        let again = self.to_retry(plan, from, rules);
        let steps = 0..again.len();
        let rounds: Vec<_> = steps.clone().map(|step| self.round(plan, step)).collect();
        let given = steps.filter(|_| rules > 0).filter_map(|step| {
            let before = self.given_before(plan, step, &again)?;
            Some((step, before))
        });
        let mut given: BTreeMap<_, _> = given.collect();
        let parts = std::mem::take(&mut self.parts);
        let (parts, anew) = after_retry(parts, plan, &again, from);
        let outputs = std::mem::take(&mut self.outputs);
        let fresh = Self::new(plan);
        (self.finished, self.stopped, self.undoing) = (None, None, None);
        (self.is_up, self.failed, self.first_failed) = (false, None, None);
        (self.is_failing, self.blocked) = (false, 0);
        (self.timed_from, self.left, self.outputs) = (Some(at), fresh.left, fresh.outputs);
        let completed = std::mem::take(&mut self.completed);
        (self.passed, self.undone, self.may_be_held) = (0, 0, false);
        self.lives += 1;
        self.retries.push((self.lives, at));
        self.tried_since.clear();
        self.heartbeats.clear();
        self.paused_children.clear();
        self.cut_off.clear();
        self.undo_cut_off = 0;
        let records = std::mem::replace(&mut self.steps, fresh.steps);
        // What is done stays done in the order in which it was, whatever the clock said, as it may be undone.
        let completed = completed.into_iter().map(|step| step as usize);
        let rest = (0..again.len()).filter(|step| outputs[*step].is_none());
        let over: Vec<_> = completed.chain(rest).filter(|step| !again[*step]).collect();
        let named = (0..again.len()).map(|step| from == Some(step)).collect();
        let named = Self::with_what_comes_after(plan, named);
        for (step, record) in records.iter().enumerate() {
            // What was not undone is the same doing, though it is done again for what comes before it; but
            // a list, or what a round begins with, may be another by then.
            let is_other = named[step] || plan.steps[step].shape.is_some();
            let is_anew = match record.phase {
                // Some of it may have been undone.
                Phase::Undone | Phase::NotUndone => again[step],
                Phase::Completed => again[step] && is_other,
                _ => false,
            } || anew.contains(&step);
            // One that has not begun was given nothing since.
            let round = match record.has_begun() {
                true => rounds[step],
                false => record.round,
            };
            self.steps[step].round = round + u32::from(is_anew);
            if is_anew {
                given.remove(&step);
            }
            if again[step] {
                self.begun_in.insert(step, self.lives);
            }
            if let (Phase::NotUndone, true, Some(error)) =
                (record.phase, again[step], &record.error)
            {
                self.not_undone.insert(step, error.clone());
            }
        }
        (self.parts, self.given) = (parts, given);
        self.begun_with.clear();
        for step in over {
            let record = &records[step];
            let kept = &mut self.steps[step];
            (kept.started, kept.attempts) = (record.started, record.attempts);
            kept.is_cut_off = record.is_cut_off;
            match (record.phase, &outputs[step]) {
                (Phase::Completed | Phase::NotUndone, Some(output)) => {
                    self.outputs[step] = Some(Output::clone(output));
                    self.completed.push(step as u32);
                    self.end(plan, step, Phase::Completed, record.ended, |_| {});
                }
                (phase, _) => {
                    kept.is_asked = record.is_asked;
                    self.steps[step].error = record.error.clone();
                    self.end_without_output(plan, step, phase, record.ended, |_| {});
                }
            }
        }
    }
}
