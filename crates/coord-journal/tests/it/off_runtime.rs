//! A journal in tests whose time is paused: time stands still while the journal works.
//!
//! Paused time goes on when nothing on the runtime can, and the journal's threads are not on it. So
//! each call here keeps time from going on until it is done, by a blocking task that waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
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

/// Keeps time from going on, as long as it lives.
struct StandStill(#[expect(dead_code, reason = "its drop is what it is for")] Sender<()>);

fn stand_still() -> StandStill {
    let (done, waiting) = channel();
    tokio::task::spawn_blocking(move || waiting.recv());
    StandStill(done)
}

fn off<'a, T>(call: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    Box::pin(async move {
        let _still = stand_still();
        call.await
    })
}

impl EventLog for OffRuntime {
    fn append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        off(self.journal.append(append))
    }

    fn read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>> {
        off(self.journal.read(stream, from, limit))
    }

    fn streams<'a>(
        &'a self,
        query: &'a StreamQuery,
    ) -> BoxFuture<'a, Result<Vec<StreamInfo>, EventLogError>> {
        off(self.journal.streams(query))
    }

    fn tail(&self, stream: &str, from: u64) -> Result<Tail, EventLogError> {
        let tail = self.journal.tail(stream, from)?;
        Ok(Box::pin(OffTail {
            tail,
            still: None,
            _stage: Arc::clone(&self.stage),
        }))
    }

    fn forget<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<bool, EventLogError>> {
        off(self.journal.forget(stream))
    }

    fn durability(&self) -> Durability {
        self.journal.durability()
    }
}

/// Time stands still while it waits: what it waits for is on its way, in these tests.
struct OffTail {
    tail: Tail,
    still: Option<StandStill>,
    /// It reads on after the journal has gone.
    _stage: Arc<Stage>,
}

impl Stream for OffTail {
    type Item = Result<StoredRecord, EventLogError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.tail.as_mut().poll_next(cx);
        self.still = match polled {
            Poll::Pending => self.still.take().or_else(|| Some(stand_still())),
            Poll::Ready(_) => None,
        };
        polled
    }
}

impl Lease for OffRuntime {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Grant, LeaseError>> {
        off(self.journal.acquire(name, holder, ttl))
    }

    fn renew<'a>(
        &'a self,
        grant: &'a Grant,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), LeaseError>> {
        off(self.journal.renew(grant, ttl))
    }

    fn release(&self, grant: Grant) -> BoxFuture<'_, Result<(), LeaseError>> {
        off(self.journal.release(grant))
    }

    fn current<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Held>, LeaseError>> {
        off(self.journal.current(name))
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
