//! A journal in tests whose time is paused, by which its leases go, too. Its threads are not on the runtime, and time
//! stands still while they work.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use coord_bus::time::{Clock, Instant};
use coord_bus::{
    AppendTo, Appended, BoxFuture, Durability, EventLog, EventLogError, Grant, Held, Lease,
    LeaseError, StoredRecord, StreamInfo, StreamQuery, Tail, Timestamp,
};
use coord_journal::{Journal, JournalOptions};
use tokio::runtime::Handle;
use tokio_stream::Stream;

use crate::stage::Stage;

pub(crate) struct OffRuntime {
    journal: Journal,
    stage: Arc<Stage>,
}

impl OffRuntime {
    pub(crate) fn new() -> Self {
        Self::of(JournalOptions::new())
    }

    pub(crate) fn in_place() -> Self {
        Self::of(JournalOptions::new().commit_in_place())
    }

    fn of(options: JournalOptions) -> Self {
        let stage = Stage::new();
        let options = options.clock(Arc::new(PausedClock::new()));
        Self {
            journal: stage.open_with(options),
            stage: Arc::new(stage),
        }
    }
}

impl EventLog for OffRuntime {
    fn append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        self.journal.append(append)
    }

    fn read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>> {
        self.journal.read(stream, from, limit)
    }

    fn streams<'a>(
        &'a self,
        query: &'a StreamQuery,
    ) -> BoxFuture<'a, Result<Vec<StreamInfo>, EventLogError>> {
        self.journal.streams(query)
    }

    fn tail(&self, stream: &str, from: u64) -> Result<Tail, EventLogError> {
        let tail = self.journal.tail(stream, from)?;
        Ok(Box::pin(OffTail {
            tail,
            _stage: Arc::clone(&self.stage),
        }))
    }

    fn forget<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<bool, EventLogError>> {
        self.journal.forget(stream)
    }

    fn durability(&self) -> Durability {
        self.journal.durability()
    }
}

/// It reads on after the journal has gone.
struct OffTail {
    tail: Tail,
    _stage: Arc<Stage>,
}

impl Stream for OffTail {
    type Item = Result<StoredRecord, EventLogError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.tail.as_mut().poll_next(cx)
    }
}

impl Lease for OffRuntime {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Grant, LeaseError>> {
        self.journal.acquire(name, holder, ttl)
    }

    fn renew<'a>(
        &'a self,
        grant: &'a Grant,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), LeaseError>> {
        self.journal.renew(grant, ttl)
    }

    fn release(&self, grant: Grant) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.journal.release(grant)
    }

    fn current<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Held>, LeaseError>> {
        self.journal.current(name)
    }
}

/// A wall clock that follows the paused time, on whatever thread it is asked.
#[derive(Debug)]
struct PausedClock {
    begin: Instant,
    runtime: Handle,
}

impl PausedClock {
    fn new() -> Self {
        Self {
            begin: Instant::now(),
            runtime: Handle::current(),
        }
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let _runtime = self.runtime.enter();
        let begin = Timestamp::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        begin + self.begin.elapsed()
    }
}
