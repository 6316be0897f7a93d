//! How long to wait before trying again: one type for retries, restarts and redelivery.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The wait between one failure and the next attempt, growing from `initial` up to `max`.
///
/// The default is the one of long-lived work: exponential, 500 ms doubled each time, at most 60 s,
/// no jitter.
///
/// ```
/// use std::time::Duration;
/// use coord_bus::Backoff;
///
/// let backoff = Backoff::exponential(Duration::from_millis(100)).max(Duration::from_millis(350));
/// let waits: Vec<u128> = (1..=4).map(|failures| backoff.delay(failures).as_millis()).collect();
/// assert_eq!(waits, [100, 200, 350, 350]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    growth: Growth,
    initial: Duration,
    max: Duration,
    jitter: Jitter,
}

/// How a [`Backoff`] grows with the number of failures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Growth {
    /// The same wait each time.
    Constant,
    /// `initial × failures`.
    Linear,
    /// `initial × factor ^ (failures - 1)`.
    Exponential {
        /// What each wait is multiplied by; at least 1.
        factor: f64,
    },
}

/// How much of a wait is left to chance, so that many waiters do not return at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Jitter {
    /// None: the wait is exact.
    None,
    /// Anything between nothing and the whole wait.
    Full,
    /// The wait times a number between `1 - share` and `1 + share`.
    Proportional {
        /// Between 0 and 1, and taken for the nearer of the two otherwise, or for 0 where it is no
        /// number; resilience4j's randomisation factor is 0.5.
        share: f64,
    },
    /// Anything between the first wait and three times the wait before, whatever the growth: waiters
    /// that began together drift apart from each other, and stay apart.
    ///
    /// [`delay_after`](Backoff::delay_after) is told the wait before; where it is not known, it is
    /// taken for the longest that it can have been.
    Decorrelated,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Self::DEFAULT_INITIAL)
    }
}

impl Backoff {
    /// The first wait where nothing else is said.
    pub const DEFAULT_INITIAL: Duration = Duration::from_millis(500);
    /// The longest wait where nothing else is said.
    pub const DEFAULT_MAX: Duration = Duration::from_secs(60);

    /// The same wait each time.
    pub const fn constant(wait: Duration) -> Self {
        Self {
            growth: Growth::Constant,
            initial: wait,
            max: wait,
            jitter: Jitter::None,
        }
    }

    /// `initial`, twice `initial`, three times `initial`, … up to [`DEFAULT_MAX`](Self::DEFAULT_MAX).
    pub const fn linear(initial: Duration) -> Self {
        Self {
            growth: Growth::Linear,
            initial,
            max: Self::DEFAULT_MAX,
            jitter: Jitter::None,
        }
    }

    /// `initial`, doubled each time, up to [`DEFAULT_MAX`](Self::DEFAULT_MAX).
    pub const fn exponential(initial: Duration) -> Self {
        Self {
            growth: Growth::Exponential { factor: 2.0 },
            initial,
            max: Self::DEFAULT_MAX,
            jitter: Jitter::None,
        }
    }

    /// With another multiplier of an exponential backoff; numbers below 1, and what is no number,
    /// count as 1. Without effect on the others.
    #[must_use]
    pub const fn factor(mut self, factor: f64) -> Self {
        if let Growth::Exponential { .. } = self.growth {
            self.growth = Growth::Exponential {
                factor: factor.max(1.0),
            };
        }
        self
    }

    /// With another first wait; of a constant backoff, the wait.
    #[must_use]
    pub const fn initial(mut self, initial: Duration) -> Self {
        self.initial = initial;
        if let Growth::Constant = self.growth {
            self.max = initial;
        }
        self
    }

    /// With another longest wait.
    #[must_use]
    pub const fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// With jitter.
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// The wait after the given number of failures in a row (1 after the first), with this
    /// backoff's jitter. Never more than its `max`.
    pub fn delay(&self, failures: u32) -> Duration {
        match self.jitter {
            Jitter::None => self.delay_with(failures, 0.0),
            _ => self.delay_with(failures, fastrand::f64()),
        }
    }

    /// The wait after the given number of failures in a row, the wait before which was `previous`
    /// (nothing, before the first). Only [`Jitter::Decorrelated`] looks at it.
    pub fn delay_after(&self, failures: u32, previous: Duration) -> Duration {
        match self.jitter {
            Jitter::Decorrelated => self.decorrelated(previous.as_secs_f64(), fastrand::f64()),
            _ => self.delay(failures),
        }
    }

    /// [`delay_after`](Self::delay_after) with the chance given, a number from 0 up to 1.
    pub fn delay_after_with(&self, failures: u32, previous: Duration, chance: f64) -> Duration {
        match self.jitter {
            Jitter::Decorrelated => self.decorrelated(previous.as_secs_f64(), chance),
            _ => self.delay_with(failures, chance),
        }
    }

    fn decorrelated(&self, previous: f64, chance: f64) -> Duration {
        let initial = self.initial.as_secs_f64();
        let most = (previous.max(initial) * 3.0).min(self.max.as_secs_f64());
        self.wait(initial + (most - initial) * chance)
    }

    /// [`delay`](Self::delay) with the chance given, a number from 0 up to 1: for who seeds it.
    pub fn delay_with(&self, failures: u32, chance: f64) -> Duration {
        let steps = failures.max(1);
        let initial = self.initial.as_secs_f64();
        let grown = match self.growth {
            Growth::Constant => initial,
            Growth::Linear => initial * f64::from(steps),
            Growth::Exponential { factor } => {
                initial
                    * factor
                        .max(1.0)
                        .powi(i32::try_from(steps - 1).unwrap_or(i32::MAX))
            }
        };
        let max = self.max.as_secs_f64();
        let jittered = match self.jitter {
            Jitter::None => grown,
            Jitter::Full => grown.min(max) * chance,
            Jitter::Proportional { share } => {
                let share = if share.is_nan() {
                    0.0
                } else {
                    share.clamp(0.0, 1.0)
                };
                grown.min(max) * (1.0 + share * (2.0 * chance - 1.0))
            }
            Jitter::Decorrelated => {
                let before = i32::try_from(steps - 1).unwrap_or(i32::MAX);
                return self.decorrelated(initial * 3.0_f64.powi(before), chance);
            }
        };
        self.wait(jittered)
    }

    /// So many seconds, at most the longest wait.
    fn wait(&self, seconds: f64) -> Duration {
        // A wait that has outgrown f64 is infinite, and `min` brings it back to `max`; but so
        // large a `max` may itself be rounded up on its way through f64.
        let wait = Duration::try_from_secs_f64(seconds.min(self.max.as_secs_f64()));
        wait.map_or(self.max, |wait| wait.min(self.max))
    }
}
