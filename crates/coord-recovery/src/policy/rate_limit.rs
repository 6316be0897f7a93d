//! The rate limit: so many calls in a period, spread over it.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::time::{self, Instant, LONGEST_WAIT};
use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Semaphore;

use crate::RecoveryError;

/// Bounds how many calls begin in a period: governor's, which is a leaky bucket. A call that comes too
/// soon is refused, and told when to come again; or it waits, in the order of arrival.
///
/// As long as nobody has called for a while, a burst of calls may begin at once: by default as many
/// as the limit allows in the period.
///
/// Cheap to clone; clones are the same limit, for policies that call the same service.
///
/// ```
/// # fn main() -> Result<(), coord_recovery::RecoveryError> {
/// use std::time::Duration;
/// use coord_recovery::policy::RateLimit;
///
/// let limit = RateLimit::new(100, Duration::from_secs(60))?.waiting(50, Duration::from_secs(5));
/// assert_eq!(limit.to_string(), "100 in 60s");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RateLimit {
    shared: Arc<Shared>,
    max_waiting: usize,
    max_wait: Duration,
}

struct Shared {
    name: Arc<str>,
    limiter: RateLimiter<NotKeyed, InMemoryState, BusClock, NoOpMiddleware<Nanos>>,
    clock: BusClock,
    /// From one call to the next.
    interval: Duration,
    waiting: AtomicUsize,
    /// Of the one who waits for room; all others wait for this.
    turn: Semaphore,
}

/// The time of `coord_bus::time`, which tests can pause.
#[derive(Debug, Clone, Copy)]
struct BusClock(Instant);

impl GovernorClock for BusClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let nanos = self.0.elapsed().as_nanos();
        // After 584 years it stands still.
        Nanos::from(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl RateLimit {
    /// So many calls in a period, and as many at once after a pause.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Setting`] when the number is 0, or the period too short for it, or longer than
    /// thirty years.
    pub fn new(calls: u32, period: Duration) -> Result<Self, RecoveryError> {
        Self::with_burst(calls, period, calls)
    }

    /// So many calls in a period, of which at most `burst` begin at once.
    ///
    /// A call that [waits](Self::waiting) begins up to two milliseconds late, and what is lost by that only a burst
    /// makes up for: where calls are to come as fast as the limit allows, it should be what comes in 10 ms or more.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Setting`] when a number is 0, the period too short, or so long that room for the
    /// burst would take more than thirty years.
    pub fn with_burst(calls: u32, period: Duration, burst: u32) -> Result<Self, RecoveryError> {
        let fault = |fault: String| RecoveryError::setting("a rate limit", fault);
        let (Some(limit), Some(most)) = (NonZeroU32::new(calls), NonZeroU32::new(burst)) else {
            return Err(fault(format!(
                "it is of {calls} calls with a burst of {burst}, and both have to be at least 1"
            )));
        };
        let interval = period / limit.get();
        // governor reckons in nanoseconds, and panics where they do not fit in 64 bits.
        if (interval.checked_mul(burst)).is_none_or(|burst_lasts| burst_lasts > LONGEST_WAIT) {
            return Err(fault(format!(
                "with {calls} calls in {period:?}, room for {burst} would take more than thirty years: \
                 make the period shorter, or the burst smaller"
            )));
        }
        let Some(quota) = Quota::with_period(interval) else {
            return Err(fault(format!(
                "{calls} calls in {period:?} are more than one in a nanosecond"
            )));
        };
        let clock = BusClock(Instant::now());
        let name = match burst == calls {
            true => format!("{calls} in {period:?}"),
            false => format!("{calls} in {period:?}, at most {burst} at once"),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                name: name.into(),
                limiter: RateLimiter::direct_with_clock(quota.allow_burst(most), clock),
                clock,
                interval,
                waiting: AtomicUsize::new(0),
                turn: Semaphore::new(1),
            }),
            max_waiting: 0,
            max_wait: Duration::ZERO,
        })
    }

    /// The same limit, for which so many calls may wait, each so long; by default none does. Those
    /// that wait count for all clones together.
    #[must_use]
    pub fn waiting(mut self, max_waiting: usize, max_wait: Duration) -> Self {
        self.max_waiting = max_waiting;
        self.max_wait = max_wait;
        self
    }

    /// How long a call may wait, if any may.
    pub(super) fn max_wait(&self) -> Option<Duration> {
        (self.max_waiting > 0).then_some(self.max_wait)
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// Begins a call now, or says when there is room for one. Nobody overtakes those that wait.
    pub(super) fn try_begin(&self) -> Result<(), Duration> {
        if self.shared.waiting.load(Ordering::Relaxed) > 0 {
            return Err(self.shared.wait());
        }
        self.shared.check()
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

impl Shared {
    fn check(&self) -> Result<(), Duration> {
        let checked = self.limiter.check();
        checked.map_err(|refused| refused.wait_time_from(self.clock.now()))
    }

    /// An estimate for who is refused because others wait: a slot for each of them.
    fn wait(&self) -> Duration {
        let waiting = u32::try_from(self.waiting.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        self.interval.saturating_mul(waiting.max(1))
    }
}

/// A place in the queue of a rate limit, until it is dropped.
pub(super) struct Waiting<'l>(&'l Shared);

impl Waiting<'_> {
    /// Waits until it may begin. Dropped before, nothing of the limit is used up.
    pub(super) async fn begin(self) {
        // It is never closed, so this never fails.
        let _turn = self.0.turn.acquire().await;
        while let Err(wait) = self.0.check() {
            time::sleep(wait).await;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shared.name)
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RateLimit")
            .field("limit", &self.shared.name)
            .field("waiting", &self.shared.waiting)
            .finish_non_exhaustive()
    }
}
