//! Whether a further item of a step's list, or a further round, begins: none while the run is paused, or may be somebody
//! else's, and none any more once somebody has said so.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use coord_bus::CancellationToken;

use super::Shared;
use crate::StepError;
use crate::error::AttemptError;

/// The steps of which an attempt is under way that has items or rounds; and with what those fail that are not to begin.
#[derive(Default)]
pub(super) struct Further {
    steps: Mutex<BTreeMap<usize, Arc<OnceLock<StepError>>>>,
}

/// What each item, or round, of an attempt has to pass before it begins.
pub(super) struct Gate {
    run: Arc<Shared>,
    step: usize,
    ended: Arc<OnceLock<StepError>>,
}

impl Further {
    fn steps(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<OnceLock<StepError>>>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// That of the attempt which begins.
    pub(super) fn of(run: &Arc<Shared>, step: usize) -> Self {
        let ended = Arc::default();
        run.further.steps().insert(step, Arc::clone(&ended));
        Self {
            run: Arc::clone(run),
            step,
            ended,
        }
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.ended.get().is_none() && !self.run.pauses.is_paused() && self.run.is_ours()
    }

    /// Waits until the next may begin.
    ///
    /// # Errors
    ///
    /// None is to begin any more, or the attempt is to end.
    pub(super) async fn opens(&self, token: &CancellationToken) -> Result<(), StepError> {
        loop {
            let mut changed = pin!(self.run.pauses.changed().notified());
            changed.as_mut().enable();
            if let Some(error) = self.ended.get() {
                return Err(error.clone());
            }
            if self.is_open() {
                return Ok(());
            }
            let is_paused = self.run.pauses.is_paused();
            tokio::select! {
                biased;
                () = token.cancelled() => return Err(AttemptError::Cancelled.into()),
                () = changed => {}
                () = self.run.until_ours(), if !is_paused => {}
            }
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.run.further.steps().remove(&self.step);
    }
}

impl Shared {
    /// No further item of a step, or round, begins in the attempt that is under way. Whether there is one.
    pub(crate) fn begin_no_more(&self, step: &str, error: StepError) -> bool {
        let step = self.plan.place(step);
        let ended = step.and_then(|step| self.further.steps().get(&step).cloned());
        let Some(ended) = ended else {
            return false;
        };
        // What was said first stays.
        let _ = ended.set(error);
        self.pauses.ring();
        true
    }
}
