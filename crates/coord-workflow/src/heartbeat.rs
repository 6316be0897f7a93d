//! Signs of life of an attempt: when the last was, and what came with it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coord_bus::time::{Instant, Sleep, sleep};

use crate::{AttemptError, StepContext};

/// The signs of life of one attempt.
pub(crate) struct Heart {
    /// From when they are counted: some time before the attempt began.
    since: Instant,
    /// When the last was, in nanoseconds from then on and one more; 0: there was none.
    last: AtomicU64,
    /// What came with the last that anything came with, as JSON.
    details: Mutex<Option<Arc<str>>>,
}

impl Heart {
    pub(crate) fn new(since: Instant) -> Self {
        Self {
            since,
            last: AtomicU64::new(0),
            details: Mutex::default(),
        }
    }

    #[inline]
    pub(crate) fn beat(&self) {
        // Five hundred years fit in.
        let now = self.since.elapsed().as_nanos() as u64;
        self.last.store(now + 1, Ordering::Relaxed);
    }

    pub(crate) fn beat_with(&self, details: String) {
        let details = Some(details.into());
        *self.details.lock().unwrap_or_else(PoisonError::into_inner) = details;
        self.beat();
    }

    pub(crate) fn details(&self) -> Option<Arc<str>> {
        let details = self.details.lock();
        details.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn last(&self) -> Option<Instant> {
        match self.last.load(Ordering::Relaxed) {
            0 => None,
            nanos => self.since.checked_add(Duration::from_nanos(nanos - 1)),
        }
    }
}

/// Watches the heart of an attempt. A beat wakes nobody: it is looked at when one is due.
pub(crate) struct HeartWatch {
    timeout: Duration,
    began: Instant,
    due: Pin<Box<Sleep>>,
}

impl HeartWatch {
    /// From now on.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            began: Instant::now(),
            due: Box::pin(sleep(timeout)),
        }
    }

    /// Ready once there was no beat for too long. Who was given no context has no heart.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        context: Option<&StepContext>,
    ) -> Poll<AttemptError> {
        loop {
            ready!(self.due.as_mut().poll(cx));
            let last = context.and_then(|context| context.heart().last());
            let Some(due) = last.unwrap_or(self.began).checked_add(self.timeout) else {
                return Poll::Pending;
            };
            if due <= Instant::now() {
                let last = last.map(|last| last.saturating_duration_since(self.began));
                return Poll::Ready(AttemptError::NoHeartbeat {
                    timeout: self.timeout,
                    // One as it began says no more than that it did.
                    last: last.filter(|after| !after.is_zero()),
                });
            }
            self.due.as_mut().reset(due);
        }
    }
}
