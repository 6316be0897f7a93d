//! Figures of others: what parts of a program count that the bus does not know of.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::MonitorError;
use crate::panics::Panics;

/// The most sources of readings.
pub const MAX_SOURCES: usize = 100;

/// The most readings in one snapshot; how many there are beyond is a number,
/// [`unread`](crate::PerformanceMetrics::unread).
pub const MAX_READINGS: usize = 1000;

/// A figure that somebody else counts: see
/// [`PerformanceMonitor::add_source`](crate::PerformanceMonitor::add_source).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// What it is of: a flow, a stream.
    pub subject: String,
    /// What of it: `received`, for one.
    pub figure: String,
    /// How much that is.
    pub value: u64,
}

impl Reading {
    /// A reading.
    pub fn new(subject: impl Into<String>, figure: impl Into<String>, value: u64) -> Self {
        Self {
            subject: subject.into(),
            figure: figure.into(),
            value,
        }
    }
}

type Source = dyn Fn() -> Vec<Reading> + Send + Sync;

#[derive(Default)]
pub(crate) struct Sources(Mutex<Vec<Arc<Source>>>);

impl Sources {
    pub(crate) fn add(&self, source: Arc<Source>) -> Result<(), MonitorError> {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= MAX_SOURCES {
            return Err(MonitorError::TooManySources);
        }
        sources.push(source);
        Ok(())
    }

    /// The readings, and how many there were beyond the limit.
    pub(crate) fn read(&self, panics: &Panics) -> (Vec<Reading>, usize) {
        // Not under the lock: it is not ours, what is called here.
        let sources = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut readings = Vec::new();
        for (number, source) in (1..).zip(sources) {
            let read = panics.catch(|| format!("source {number}"), || source());
            readings.extend(read.unwrap_or_default());
        }
        let unread = readings.len().saturating_sub(MAX_READINGS);
        readings.truncate(MAX_READINGS);
        (readings, unread)
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sources").finish_non_exhaustive()
    }
}
