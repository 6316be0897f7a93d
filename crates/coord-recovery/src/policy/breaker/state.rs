//! What a circuit breaker keeps under its lock, and how it judges.

use std::fmt;
use std::time::Duration;

use super::Gate;
use super::settings::Settings;
use super::window::{Counts, Outcome, SlidingWindow, Window};

/// How a circuit breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// Permits every call, and counts.
    Closed,
    /// Permits none, until its wait is over.
    Open,
    /// Permits a few, to find out.
    HalfOpen,
    /// Permits every call, and counts nothing, until told otherwise.
    Disabled,
    /// Permits none, until told otherwise.
    ForcedOpen,
    /// Permits every call, counts, and does not open, until told otherwise.
    MetricsOnly,
}

impl BreakerState {
    /// By their number; the last ones are no states, and fill the table up.
    pub(super) const ALL: [Self; 8] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::Disabled,
        Self::ForcedOpen,
        Self::MetricsOnly,
        Self::MetricsOnly,
        Self::MetricsOnly,
    ];

    /// Whether what calls come to counts.
    pub(super) fn counts(self) -> bool {
        !matches!(self, Self::Disabled | Self::ForcedOpen)
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half open",
            Self::Disabled => "disabled",
            Self::ForcedOpen => "forced open",
            Self::MetricsOnly => "metrics only",
        })
    }
}

/// What a circuit breaker counts in its present state; an open one, what made it open.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BreakerMetrics {
    /// The share of failed calls in percent, once there are enough calls.
    pub failure_rate: Option<f64>,
    /// The share of slow calls in percent, once there are enough calls.
    pub slow_call_rate: Option<f64>,
    /// The calls in the window.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were slow.
    pub slow: u64,
    /// Those that were slow and failed.
    pub slow_failed: u64,
    /// Calls that were not permitted, since it was last closed or half open.
    pub not_permitted: u64,
}

pub(super) struct State {
    pub(super) gate: Gate,
    window: Window,
    minimum: u64,
    slow_minimum: u64,
    /// How many calls a half-open breaker still permits.
    probes: u32,
    since: Duration,
    /// In this state, so that they are told once.
    told_failure_rate: bool,
    told_slow_call_rate: bool,
}

/// What follows from one more outcome, if anything can: rates that are told to have been exceeded, and the next state.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) failure_rate: Option<f64>,
    pub(super) slow_call_rate: Option<f64>,
    pub(super) next: Option<BreakerState>,
}

impl State {
    pub(super) fn closed(gate: Gate, settings: &Settings) -> Self {
        let mut state = Self {
            gate,
            window: Window::of_calls(0),
            minimum: 0,
            slow_minimum: 0,
            probes: 0,
            since: Duration::ZERO,
            told_failure_rate: false,
            told_slow_call_rate: false,
        };
        state.count_as_closed(settings);
        state
    }

    pub(super) fn enter(&mut self, state: BreakerState, now: Duration, settings: &Settings) {
        self.gate = self.gate.then(state);
        self.since = now;
        self.told_failure_rate = false;
        self.told_slow_call_rate = false;
        match state {
            BreakerState::Closed | BreakerState::MetricsOnly => self.count_as_closed(settings),
            BreakerState::HalfOpen => {
                self.probes = settings.probes;
                self.window = Window::of_calls(settings.probes);
                self.minimums(settings, Some(settings.probes));
            }
            // What made it open is still there to be seen.
            BreakerState::Open => {}
            BreakerState::Disabled | BreakerState::ForcedOpen => {
                self.window = Window::of_calls(0);
            }
        }
    }

    fn count_as_closed(&mut self, settings: &Settings) {
        self.window = Window::new(settings.window);
        let most = match settings.window {
            SlidingWindow::Count(calls) => Some(calls),
            SlidingWindow::Time(_) => None,
        };
        self.minimums(settings, most);
    }

    fn minimums(&mut self, settings: &Settings, most: Option<u32>) {
        let minimum = |calls: u32| u64::from(most.map_or(calls, |most| calls.min(most)));
        self.minimum = minimum(settings.minimum_calls);
        self.slow_minimum = minimum(
            settings
                .slow_minimum_calls
                .unwrap_or(settings.minimum_calls),
        );
    }

    /// Whether it has to be told the time to count.
    pub(super) fn is_timed(&self, settings: &Settings) -> bool {
        let may_end = settings.max_wait_in_half_open.is_some();
        self.window.is_timed() || (may_end && self.gate.state() == BreakerState::HalfOpen)
    }

    /// Whether a call is permitted; a half-open breaker has one fewer then.
    pub(super) fn admit(&mut self) -> bool {
        match self.gate.state() {
            BreakerState::Open | BreakerState::ForcedOpen => false,
            BreakerState::HalfOpen if self.probes == 0 => false,
            BreakerState::HalfOpen => {
                self.probes -= 1;
                true
            }
            BreakerState::Closed | BreakerState::Disabled | BreakerState::MetricsOnly => true,
        }
    }

    pub(super) fn give_back(&mut self) {
        self.probes += 1;
    }

    /// When the half-open state was over, if it is that and has waited for too long.
    pub(super) fn half_open_ended(&self, now: Duration, settings: &Settings) -> Option<Duration> {
        if self.gate.state() != BreakerState::HalfOpen {
            return None;
        }
        let end = self.since.saturating_add(settings.max_wait_in_half_open?);
        (now >= end).then_some(end)
    }

    pub(super) fn record(
        &mut self,
        outcome: Outcome,
        now: Duration,
        settings: &Settings,
    ) -> Option<Judged> {
        let counts = *self.window.record(outcome, now);
        let state = self.gate.state();
        // The usual case: nothing has gone wrong.
        if counts.failed == 0 && counts.slow == 0 && state == BreakerState::Closed {
            return None;
        }
        let failure_rate = rate(counts.failed, counts, self.minimum);
        let slow_call_rate = rate(counts.slow, counts, self.slow_minimum);
        let too_many = failure_rate.filter(|rate| *rate >= settings.failure_rate);
        let too_slow = slow_call_rate.filter(|rate| *rate >= settings.slow_call_rate);
        let is_known = failure_rate.is_some() && slow_call_rate.is_some();
        let next = match state {
            BreakerState::MetricsOnly => None,
            _ if too_many.is_some() || too_slow.is_some() => Some(BreakerState::Open),
            BreakerState::HalfOpen if is_known => Some(BreakerState::Closed),
            _ => None,
        };
        let judged = Judged {
            failure_rate: too_many.filter(|_| !self.told_failure_rate),
            slow_call_rate: too_slow.filter(|_| !self.told_slow_call_rate),
            next,
        };
        self.told_failure_rate |= too_many.is_some();
        self.told_slow_call_rate |= too_slow.is_some();
        Some(judged)
    }

    pub(super) fn metrics(&mut self, now: Duration, not_permitted: u64) -> BreakerMetrics {
        let counts = self.window.counts(now);
        BreakerMetrics {
            failure_rate: rate(counts.failed, counts, self.minimum),
            slow_call_rate: rate(counts.slow, counts, self.slow_minimum),
            calls: counts.calls,
            failed: counts.failed,
            slow: counts.slow,
            slow_failed: counts.slow_failed,
            not_permitted,
        }
    }
}

/// In percent, if there are enough calls for it to mean something.
fn rate(of: u64, counts: Counts, minimum: u64) -> Option<f64> {
    let is_enough = counts.calls > 0 && counts.calls >= minimum;
    is_enough.then(|| of as f64 * 100.0 / counts.calls as f64)
}
