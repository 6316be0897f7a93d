//! The runs that an orchestrator drives, each in a task; and the durable ones by their ids.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coord_bus::catch;
use tokio::sync::{Notify, watch};

use crate::RunId;
use crate::orchestrator::Run;
use crate::run::{self, End, Settings, Shared};

/// The durable runs that go on, and those that are about to.
#[derive(Default)]
pub(crate) struct LiveRuns {
    runs: Mutex<HashMap<RunId, Run>>,
    /// Runs that are being started or resumed: one at a time of each.
    entering: Mutex<HashSet<RunId>>,
    entered: Notify,
}

/// Nobody else starts or resumes this run meanwhile.
pub(crate) struct Entering<'k> {
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

    pub(crate) async fn enter(&self, run: &RunId) -> Entering<'_> {
        loop {
            let entered = self.entered.notified();
            if self.entering().insert(run.clone()) {
                let run = run.clone();
                return Entering { runs: self, run };
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

    /// Those that go on.
    pub(crate) fn all(&self) -> Vec<Arc<Shared>> {
        let runs = self.runs();
        runs.values()
            .filter_map(|run| run.shared.upgrade())
            .collect()
    }

    pub(crate) fn insert(&self, run: &Run) {
        self.runs().insert(run.id.clone(), run.clone());
    }

    /// A run has ended, and may go on as another one by now: what came of it is for those who have asked.
    pub(crate) fn remove(&self, ended: &Run) {
        let mut runs = self.runs();
        if let Entry::Occupied(run) = runs.entry(ended.id.clone())
            && run.get().outcome.same_channel(&ended.outcome)
        {
            run.remove();
        }
    }
}

impl Settings {
    /// Drives a run, in the background; it is among these meanwhile.
    pub(crate) fn drive(&self, shared: Arc<Shared>, among: Option<&Arc<LiveRuns>>) -> Run {
        let (outcome, watch) = watch::channel(None);
        let run = Run {
            id: shared.id.clone(),
            token: shared.token.clone(),
            outcome: watch,
            shared: Arc::downgrade(&shared),
            asked_by: None,
        };
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended go when as many as go on have begun since.
        if runs.len() == runs.capacity() {
            runs.retain(|run| run.strong_count() > 0);
            let live = runs.len();
            runs.reserve(live + 1);
        }
        runs.push(Arc::downgrade(&shared));
        drop(runs);
        if let Some(listening) = shared.listen() {
            let (task, mut end) = (format!("events for run {}", shared.id), run.outcome.clone());
            self.tasks.spawn(task, async move {
                tokio::select! {
                    () = listening => {}
                    _ = end.wait_for(Option::is_some) => {}
                }
            });
        }
        if let Some(live) = among {
            live.insert(&run);
        }
        let task = format!("run {}", shared.id);
        let live = among.map(|live| (Arc::clone(live), run.clone()));
        self.tasks.spawn(task, async move {
            let ended = catch(run::drive(shared)).await;
            let end = ended.as_ref().map_or(End::Panicked, End::clone);
            let _ = outcome.send(Some(end));
            if let Some((live, run)) = live {
                live.remove(&run);
            }
            if let Err(panic) = ended {
                // The owner of the task tells of it.
                resume_unwind(panic);
            }
        });
        run
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        self.runs.entering().remove(&self.run);
        self.runs.entered.notify_waiters();
    }
}
