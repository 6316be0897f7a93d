//! Where a step has failed and the branches that do not need it are to come to their end.

use super::{Course, Phase};
use crate::outcome::Status;
use crate::plan::Plan;

impl Course {
    /// A step has failed, and what needs it does not begin; everything else goes on.
    pub(super) fn fail_branch(&mut self, plan: &Plan, step: usize, at: u64) {
        self.is_failing = true;
        self.left -= 1;
        let record = &mut self.steps[step];
        (record.phase, record.ended) = (Phase::Failed, at);
        self.block_after(plan, step);
        self.stop_if_finished();
    }

    /// A step does not begin, nor what needs it.
    pub(super) fn block(&mut self, plan: &Plan, step: usize) {
        if self.is_new_blocked(step) {
            self.block_after(plan, step);
        }
    }

    /// A step does not begin: unless that was known, or it is over, as somebody skipped it.
    fn is_new_blocked(&mut self, step: usize) -> bool {
        let record = &mut self.steps[step];
        if record.phase.is_over() || std::mem::replace(&mut record.is_blocked, true) {
            return false;
        }
        self.blocked += 1;
        true
    }

    fn block_after(&mut self, plan: &Plan, step: usize) {
        let mut next = vec![step];
        while let Some(step) = next.pop() {
            let mut blocked = plan.needed_by(step).to_vec();
            for &after in plan.any_needed_by(step) {
                let record = &mut self.steps[after as usize];
                if record.any_left == 0 {
                    continue;
                }
                record.any_left -= 1;
                record.any_failed = true;
                if record.any_left == 0 {
                    blocked.push(after);
                }
            }
            for after in blocked {
                let after = after as usize;
                if self.is_new_blocked(after) {
                    next.push(after);
                }
            }
        }
    }

    /// The run is stopped once nothing is left but what does not begin.
    pub(super) fn stop_if_finished(&mut self) {
        if self.left == self.blocked {
            self.stopped.get_or_insert(Status::Failed);
        }
    }
}
