//! What can go wrong with a monitor.

use std::time::Duration;

use coord_bus::BusError;

use crate::{MAX_HISTORY, MAX_SOURCES, MAX_THRESHOLDS, MIN_INTERVAL};

/// A monitor was not started, or does not take what it was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// The interval is too short.
    #[error("a monitor cannot sample every {interval:?}: use {MIN_INTERVAL:?} or more")]
    IntervalTooShort {
        /// The interval.
        interval: Duration,
    },
    /// The history is too long.
    #[error("a monitor cannot keep {samples} samples: use {MAX_HISTORY} or fewer")]
    HistoryTooLong {
        /// Of how many samples.
        samples: usize,
    },
    /// Reports would come more often than samples.
    #[error(
        "a monitor cannot report every {interval:?} when it samples every {sampling:?}: use that or more"
    )]
    ReportsTooOften {
        /// The interval of reports.
        interval: Duration,
        /// That of samples.
        sampling: Duration,
    },
    /// Nothing is beyond what is no number, and everything or nothing beyond what is infinite.
    #[error("the threshold `{threshold}` {does} {value}: use a finite number")]
    NotFinite {
        /// The threshold.
        threshold: String,
        /// What it does there: has its limit, or closes.
        does: &'static str,
        /// Where.
        value: f64,
    },
    /// A threshold would close its alert where it is open.
    #[error(
        "the alert `{threshold}` would close at {clear}, which is beyond its limit {limit}: use the \
         limit, or what is within it"
    )]
    ClearBeyondLimit {
        /// The threshold.
        threshold: String,
        /// Where it would close.
        clear: f64,
        /// The limit.
        limit: f64,
    },
    /// Two thresholds have one name.
    #[error("there are two thresholds called `{threshold}`: give each a name of its own")]
    DuplicateThreshold {
        /// The name.
        threshold: String,
    },
    /// There are too many thresholds.
    #[error("a monitor has {MAX_THRESHOLDS} thresholds at most, and not {thresholds}")]
    TooManyThresholds {
        /// How many there are.
        thresholds: usize,
    },
    /// There are too many sources of readings.
    #[error("a monitor reads {MAX_SOURCES} sources and no more: let one give several readings")]
    TooManySources,
    /// A topic could not be opened.
    #[error("a topic that the monitor reads could not be opened")]
    Bus(#[from] BusError),
}
