//! The bulkhead: so many calls at once, and so many that wait for their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::RecoveryError;

/// Bounds how many calls are under way at once, so that one service that hangs does not take what
/// all need: 25 by default, and none waits, as in resilience4j.
///
/// Who waits is served in the order in which they came, and nobody overtakes them.
///
/// Cheap to clone; clones are the same bulkhead, for policies that call the same service.
///
/// ```
/// # fn main() -> Result<(), coord_recovery::RecoveryError> {
/// use std::time::Duration;
/// use coord_recovery::policy::Bulkhead;
///
/// let bulkhead = Bulkhead::new(10)?.waiting(100, Duration::from_secs(1));
/// assert_eq!(bulkhead.available(), 10);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Bulkhead {
    shared: Arc<Shared>,
    max_waiting: usize,
    max_wait: Duration,
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    permits: Semaphore,
    waiting: AtomicUsize,
}

pub(super) type BulkheadPermit<'b> = SemaphorePermit<'b>;

impl Default for Bulkhead {
    fn default() -> Self {
        Self::of(Self::DEFAULT_LIMIT)
    }
}

impl Bulkhead {
    /// How many calls there may be at once where nothing else is said.
    pub const DEFAULT_LIMIT: usize = 25;

    /// A bulkhead of so many calls at once, in which none waits.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Setting`] when it is 0, or more than tokio's semaphores have permits.
    pub fn new(limit: usize) -> Result<Self, RecoveryError> {
        if limit == 0 || limit > Semaphore::MAX_PERMITS {
            return Err(RecoveryError::setting(
                "a bulkhead",
                format!("its limit is {limit}, and has to be at least 1"),
            ));
        }
        Ok(Self::of(limit))
    }

    fn of(limit: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                limit,
                permits: Semaphore::new(limit),
                waiting: AtomicUsize::new(0),
            }),
            max_waiting: 0,
            max_wait: Duration::ZERO,
        }
    }

    /// The same bulkhead, in which so many calls may wait for their turn, each so long. Those that
    /// wait count for all clones together.
    #[must_use]
    pub fn waiting(mut self, max_waiting: usize, max_wait: Duration) -> Self {
        self.max_waiting = max_waiting;
        self.max_wait = max_wait;
        self
    }

    /// How many calls there may be at once.
    pub fn limit(&self) -> usize {
        self.shared.limit
    }

    /// How many more there may be now.
    pub fn available(&self) -> usize {
        self.shared.permits.available_permits()
    }

    /// How many wait for their turn.
    pub fn waiting_now(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// How long a call may wait, if any may.
    pub(super) fn max_wait(&self) -> Option<Duration> {
        (self.max_waiting > 0).then_some(self.max_wait)
    }

    #[inline]
    pub(super) fn try_enter(&self) -> Option<BulkheadPermit<'_>> {
        self.shared.permits.try_acquire().ok()
    }

    /// A place in the queue, if there is one.
    pub(super) fn queue(&self) -> Option<Waiting<'_>> {
        let waiting = &self.shared.waiting;
        let place = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < self.max_waiting).then_some(waiting + 1)
        });
        place.ok().map(|_| Waiting(&self.shared))
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

/// A place in the queue of a bulkhead, until it is dropped.
pub(super) struct Waiting<'b>(&'b Shared);

impl<'b> Waiting<'b> {
    /// Waits for its turn.
    pub(super) async fn enter(self) -> Option<BulkheadPermit<'b>> {
        // It is never closed, so this never fails.
        self.0.permits.acquire().await.ok()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
