//! What the program that drives a run is to do with its steps, until it asks.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::StepAction;

/// How many may wait. They come from people, and a program that asks for none would gather them for nothing:
/// of more, the oldest are forgotten.
const MAX_ACTIONS: usize = 64;

/// Those that nobody has asked for yet, the oldest first.
#[derive(Default)]
pub(crate) struct Actions {
    waiting: Mutex<VecDeque<StepAction>>,
    came: Notify,
}

impl Actions {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<StepAction>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One has come.
    pub(super) fn arrive(&self, action: StepAction) {
        let mut waiting = self.waiting();
        if waiting.len() == MAX_ACTIONS {
            waiting.pop_front();
        }
        waiting.push_back(action);
        drop(waiting);
        self.came.notify_waiters();
    }

    /// Waits for one. Dropped before it is done, none is missed.
    pub(crate) async fn next(&self) -> StepAction {
        loop {
            let came = self.came.notified();
            if let Some(action) = self.waiting().pop_front() {
                return action;
            }
            came.await;
        }
    }
}
