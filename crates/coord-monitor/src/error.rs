//! What can go wrong with a monitor.

use std::time::Duration;

use coord_bus::BusError;

use crate::{MAX_HISTORY, MAX_SOURCES, MIN_INTERVAL};

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
    /// There are too many sources of readings.
    #[error("a monitor reads {MAX_SOURCES} sources and no more: let one give several readings")]
    TooManySources,
    /// A topic could not be opened.
    #[error("a topic that the monitor reads could not be opened")]
    Bus(#[from] BusError),
}
