//! The durable runs that an orchestrator drives, by their ids.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::RunId;
use crate::orchestrator::Run;
use crate::run::Shared;

/// The durable runs that go on, and those that are about to.
#[derive(Default)]
pub(crate) struct LiveRuns {
    runs: Mutex<HashMap<RunId, Run>>,
    /// Runs that are being started or resumed: one at a time of each.
    entering: Mutex<HashSet<RunId>>,
    entered: Notify,
}

/// Nobody else starts or resumes this run meanwhile.
pub(crate) struct Entry<'k> {
    runs: &'k LiveRuns,
    run: RunId,
}

impl LiveRuns {
    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entering(&self) -> MutexGuard<'_, HashSet<RunId>> {
        self.entering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn enter(&self, run: &RunId) -> Entry<'_> {
        loop {
            let entered = self.entered.notified();
            if self.entering().insert(run.clone()) {
                let run = run.clone();
                return Entry { runs: self, run };
            }
            entered.await;
        }
    }

    /// A run of this id that goes on here.
    pub(crate) fn find(&self, run: &RunId) -> Option<Run> {
        self.runs().get(run).cloned()
    }

    /// A run was told something, by somebody else.
    pub(crate) fn has_news(&self, run: &RunId) {
        if let Some(run) = self.find(run).and_then(|run| run.shared.upgrade()) {
            run.has_news();
        }
    }

    /// Those that go on, and some that have just ended.
    pub(crate) fn all(&self) -> Vec<Arc<Shared>> {
        let runs = self.runs();
        runs.values()
            .filter_map(|run| run.shared.upgrade())
            .collect()
    }

    pub(crate) fn insert(&self, run: &Run) {
        let mut runs = self.runs();
        // Those that have ended go when as many as go on have begun since.
        if runs.len() == runs.capacity() {
            runs.retain(|_, run| {
                run.outcome.borrow().is_none() && run.outcome.has_changed().is_ok()
            });
            let live = runs.len();
            runs.reserve(live + 1);
        }
        runs.insert(run.id.clone(), run.clone());
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.runs.entering().remove(&self.run);
        self.runs.entered.notify_waiters();
    }
}
