//! Steps that wait for their next attempt, and may be told not to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Shared;

/// Which they are, by their places.
#[derive(Default)]
pub(super) struct Backoffs(Mutex<BTreeMap<usize, Arc<Notify>>>);

impl Backoffs {
    /// Waits for as long as this does, or until somebody wants the attempt at once.
    pub(super) async fn wait(&self, step: usize, wait: impl Future<Output = ()>) {
        let wanted = Arc::new(Notify::new());
        self.waiting().insert(step, Arc::clone(&wanted));
        let _left = Left { of: self, step };
        tokio::select! {
            () = wait => {}
            () = wanted.notified() => {}
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a step out when it waits no longer, also where it is dropped.
struct Left<'b> {
    of: &'b Backoffs,
    step: usize,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.of.waiting().remove(&self.step);
    }
}

impl Shared {
    /// Has a step make the attempt at once for which it waits. Whether it does wait for one.
    pub(crate) fn try_now(&self, step: &str) -> bool {
        let waiting = self.backoffs.waiting();
        let wanted = self.plan.place(step).and_then(|step| waiting.get(&step));
        wanted.inspect(|wanted| wanted.notify_one()).is_some()
    }
}
