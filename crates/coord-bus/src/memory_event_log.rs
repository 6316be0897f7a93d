//! An event log in the memory of this process, for tests and for what need not survive it.

mod state;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;
use futures_core::future::BoxFuture;

use crate::event_log::check_stream_name;
use crate::time::{Clock, SystemClock};
use crate::{
    AppendTo, Appended, Durability, EventLog, EventLogError, StoredRecord, StreamInfo, StreamQuery,
    Tail,
};
use state::{State, Waiting};

/// An [`EventLog`] in memory. When it is dropped, its tails end.
///
/// It holds at most a set number of records, in all streams together, and refuses more with
/// [`EventLogError::Full`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use coord_bus::{AppendTo, EventLog, ExpectedVersion, MemoryEventLog, Record};
///
/// let log = MemoryEventLog::new();
/// let start = AppendTo::stream("run-1")
///     .expecting(ExpectedVersion::Empty)
///     .record(Record::new("started", "{}"));
/// assert_eq!(log.append(start).await?.version, 1);
/// assert_eq!(log.read("run-1", 1, 10).await?[0].record.kind, "started");
/// # Ok::<(), coord_bus::EventLogError>(()) }).unwrap();
/// ```
pub struct MemoryEventLog(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    max_records: usize,
    state: Mutex<State>,
}

impl MemoryEventLog {
    /// How many records it holds where nothing else is said: with those of workflows, of some 200
    /// bytes, a few tens of megabytes.
    pub const DEFAULT_MAX_RECORDS: usize = 100_000;

    /// An empty log by the clock of the machine, of at most
    /// [`DEFAULT_MAX_RECORDS`](Self::DEFAULT_MAX_RECORDS).
    pub fn new() -> Self {
        Self::with(Arc::new(SystemClock), Self::DEFAULT_MAX_RECORDS)
    }

    /// An empty log by this clock, of at most this many records.
    pub fn with(clock: Arc<dyn Clock>, max_records: usize) -> Self {
        Self(Arc::new(Shared {
            clock,
            max_records,
            state: Mutex::default(),
        }))
    }
}

impl Default for MemoryEventLog {
    fn default() -> Self {
        Self::new()
    }
}

impl EventLog for MemoryEventLog {
    fn append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        Box::pin(async move { self.0.append(append) })
    }

    fn read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>> {
        Box::pin(async move {
            check_stream_name(stream)?;
            let state = self.0.lock();
            Ok(state.since(stream, from).take(limit).cloned().collect())
        })
    }

    fn streams<'a>(
        &'a self,
        query: &'a StreamQuery,
    ) -> BoxFuture<'a, Result<Vec<StreamInfo>, EventLogError>> {
        Box::pin(async move { Ok(self.0.lock().list(query)) })
    }

    fn tail(&self, stream: &str, from: u64) -> Result<Tail, EventLogError> {
        check_stream_name(stream)?;
        let id = self.0.lock().tails.insert(Waiting {
            stream: stream.into(),
            waker: None,
        });
        Ok(Box::pin(MemoryTail {
            shared: Arc::clone(&self.0),
            id,
            next: from.max(1),
        }))
    }

    fn forget<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<bool, EventLogError>> {
        Box::pin(async move {
            check_stream_name(stream)?;
            self.0.lock().forget(stream)
        })
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done: records are made before they are added.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, append: AppendTo) -> Result<Appended, EventLogError> {
        check_stream_name(&append.stream)?;
        if let Some(by) = &append.needed_by {
            check_stream_name(by)?;
        }
        // Somebody else's code, so not under the lock.
        let at = self.clock.now();
        let mut state = self.lock();
        let actual = state.admit(&append)?;
        if append.records.is_empty() {
            return Ok(Appended::at(actual));
        }
        if !state.has_room_for(&append, self.max_records) {
            return Err(EventLogError::Full {
                limit: self.max_records,
            });
        }
        let stream = append.stream.clone();
        let version = state.add(append, at);
        let wakers = state.wakers(|waiting| *waiting.stream == *stream);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Ok(Appended::at(version))
    }
}

impl Drop for MemoryEventLog {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        let wakers = state.wakers(|_| true);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for MemoryEventLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MemoryEventLog")
            .field("max_records", &self.0.max_records)
            .finish_non_exhaustive()
    }
}

/// What [`EventLog::tail`] gives here.
struct MemoryTail {
    shared: Arc<Shared>,
    id: usize,
    next: u64,
}

impl Stream for MemoryTail {
    type Item = Result<StoredRecord, EventLogError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // So that who always finds more still lets its neighbours run.
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        let this = &mut *self;
        let mut state = this.shared.lock();
        let stored = state.since(&state.tails[this.id].stream, this.next).next();
        if let Some(stored) = stored.cloned() {
            this.next += 1;
            budget.made_progress();
            return Poll::Ready(Some(Ok(stored)));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        let replaced = state.tails[this.id].waker.replace(cx.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for MemoryTail {
    fn drop(&mut self) {
        let waiting = self.shared.lock().tails.remove(self.id);
        drop(waiting);
    }
}
