//! What can go wrong in starting a monitor.

use std::time::Duration;

use coord_bus::BusError;

use crate::{MAX_HISTORY, MIN_INTERVAL};

/// A monitor was not started.
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
    /// A topic could not be opened.
    #[error("a topic that the monitor reads could not be opened")]
    Bus(#[from] BusError),
}
