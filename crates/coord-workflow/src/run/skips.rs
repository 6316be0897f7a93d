//! Steps that somebody wants to be skipped.
//!
//! One of which nothing is under way is skipped at once. Any other sees to that itself, when it comes to
//! where it waits, or would be tried again: an attempt is not stopped for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use coord_bus::vocabulary::Transition;
use tokio::sync::Notify;

use super::Shared;
use crate::outcome::SkipReason;

/// Which they are.
pub(super) struct Skips {
    asked: Mutex<BTreeSet<usize>>,
    came: Notify,
}

impl Skips {
    pub(super) fn new(asked: BTreeSet<usize>) -> Self {
        Self {
            asked: Mutex::new(asked),
            came: Notify::new(),
        }
    }

    fn asked(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step is to be skipped. Whether that is new.
    fn ask(&self, step: usize) -> bool {
        let is_new = self.asked().insert(step);
        self.came.notify_waiters();
        is_new
    }

    pub(super) fn is_asked(&self, step: usize) -> bool {
        self.asked().contains(&step)
    }

    /// Until this one is to be.
    pub(super) async fn until_asked(&self, step: usize) {
        loop {
            let came = self.came.notified();
            if self.is_asked(step) {
                return;
            }
            came.await;
        }
    }
}

impl Shared {
    /// The run was told that a step is to be skipped.
    pub(super) fn ask_skip(self: &Arc<Self>, step: &str) {
        let step = self.plan.place(step);
        if let Some(step) = step.filter(|step| self.skips.ask(*step)) {
            self.skip_soon(step);
        }
    }

    /// Skips one that is to be. Not here, as who listens may take their time: whoever calls this has
    /// something else to do.
    pub(super) fn skip_soon(self: &Arc<Self>, step: usize) {
        let run = Arc::clone(self);
        let skipping = async move { run.skip(step).await };
        self.settings.tasks.spawn("skip of a step", skipping);
    }

    /// Skips what is to be in a run that is taken up.
    pub(super) async fn skip_asked(&self) {
        let asked = self.skips.asked().clone();
        for step in asked {
            self.skip(step).await;
        }
    }

    async fn skip(&self, step: usize) {
        if !self.queue().can_skip(&self.plan, step) {
            return;
        }
        let told = || Transition::StepSkipped {
            step: self.step_id(step),
            reason: SkipReason::Asked.to_string(),
        };
        self.tell(told).await;
        let at = self.elapsed();
        let mut queue = self.queue();
        // Meanwhile it may have begun.
        if !queue.can_skip(&self.plan, step) {
            return;
        }
        let withdrawn = queue.skip(&self.plan, step, at);
        // The driver among them: the run may be over, and its time may count anew.
        let mut woken = std::mem::take(&mut queue.idle);
        let recorder = queue.recorder.as_mut();
        woken.extend(recorder.and_then(|recorder| recorder.call_writer(true)));
        drop(queue);
        self.withdraw(&withdrawn);
        woken.into_iter().for_each(Waker::wake);
    }
}
