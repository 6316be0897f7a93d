//! That no step of a run begins, as it was told to pause, or one that it is within was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use tokio::sync::Notify;

use super::Shared;
use crate::RunId;

/// Whether a run is paused by a command, to itself or to one around it. Looked at under the lock of the run, and set
/// under that of whichever was told.
#[derive(Debug)]
pub(crate) struct Pauses {
    run: RunId,
    is_told: AtomicBool,
    /// Of the run whose step this one is the work of, if it is, and that goes on here, too.
    around: OnceLock<Arc<Pauses>>,
    /// Rung where it may be paused, or go on, since.
    changed: Notify,
}

impl Pauses {
    pub(super) fn new(run: RunId, is_told: bool, around: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self {
            run,
            is_told: AtomicBool::new(is_told),
            around: around.map(OnceLock::from).unwrap_or_default(),
            changed: Notify::new(),
        })
    }

    /// Who was told to pause: the run itself, or else the nearest around it.
    pub(super) fn paused_by(&self) -> Option<&RunId> {
        match self.is_told.load(Ordering::Acquire) {
            true => Some(&self.run),
            false => self.around.get()?.paused_by(),
        }
    }

    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        self.paused_by().is_some()
    }

    /// The run was told to pause, or to go on.
    pub(super) fn tell(&self, is_told: bool) {
        self.is_told.store(is_told, Ordering::Release);
        self.ring();
    }

    /// Those within look anew.
    pub(super) fn ring(&self) {
        self.changed.notify_waiters();
    }

    /// Rung with what happens from now on.
    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }
}

impl Shared {
    /// The run whose step this one is the work of goes on here by now: this one had been taken up by itself. It is
    /// told to look by who waits for it.
    pub(crate) fn is_within(&self, pauses: &Arc<Pauses>) {
        let _ = self.pauses.around.set(Arc::clone(pauses));
    }

    /// It may be paused since, or go on.
    pub(super) fn pauses_anew(&self) {
        let mut queue = self.queue();
        let (given, woken) = match queue.is_paused() {
            true => (Some(queue.give_back()), Vec::new()),
            false => (None, std::mem::take(&mut queue.idle)),
        };
        drop(queue);
        // To others, whose runs are not paused.
        drop(given);
        woken.into_iter().for_each(Waker::wake);
    }
}
