//! The one door to time: timers that tests can pause, and a wall clock that tests can set.
//!
//! Timers are tokio's, so `start_paused` tests and `tokio::time::advance` govern all of them. What
//! is *recorded* (the time of an event, of a step, of an entry in a log) is read from a [`Clock`].

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

pub use tokio::time::error::Elapsed;
pub use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};
pub use tokio::time::{interval, sleep, sleep_until, timeout, timeout_at};

/// The longest wait: thirty years, which are what tokio's timers reach, and can be added to any [`Instant`].
pub const LONGEST_WAIT: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The moment after a wait from now, of [`LONGEST_WAIT`] at the most.
pub(crate) fn after(wait: Duration) -> Instant {
    Instant::now() + wait.min(LONGEST_WAIT)
}

/// Whether the clock of timers is not that of the machine here: a test has paused it, say.
pub(crate) fn is_governed() -> bool {
    let before = std::time::Instant::now();
    let now = Instant::now().into_std();
    // One that is not governed is read to the nanosecond.
    now < before || now > std::time::Instant::now()
}

/// A source of wall-clock time, for what is recorded. Not for measuring: see [`Instant`].
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is set: for tests.
#[cfg(feature = "test-util")]
#[derive(Debug)]
pub struct ManualClock(std::sync::Mutex<Timestamp>);

#[cfg(feature = "test-util")]
impl ManualClock {
    /// A clock that shows this time.
    pub fn new(now: Timestamp) -> Self {
        Self(std::sync::Mutex::new(now))
    }

    /// Moves it on. Past the end of time it stays at the end.
    pub fn advance(&self, by: Duration) {
        let mut now = self.lock();
        *now = now.saturating_add(by).unwrap_or(Timestamp::MAX);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Timestamp> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(feature = "test-util")]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.lock()
    }
}
