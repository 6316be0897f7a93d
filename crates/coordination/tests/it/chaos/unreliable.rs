//! An event log in memory that fails now and then: before it has appended, or after.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use coordination::bus::{
    AppendTo, Appended, BoxFuture, EventLog, EventLogError, EventLogProxy, MemoryEventLog,
    StoredRecord,
};
use fastrand::Rng;

pub(crate) struct Unreliable {
    log: MemoryEventLog,
    random: Mutex<Rng>,
    fails: AtomicBool,
    failed: AtomicU64,
}

impl Unreliable {
    pub(crate) fn new(random: Rng) -> Self {
        Self {
            log: MemoryEventLog::new(),
            random: Mutex::new(random),
            fails: AtomicBool::new(true),
            failed: AtomicU64::new(0),
        }
    }

    /// From now on it does not fail any more.
    pub(crate) fn mend(&self) {
        self.fails.store(false, Ordering::Relaxed);
    }

    /// How often it has failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    fn fails(&self, chance: f64) -> Result<(), EventLogError> {
        let drawn = self.random.lock().expect("nobody panics with it").f64();
        if drawn >= chance || !self.fails.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        let source = "the disk does not answer".into();
        Err(EventLogError::Failed { source })
    }
}

impl EventLogProxy for Unreliable {
    fn log(&self) -> &dyn EventLog {
        &self.log
    }

    fn on_append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        Box::pin(async move {
            self.fails(0.02)?;
            let appended = self.log.append(append).await?;
            // It is there, and nobody is told.
            self.fails(0.02)?;
            Ok(appended)
        })
    }

    fn on_read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>> {
        Box::pin(async move {
            self.fails(0.02)?;
            self.log.read(stream, from, limit).await
        })
    }
}
