//! Steps that somebody wants to be skipped.
//!
//! One of which nothing is under way is skipped at once. Any other sees to that itself, when it comes to
//! where it waits, or would be tried again: an attempt is not stopped for it. So does one that has begun and has a
//! hook, once it would go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use coord_bus::vocabulary::Transition;
use tokio::sync::{Notify, OnceCell};

use super::{Shared, hooks};
use crate::outcome::SkipReason;

/// Which they are.
pub(super) struct Skips {
    asked: Mutex<BTreeSet<usize>>,
    came: Notify,
    /// Of steps that have begun, and end while no attempt at them is under way: whether their hooks were called.
    hooked: Mutex<BTreeMap<usize, Arc<OnceCell<()>>>>,
}

impl Skips {
    pub(super) fn new(asked: BTreeSet<usize>) -> Self {
        Self {
            asked: Mutex::new(asked),
            came: Notify::new(),
            hooked: Mutex::default(),
        }
    }

    fn hooked(&self, step: usize) -> Arc<OnceCell<()>> {
        let mut hooked = self.hooked.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hooked.entry(step).or_default())
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
    pub(super) async fn skip_asked(self: &Arc<Self>) {
        let asked = self.skips.asked().clone();
        for step in asked {
            match self.plan.steps[step].hook {
                // It may take its time, and others go on meanwhile.
                Some(_) => self.skip_soon(step),
                None => self.skip(step).await,
            }
        }
    }

    /// The hook of a step that is ended, by a skip or with the run, while no attempt at it is under way: once,
    /// whoever ends it, and only if it has begun.
    pub(super) async fn hook_of_idle(&self, step: usize) {
        let record = self.queue().course.step(step).clone();
        if record.has_begun() {
            self.hook_of_cancelled(step, record.begun()).await;
        }
    }

    /// The hook of a step that is ended after so many attempts, if it was not told of its end before.
    pub(super) async fn hook_of_cancelled(&self, step: usize, attempts: u32) {
        if self.plan.steps[step].hook.is_none() {
            return;
        }
        let hooked = self.skips.hooked(step);
        let call = || hooks::of_step(self, step, Err(None), attempts);
        hooked.get_or_init(call).await;
    }

    /// The hook of a step has been told how it ended, which is to be skipped all the same.
    pub(super) fn hook_was_called(&self, step: usize) {
        // Where it was told of a skip, that is as good.
        let _ = self.skips.hooked(step).set(());
    }

    async fn skip(&self, step: usize) {
        let can_skip = || self.queue().can_skip(&self.plan, step);
        if !can_skip() {
            return;
        }
        self.hook_of_idle(step).await;
        if !can_skip() {
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
