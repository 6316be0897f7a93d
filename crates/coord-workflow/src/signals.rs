//! What a run is told from outside: signals, which steps wait for, and commands.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

/// How many signals of a run may wait for a step to take them.
pub const MAX_SIGNALS: usize = 1_000;

/// What a run is told, by whoever knows its id.
///
/// A command to a durable run is a record of the run: it is followed by who drives the run, in
/// whichever process that is, or when the run is resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Command {
    /// Nothing further begins, what runs is stopped, and what had completed is undone.
    Cancel,
    /// No step begins any more; what runs goes on, its retries too. The run's timeout goes on.
    Pause,
    /// Steps begin again, and those that are exhausted have all their attempts again.
    Continue,
    /// A step counts as skipped, as if its condition had said no: what needs it goes on, and what takes
    /// its output is skipped, too. That is so at once where it has not begun, waits for its next attempt,
    /// for a signal, an event or a time, or where every attempt at it has failed and the run is paused
    /// for it. An attempt that is under way is not stopped: what it completes is completed, and if it
    /// fails, the step is skipped.
    Skip {
        /// Its id.
        step: String,
    },
    /// Here is what a step waits for. A signal that no step waits for yet is kept until one does.
    Signal {
        /// Which.
        name: String,
        /// What goes with it.
        #[serde(default)]
        payload: Value,
    },
}

/// The signals of a run that no step has taken: each is taken by one step, the earlier ones first.
#[derive(Default)]
pub(crate) struct Signals {
    waiting: Mutex<HashMap<String, VecDeque<Arc<Value>>>>,
    arrived: Notify,
}

impl Signals {
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Arc<Value>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A signal has come.
    pub(crate) fn arrive(&self, name: String, payload: Value) {
        let payload = Arc::new(payload);
        self.waiting().entry(name).or_default().push_back(payload);
        self.arrived.notify_waiters();
    }

    /// Whether there may be one more: who sends one is to ask.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting().values().map(VecDeque::len).sum::<usize>() < MAX_SIGNALS
    }

    /// Forgets one that was taken by a step before the run was interrupted.
    pub(crate) fn forget(&self, name: &str) {
        self.take(name);
    }

    fn take(&self, name: &str) -> Option<Arc<Value>> {
        self.waiting().get_mut(name)?.pop_front()
    }

    /// Waits for one.
    pub(crate) async fn next(&self, name: &str) -> Arc<Value> {
        loop {
            let arrived = self.arrived.notified();
            if let Some(payload) = self.take(name) {
                return payload;
            }
            arrived.await;
        }
    }
}
