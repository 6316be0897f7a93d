//! The bulkhead: so many calls at once, and so many that wait for their turn.

use std::sync::Arc;
use std::time::Duration;

use super::places::{Place, Places, Waiting};
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
    limit: u32,
    places: Places,
}

impl Default for Bulkhead {
    fn default() -> Self {
        Self::of(Self::DEFAULT_LIMIT as u32)
    }
}

impl Bulkhead {
    /// How many calls there may be at once where nothing else is said.
    pub const DEFAULT_LIMIT: usize = 25;

    /// A bulkhead of so many calls at once, in which none waits.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Setting`] when it is 0, or more than `u32::MAX`.
    pub fn new(limit: usize) -> Result<Self, RecoveryError> {
        match u32::try_from(limit) {
            Ok(limit) if limit > 0 => Ok(Self::of(limit)),
            _ => Err(RecoveryError::setting(
                "a bulkhead",
                format!("its limit is {limit}, and has to be from 1 to {}", u32::MAX),
            )),
        }
    }

    fn of(limit: u32) -> Self {
        Self {
            shared: Arc::new(Shared {
                limit,
                places: Places::new(limit),
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
        self.shared.limit as usize
    }

    /// How many more there may be now.
    pub fn available(&self) -> usize {
        self.shared.places.free()
    }

    /// How many wait for their turn.
    pub fn waiting_now(&self) -> usize {
        self.shared.places.waiting()
    }

    /// How long a call may wait, if any may.
    pub(super) fn max_wait(&self) -> Option<Duration> {
        (self.max_waiting > 0).then_some(self.max_wait)
    }

    #[inline]
    pub(super) fn try_enter(&self) -> Option<Place<'_>> {
        self.shared.places.try_take()
    }

    /// A place in the queue, if there is one.
    pub(super) fn queue(&self) -> Option<Waiting<'_>> {
        self.shared.places.queue(self.max_waiting)
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}
