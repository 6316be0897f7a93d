//! How often something may happen: [`Rate`].

use std::fmt;
use std::time::Duration;

/// The longest period of a [`Rate`]: a day. Whoever waits for longer looks for a fault.
pub const MAX_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// How often something may happen at most: once a period.
///
/// ```
/// use std::time::Duration;
/// use coord_optimize::{Rate, per_second};
///
/// assert_eq!(per_second(50), Rate::every(Duration::from_millis(20)));
/// assert_eq!(per_second(50).to_string(), "once every 20ms");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    period: Duration,
}

/// A rate of so many times a second.
///
/// Timers have a resolution of one millisecond, so of the batches of a topic 1,000 a second is the most that comes about,
/// and 60 a second come about as one every 17 ms. A [rate limit](crate::RateLimit) of a stream makes up for that.
pub const fn per_second(times: u32) -> Rate {
    Rate::every(match times {
        // Never, which no setting accepts.
        0 => Duration::MAX,
        _ => Duration::from_nanos(1_000_000_000 / times as u64),
    })
}

impl Rate {
    /// A rate of once a period.
    pub const fn every(period: Duration) -> Self {
        Self { period }
    }

    /// The least time from one to the next.
    pub const fn period(self) -> Duration {
        self.period
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "once every {:?}", self.period)
    }
}
