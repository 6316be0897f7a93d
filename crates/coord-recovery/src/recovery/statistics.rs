//! What has gone wrong so far, and what became of it.

use std::collections::BTreeMap;
use std::time::Duration;

use coord_bus::vocabulary::{ErrorDetected, ErrorRecovery, Recovery, Severity};
use serde::Serialize;

/// The most kinds, and the most sources, that are counted one by one. What comes beyond is counted
/// as [`OTHER`], so that names made from input do not fill the memory.
pub const MAX_NAMES: usize = 1000;

/// The name of all kinds and sources beyond [`MAX_NAMES`].
pub const OTHER: &str = "other";

/// How many errors there were, and what became of them, whoever published them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ErrorStatistics {
    /// Errors detected.
    pub total: u64,
    /// By their kind.
    pub by_kind: BTreeMap<String, u64>,
    /// By their source.
    pub by_source: BTreeMap<String, u64>,
    /// By their severity.
    pub by_severity: BTreeMap<Severity, u64>,
    /// By the strategy that attended to them: what became of it.
    pub by_strategy: BTreeMap<String, StrategyStatistics>,
    /// Recoveries that succeeded. An error may have several: a restart, and somebody notified.
    pub recovered: u64,
    /// Recoveries that were given up.
    pub gave_up: u64,
    /// The time that recoveries which succeeded have taken since their error, all together.
    pub time_to_recover: Duration,
    /// Matches of patterns that were no error of their own, as there were too few yet, or too many.
    pub held_back: u64,
    /// Recoveries that failed, and whose error escalated.
    pub escalated: u64,
    /// Errors for which there was a strategy, and no room in its queue, or that came in a shutdown:
    /// nothing was done.
    pub unhandled: u64,
    /// Events that were never looked at, because the manager had fallen behind by the capacity of
    /// their topic.
    pub missed: u64,
}

impl ErrorStatistics {
    /// The share of recoveries that succeeded, from 0 to 1; `None` before the first has ended.
    pub fn success_rate(&self) -> Option<f64> {
        let ended = self.recovered + self.gave_up;
        (ended > 0).then(|| self.recovered as f64 / ended as f64)
    }

    /// How long a recovery that succeeded has taken on average, since the error; `None` before the
    /// first has.
    pub fn mean_time_to_recover(&self) -> Option<Duration> {
        let recovered = u32::try_from(self.recovered).unwrap_or(u32::MAX);
        self.time_to_recover.checked_div(recovered)
    }

    pub(super) fn detected(&mut self, error: &ErrorDetected) {
        self.total += 1;
        count(&mut self.by_kind, &error.kind);
        count(&mut self.by_source, &error.source);
        *self.by_severity.entry(error.severity).or_default() += 1;
    }

    pub(super) fn progressed(&mut self, event: &ErrorRecovery) {
        let (recovered, duration) = match event.progress {
            Recovery::Recovered { duration, .. } => (true, duration),
            Recovery::GaveUp { .. } => (false, Duration::ZERO),
            _ => return,
        };
        let is_room = self.by_strategy.len() < MAX_NAMES;
        let name = match is_room || self.by_strategy.contains_key(&event.strategy) {
            true => event.strategy.as_str(),
            false => OTHER,
        };
        let strategy = self.by_strategy.entry(name.to_owned()).or_default();
        if recovered {
            self.recovered += 1;
            self.time_to_recover = self.time_to_recover.saturating_add(duration);
            strategy.recovered += 1;
        } else {
            self.gave_up += 1;
            strategy.gave_up += 1;
        }
    }
}

/// What became of the recoveries of one strategy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StrategyStatistics {
    /// Those that succeeded.
    pub recovered: u64,
    /// Those that were given up.
    pub gave_up: u64,
}

fn count(names: &mut BTreeMap<String, u64>, name: &str) {
    if let Some(count) = names.get_mut(name) {
        *count += 1;
        return;
    }
    let name = if names.len() < MAX_NAMES { name } else { OTHER };
    *names.entry(name.to_owned()).or_default() += 1;
}
