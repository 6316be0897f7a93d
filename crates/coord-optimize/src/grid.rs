//! Moments at equal distances from a first one: [`Grid`].

use std::time::Duration;

use coord_bus::time::Instant;

use crate::timer::after;

/// Ticks, of which each is used once. They are reckoned and not waited for, so nobody is woken by a
/// tick at which nothing is to be done.
#[derive(Debug)]
pub(crate) struct Grid {
    period: Duration,
    /// The last tick that was used; before that, the moment from which ticks are reckoned.
    last: Option<Instant>,
}

impl Grid {
    pub(crate) fn new(period: Duration) -> Self {
        Self { period, last: None }
    }

    /// Ticks are reckoned from the first call.
    pub(crate) fn begin(&mut self) -> Instant {
        *self.last.get_or_insert_with(Instant::now)
    }

    /// Uses the first tick that has not been used and is not over: now at the earliest.
    pub(crate) fn next(&mut self) -> Instant {
        let last = self.begin();
        let now = Instant::now();
        let passed = now.saturating_duration_since(last).as_nanos();
        let period = self.period.as_nanos();
        // Nothing fits in more than this many nanoseconds.
        let wait = passed.div_ceil(period).max(1).saturating_mul(period);
        let wait = u64::try_from(wait).map_or(Duration::MAX, Duration::from_nanos);
        let tick = after(last, wait);
        self.last = Some(tick);
        tick
    }
}
