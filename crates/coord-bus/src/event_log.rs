//! The event log: named streams of records that are appended to, read back and followed.

mod record;
mod append_to;
mod durability;
mod streams;
mod error;
#[cfg(feature = "test-util")]
mod proxy;

use std::pin::Pin;

use futures_core::Stream;
use futures_core::future::BoxFuture;

pub use append_to::{AppendTo, Appended, ExpectedVersion};
pub use durability::Durability;
pub use error::EventLogError;
#[cfg(feature = "test-util")]
pub use proxy::EventLogProxy;
pub use record::{Record, StoredRecord};
pub use streams::{StreamInfo, StreamOrder, StreamQuery};

/// The longest name of a stream, in bytes.
pub const MAX_STREAM_NAME_LENGTH: usize = 128;

/// Streams of records, each appended to in one order by whoever knows its version.
///
/// The records of a stream are numbered from 1, without a gap; the number of the last is the
/// stream's version, and that of a stream without records is 0. A stream begins with its first
/// record. What has once been appended never changes.
///
/// Object-safe: take `&dyn EventLog` or `Arc<dyn EventLog>`. Who writes one runs
/// `conformance_event_log!` (feature `test-util`) over it.
///
/// # What holds once a call has returned
///
/// An append that has returned `Ok` is seen by every read that begins after it, and survives what
/// it asked for, or what [`durability`](Self::durability) says where that is less. What was
/// appended before it, to any stream, survives the same. One that has returned an error has
/// changed nothing, [`EventLogError::Failed`] excepted: the records are there, or they are not, but
/// never some of them.
///
/// # The end of a stream
///
/// An append that is [`closing`](AppendTo::closing) finishes its stream, which stays to be read.
/// Closed streams are in nobody's way who lists the open ones. An append with records that does not
/// close the stream opens it again, and [`forget`](Self::forget) makes an end of a closed one. A stream that
/// [another needs](AppendTo::needed_by) is there for as long as that one is open.
///
/// # Fences
///
/// An append that is [fenced by](AppendTo::fenced_by) a grant is refused if the log knows of a
/// later grant of that lease. It knows the grants of all fenced appends that it has taken; a log
/// that keeps leases too, as `coord-journal` does, knows each of its own grants from the moment at
/// which it was given. So who has lost a lease, and does not know it, changes nothing any more.
///
/// # Cancel safety
///
/// A read, dropped before it is done, changes nothing. An append or a `forget`, dropped before it
/// is done, has happened as a whole or not at all: appending again with the same expected version
/// tells which.
pub trait EventLog: Send + Sync {
    /// Appends records at the end of a stream, all of them or none, if the stream is at the
    /// version expected. Of several appends that expect the same version, one succeeds.
    ///
    /// Without records it only compares: the token first, then the version.
    ///
    /// # Errors
    ///
    /// [`EventLogError::Fenced`]; [`EventLogError::WrongVersion`], with the version that the stream
    /// has; `StillNeeded` of one that was to be [replaced](AppendTo::replacing); or any other but `StillOpen`.
    fn append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>>;

    /// The records of a stream from a version on, in their order, at most `limit` of them. Fewer
    /// mean that there are no more now; none, that `from` is past the end or that there is no such
    /// stream. A `from` of 0 counts as 1.
    ///
    /// # Errors
    ///
    /// `InvalidStreamName`, `Busy`, `Closed` or `Failed`.
    fn read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>>;

    /// The streams that a query asks for. Fewer than its limit mean that there are no more now.
    ///
    /// # Errors
    ///
    /// `Busy`, `Closed` or `Failed`.
    fn streams<'a>(
        &'a self,
        query: &'a StreamQuery,
    ) -> BoxFuture<'a, Result<Vec<StreamInfo>, EventLogError>>;

    /// The records of a stream from a version on: first those that are there, then each as it is
    /// appended, without a gap and none twice. The stream need not have begun. A `from` of 0
    /// counts as 1.
    ///
    /// It ends when the log is closed, which dropping it does, after the records that the log had
    /// got; or after an error. A tail that nobody polls holds up nobody. Where its stream is
    /// forgotten and begins anew, it goes on with the next version that it has not given.
    ///
    /// # Errors
    ///
    /// `InvalidStreamName`, `Closed` or `Failed`.
    fn tail(&self, stream: &str, from: u64) -> Result<Tail, EventLogError>;

    /// Forgets a closed stream with all of its records; its name is that of a stream that has not
    /// begun. `false` if it was so before.
    ///
    /// # Errors
    ///
    /// [`EventLogError::StillOpen`], `StillNeeded`, `InvalidStreamName`, `Busy`, `Closed` or `Failed`.
    fn forget<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<bool, EventLogError>>;

    /// What an append that asks for the most survives once it has returned `Ok`.
    fn durability(&self) -> Durability;

    /// How large a record may be, its kind and its payload together, in bytes: an append with a larger one is
    /// refused, however often it is made. `None`, the default, where there is no limit.
    fn max_record_bytes(&self) -> Option<usize> {
        None
    }
}

/// What [`EventLog::tail`] gives.
pub type Tail = Pin<Box<dyn Stream<Item = Result<StoredRecord, EventLogError>> + Send>>;

/// Checks a stream's name, as every log does before anything else: 1 to
/// [`MAX_STREAM_NAME_LENGTH`] of `A-Z`, `a-z`, `0-9`, `-`, `_` and `.`, the first of them a letter
/// or a digit. So no name is a path, an option of a command, or in need of quotes.
///
/// # Errors
///
/// [`EventLogError::InvalidStreamName`].
pub fn check_stream_name(name: &str) -> Result<(), EventLogError> {
    name_fault(name).map_or(Ok(()), |fault| {
        Err(EventLogError::InvalidStreamName {
            name: name.to_owned(),
            fault,
        })
    })
}

/// What is wrong with the name of a stream, or of anything else under the same rule.
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_STREAM_NAME_LENGTH {
        Some("it is longer than 128 bytes")
    } else if !name.bytes().all(is_plain) {
        Some("it has another character in it")
    } else if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        Some("it does not begin with a letter or a digit")
    } else {
        None
    }
}
