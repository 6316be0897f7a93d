//! For tests: an event log before another one, to fail, count or delay some of what it is asked.

use futures_core::future::BoxFuture;

use super::{
    AppendTo, Appended, Durability, EventLog, EventLogError, StoredRecord, StreamInfo, StreamQuery,
    Tail,
};

/// An [`EventLog`] that hands on what it does not do itself: whoever implements this trait has the
/// other one.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use coord_bus::{
///     AppendTo, Appended, BoxFuture, EventLog, EventLogError, EventLogProxy, MemoryEventLog, Record,
/// };
///
/// /// Refuses every append after so many.
/// struct Failing {
///     log: MemoryEventLog,
///     left: AtomicUsize,
/// }
///
/// impl EventLogProxy for Failing {
///     fn log(&self) -> &dyn EventLog {
///         &self.log
///     }
///
///     fn on_append(
///         &self,
///         append: AppendTo,
///     ) -> BoxFuture<'_, Result<Appended, EventLogError>> {
///         let take = |left: usize| left.checked_sub(1);
///         let order = Ordering::SeqCst;
///         match self.left.fetch_update(order, order, take) {
///             Ok(_) => self.log.append(append),
///             Err(_) => Box::pin(async { Err(EventLogError::Closed) }),
///         }
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let log = Failing { log: MemoryEventLog::new(), left: 1.into() };
/// let append = || AppendTo::stream("orders").record(Record::new("placed", "{}"));
/// assert!(log.append(append()).await.is_ok());
/// assert!(log.append(append()).await.is_err());
/// assert_eq!(log.read("orders", 1, 10).await?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait EventLogProxy: Send + Sync {
    /// The log that does what this one does not.
    fn log(&self) -> &dyn EventLog;

    /// What [`EventLog::append`] does.
    fn on_append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        self.log().append(append)
    }

    /// What [`EventLog::read`] does.
    fn on_read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>> {
        self.log().read(stream, from, limit)
    }

    /// What [`EventLog::streams`] does.
    fn on_streams<'a>(
        &'a self,
        query: &'a StreamQuery,
    ) -> BoxFuture<'a, Result<Vec<StreamInfo>, EventLogError>> {
        self.log().streams(query)
    }

    /// What [`EventLog::tail`] does.
    fn on_tail(&self, stream: &str, from: u64) -> Result<Tail, EventLogError> {
        self.log().tail(stream, from)
    }

    /// What [`EventLog::max_record_bytes`] says.
    fn on_max_record_bytes(&self) -> Option<usize> {
        self.log().max_record_bytes()
    }
}

impl<P: EventLogProxy> EventLog for P {
    fn append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        self.on_append(append)
    }

    fn read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>> {
        self.on_read(stream, from, limit)
    }

    fn streams<'a>(
        &'a self,
        query: &'a StreamQuery,
    ) -> BoxFuture<'a, Result<Vec<StreamInfo>, EventLogError>> {
        self.on_streams(query)
    }

    fn tail(&self, stream: &str, from: u64) -> Result<Tail, EventLogError> {
        self.on_tail(stream, from)
    }

    fn forget<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<bool, EventLogError>> {
        self.log().forget(stream)
    }

    fn durability(&self) -> Durability {
        self.log().durability()
    }

    fn max_record_bytes(&self) -> Option<usize> {
        self.on_max_record_bytes()
    }
}
