//! Panics in what is not the monitor's and is called by it: nobody else goes without because of one.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use coord_bus::time::Clock;
use coord_bus::vocabulary::{ERROR_DETECTED, ErrorDetected, Severity};
use coord_bus::{Bus, BusError, BusExt, Publisher, panic_message};

/// Counts panics, and tells of the first of each.
#[derive(Debug)]
pub(crate) struct Panics {
    errors: Publisher<ErrorDetected>,
    clock: Arc<dyn Clock>,
    count: AtomicU64,
    /// What has been told of: thresholds, sources and the exporter, so there are few.
    told: Mutex<HashSet<String>>,
}

impl Panics {
    pub(crate) fn new(bus: &dyn Bus, clock: Arc<dyn Clock>) -> Result<Self, BusError> {
        Ok(Self {
            errors: bus.publisher(&ERROR_DETECTED)?,
            clock,
            count: AtomicU64::new(0),
            told: Mutex::default(),
        })
    }

    /// What it gives; `None` when it panics. It is called by a shared reference, so what it leaves half
    /// done is seen by itself alone.
    pub(crate) fn catch<T>(
        &self,
        name: impl FnOnce() -> String,
        call: impl FnOnce() -> T,
    ) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(given) => Some(given),
            Err(panic) => {
                self.tell(name(), panic_message(&*panic));
                None
            }
        }
    }

    fn tell(&self, name: String, message: &str) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.contains(&name) {
            return;
        }
        let error = ErrorDetected {
            source: format!("performance-monitor/{name}"),
            kind: "panic".to_owned(),
            message: message.to_owned(),
            severity: Severity::Error,
            at: self.clock.now(),
        };
        // Nobody may wait here. Where there is no room, the next panic is told.
        if self.errors.try_publish(error).is_ok() {
            told.insert(name);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn reset(&self) {
        self.count.store(0, Ordering::Relaxed);
    }
}
