//! Steps of which every attempt has failed, and for which the run is paused.

use super::{Course, Phase};

impl Course {
    /// What is exhausted has all its attempts again.
    pub(super) fn try_anew(&mut self, at: u64, mut ready: impl FnMut(usize)) {
        self.timed_from = Some(at);
        self.lives += 1;
        for (step, record) in self.steps.iter_mut().enumerate() {
            if record.phase == Phase::Exhausted {
                (record.phase, record.attempts) = (Phase::Waiting, 0);
                record.error = None;
                self.begun_in.insert(step, self.lives);
                ready(step);
            }
        }
    }

    /// The steps for which the run is paused.
    pub(crate) fn exhausted(&self) -> impl Iterator<Item = usize> {
        let steps = self.steps.iter().enumerate();
        let exhausted = steps.filter(|(_, record)| record.phase == Phase::Exhausted);
        exhausted.map(|(step, _)| step)
    }

    /// Whether the run is paused for a step.
    pub(crate) fn is_held(&self) -> bool {
        self.stopped.is_none() && self.exhausted().next().is_some()
    }
}
