//! What was under way when who drove the run was gone, and how often that was so.

use super::{Course, Phase};
use crate::plan::Plan;

impl Course {
    /// What was under way has not begun: an attempt that nobody knows the end of is made again,
    /// under the same number. Unless the run was left in order, it may be what ended the process.
    pub(super) fn take_back(&mut self, plan: &Plan, mut ready: impl FnMut(usize)) {
        let in_order = std::mem::take(&mut self.is_suspended);
        self.is_up = false;
        for (step, record) in self.steps.iter_mut().enumerate() {
            if record.phase == Phase::Running {
                if plan.steps[step].takes_place() && !in_order {
                    *self.cut_off.entry(step).or_default() += 1;
                }
                (record.attempts, record.is_cut_off) = (record.attempts - 1, true);
                record.phase = match record.attempts {
                    0 => Phase::Waiting,
                    _ => Phase::Pausing,
                };
                ready(step);
            }
        }
        if self.undoing.take().is_some() {
            self.passed -= 1;
            self.undo_cut_off += u32::from(!in_order);
        }
    }

    /// The steps that may begin, or go on, in a run that is taken up.
    pub(crate) fn may_begin(&self) -> impl Iterator<Item = usize> {
        let steps = self.steps.iter().enumerate();
        let ready = steps.filter(|(_, record)| match record.phase {
            Phase::Waiting => record.missing == 0,
            Phase::Pausing => true,
            _ => false,
        });
        ready.map(|(step, _)| step)
    }

    /// The steps that have not ended, with how often in a row they were cut off with their process.
    pub(crate) fn cut_off(&self) -> impl Iterator<Item = (usize, u32)> {
        let cut_off = self.cut_off.iter().map(|(step, times)| (*step, *times));
        cut_off.filter(|(step, _)| !self.steps[*step].phase.is_over())
    }

    /// How often in a row undoing the step that is undone next was cut off.
    pub(crate) fn undo_cut_off(&self) -> u32 {
        self.undo_cut_off
    }

    /// The step that is to be undone next: of those that completed, the last that can be.
    pub(crate) fn next_to_undo(&self, plan: &Plan) -> Option<usize> {
        let completed = self.completed.iter().rev().skip(self.passed);
        let completed = completed.map(|step| *step as usize);
        let mut can_be_undone = completed.filter(|step| plan.steps[*step].undo.is_some());
        can_be_undone.next()
    }

    /// A step is being undone.
    pub(super) fn begin_undoing(&mut self, step: usize) {
        self.undoing = Some(step);
        // Of the attempts at the step itself.
        self.steps[step].error = None;
        let mut left = self.completed.iter().rev().skip(self.passed);
        let before = left.position(|last| *last as usize == step);
        self.passed += before.map_or(0, |before| before + 1);
    }

    /// A step has been undone, or could not be.
    pub(super) fn end_undoing(&mut self, step: usize, phase: Phase) {
        (self.undoing, self.undo_cut_off) = (None, 0);
        self.undone += 1;
        self.steps[step].phase = phase;
    }
}
