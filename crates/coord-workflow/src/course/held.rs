//! Steps of which every attempt has failed, and for which the run is paused; and those whose work is a run that is.

use std::ops::RangeInclusive;

use super::{Course, Phase};
use crate::RunId;
use crate::plan::Plan;

impl Course {
    /// What is exhausted has all its attempts again.
    pub(super) fn try_anew(&mut self, at: u64, mut ready: impl FnMut(usize)) {
        self.timed_from = Some(at);
        self.lives += 1;
        self.may_be_held = false;
        for (step, record) in self.steps.iter_mut().enumerate() {
            if record.phase == Phase::Exhausted {
                (record.phase, record.attempts) = (Phase::Waiting, 0);
                record.is_cut_off = false;
                // What limits the next attempt does not count from before.
                record.ended = at;
                record.error = None;
                self.begun_in.insert(step, self.lives);
                self.tried_since.insert(step, at);
                ready(step);
            }
        }
    }

    /// Since when all attempts at a step count together, if one has begun.
    pub(crate) fn tried_since(&self, step: usize) -> Option<u64> {
        let record = &self.steps[step];
        let since = self.tried_since.get(&step).copied().unwrap_or_default();
        record.has_begun().then(|| record.started.max(since))
    }

    /// The steps for which the run is paused.
    pub(crate) fn exhausted(&self) -> impl Iterator<Item = usize> {
        let steps = self.steps.iter().enumerate();
        let exhausted = steps.filter(|(_, record)| record.phase == Phase::Exhausted);
        exhausted.map(|(step, _)| step)
    }

    /// Whether the run is paused for a step.
    pub(crate) fn is_held(&self) -> bool {
        self.may_be_held && self.stopped.is_none() && self.exhausted().next().is_some()
    }

    /// The id of the run that is the work of a step, or at an item of its list, or in a round, in an attempt at it.
    pub(crate) fn child(
        &self,
        plan: &Plan,
        run: &RunId,
        (step, part): (usize, Option<usize>),
        attempt: u32,
    ) -> RunId {
        let of = (&*plan.steps[step].id, part);
        run.of_child(self.nonce, of, self.life(step), attempt)
    }

    /// Whether the run that is the work of a step is, or one that is so at an item of its list, or in a round.
    pub(crate) fn is_child_paused(&self, step: usize) -> bool {
        self.paused_children.range(all_of(step)).next().is_some()
    }

    /// At which items of its list, or in which round.
    pub(crate) fn paused_parts(&self, step: usize) -> impl Iterator<Item = usize> {
        let paused = self.paused_children.range(all_of(step));
        paused.filter_map(|(_, part)| *part)
    }

    /// None is any more.
    pub(super) fn no_child_is_paused(&mut self, step: usize) {
        self.paused_children.retain(|(paused, _)| *paused != step);
    }

    /// Whether its time does not count, as somebody is to see to a step, of this run or of one within it.
    pub(crate) fn stands_still(&self) -> bool {
        self.is_held() || (self.stopped.is_none() && !self.paused_children.is_empty())
    }

    /// Whether somebody was waited for until this.
    pub(super) fn counts_anew(&mut self, stood_still: bool, at: u64) {
        if stood_still && !self.stands_still() {
            self.timed_from = Some(at);
        }
    }
}

/// The runs that are the work of a step.
fn all_of(step: usize) -> RangeInclusive<(usize, Option<usize>)> {
    (step, None)..=(step, Some(usize::MAX))
}
