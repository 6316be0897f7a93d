//! What a circuit breaker is told when it is made.

use std::time::Duration;

use super::window::{MAX_CALLS, MAX_SECONDS};
use super::{CircuitBreaker, SlidingWindow};
use crate::RecoveryError;

/// Builds a [`CircuitBreaker`]: see [`CircuitBreaker::builder`].
#[derive(Debug, Clone)]
pub struct CircuitBreakerBuilder {
    name: Box<str>,
    settings: Settings,
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) window: SlidingWindow,
    pub(super) minimum_calls: u32,
    pub(super) failure_rate: f64,
    pub(super) slow_call_rate: f64,
    pub(super) slow_call_duration: Duration,
    /// The general minimum where nothing else is said.
    pub(super) slow_minimum_calls: Option<u32>,
    pub(super) wait_in_open: Duration,
    pub(super) probes: u32,
    /// For ever where nothing is said.
    pub(super) max_wait_in_half_open: Option<Duration>,
}

impl Settings {
    pub(super) const DEFAULT: Self = Self {
        window: SlidingWindow::Count(100),
        minimum_calls: 100,
        failure_rate: 50.0,
        slow_call_rate: 100.0,
        slow_call_duration: Duration::from_secs(60),
        slow_minimum_calls: None,
        wait_in_open: Duration::from_secs(60),
        probes: 10,
        max_wait_in_half_open: None,
    };
}

impl CircuitBreakerBuilder {
    pub(super) fn new(name: Box<str>) -> Self {
        Self {
            name,
            settings: Settings::DEFAULT,
        }
    }

    /// Over which calls it counts while it is closed; the last 100 by default.
    #[must_use]
    pub fn sliding_window(mut self, window: SlidingWindow) -> Self {
        self.settings.window = window;
        self
    }

    /// How many calls have to be in the window before a rate means something; 100 by default. Where
    /// a window is of fewer calls, those.
    #[must_use]
    pub fn minimum_number_of_calls(mut self, calls: u32) -> Self {
        self.settings.minimum_calls = calls;
        self
    }

    /// From which share of failed calls on it opens, in percent; 50 by default.
    #[must_use]
    pub fn failure_rate_threshold(mut self, percent: f64) -> Self {
        self.settings.failure_rate = percent;
        self
    }

    /// From which share of slow calls on it opens, in percent; 100 by default.
    #[must_use]
    pub fn slow_call_rate_threshold(mut self, percent: f64) -> Self {
        self.settings.slow_call_rate = percent;
        self
    }

    /// A call is slow when it takes longer than this; 60 s by default.
    #[must_use]
    pub fn slow_call_duration_threshold(mut self, duration: Duration) -> Self {
        self.settings.slow_call_duration = duration;
        self
    }

    /// How many calls have to be in the window before the rate of slow ones means something;
    /// [`minimum_number_of_calls`](Self::minimum_number_of_calls) by default.
    #[must_use]
    pub fn slow_call_minimum_number_of_calls(mut self, calls: u32) -> Self {
        self.settings.slow_minimum_calls = Some(calls);
        self
    }

    /// How long it stays open before it permits calls to find out how things are; 60 s by default.
    #[must_use]
    pub fn wait_duration_in_open_state(mut self, wait: Duration) -> Self {
        self.settings.wait_in_open = wait;
        self
    }

    /// How many calls it permits to find out; 10 by default. When they are over (or as many of them
    /// as the minimum number of calls, if that is fewer), it closes or opens by the same thresholds.
    /// Calls that it permitted before that are none of them, whenever they end.
    #[must_use]
    pub fn permitted_number_of_calls_in_half_open_state(mut self, calls: u32) -> Self {
        self.settings.probes = calls;
        self
    }

    /// How long it waits for them: then it opens again, also if nobody asks. No time (0 s) is for ever,
    /// which is the default.
    #[must_use]
    pub fn max_wait_duration_in_half_open_state(mut self, wait: Duration) -> Self {
        self.settings.max_wait_in_half_open = Some(wait).filter(|wait| !wait.is_zero());
        self
    }

    /// The breaker, closed.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Setting`] when a setting cannot work: a threshold that is not above 0 and at
    /// most 100 %, a number of calls that is 0, a window that is empty or too large.
    pub fn build(self) -> Result<CircuitBreaker, RecoveryError> {
        match self.settings.fault() {
            None => Ok(CircuitBreaker::of(&self.name, self.settings)),
            Some(fault) => Err(RecoveryError::setting(
                format!("circuit breaker `{}`", self.name),
                fault,
            )),
        }
    }
}

impl Settings {
    fn fault(&self) -> Option<String> {
        let rates = [
            ("failure_rate_threshold", self.failure_rate),
            ("slow_call_rate_threshold", self.slow_call_rate),
        ];
        for (name, percent) in rates {
            if !(percent > 0.0 && percent <= 100.0) {
                return Some(format!(
                    "its {name} is {percent} %, and has to be above 0 and at most 100"
                ));
            }
        }
        let numbers = [
            ("minimum_number_of_calls", Some(self.minimum_calls)),
            ("slow_call_minimum_number_of_calls", self.slow_minimum_calls),
            (
                "permitted_number_of_calls_in_half_open_state",
                Some(self.probes),
            ),
        ];
        for (name, calls) in numbers {
            if calls == Some(0) {
                return Some(format!("its {name} is 0, and has to be at least 1"));
            }
        }
        if self.probes > MAX_CALLS {
            return Some(format!(
                "its permitted_number_of_calls_in_half_open_state is {}, and may be {MAX_CALLS} at \
                 most",
                self.probes
            ));
        }
        let longest = Duration::from_secs(MAX_SECONDS);
        match self.window {
            SlidingWindow::Count(calls) if calls == 0 || calls > MAX_CALLS => Some(format!(
                "its sliding_window is of {calls} calls, and has to be of 1 to {MAX_CALLS}"
            )),
            SlidingWindow::Time(time) if time.is_zero() || time > longest => Some(format!(
                "its sliding_window is of {time:?}, and has to be of more than nothing and at most \
                 {longest:?}"
            )),
            _ => None,
        }
    }
}
