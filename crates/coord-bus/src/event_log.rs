//! The event log: named streams of records that are appended to, read back and followed.

use std::fmt;
use std::pin::Pin;

use futures_core::Stream;
use futures_core::future::BoxFuture;
use jiff::Timestamp;

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
/// [`durability`](Self::durability) says. One that has returned an error has changed nothing,
/// [`EventLogError::Failed`] excepted: the records are there, or they are not, but never some of
/// them.
///
/// # Cancel safety
///
/// A read, dropped before it is done, changes nothing. An append, dropped before it is done, has
/// happened as a whole or not at all: appending again with the same expected version tells which.
pub trait EventLog: Send + Sync {
    /// Appends records at the end of a stream, all of them or none, if the stream is at the
    /// version expected. Of several appends that expect the same version, one succeeds.
    ///
    /// Without records it only compares versions.
    ///
    /// # Errors
    ///
    /// [`EventLogError::WrongVersion`], with the version that the stream has; or any other.
    fn append<'a>(
        &'a self,
        stream: &'a str,
        expected: ExpectedVersion,
        records: Vec<Record>,
    ) -> BoxFuture<'a, Result<Appended, EventLogError>>;

    /// The records of a stream from a version on, in their order, at most `limit` of them. Fewer
    /// mean that there are no more now; none, that `from` is past the end or that there is no such
    /// stream. A `from` of 0 counts as 1.
    ///
    /// # Errors
    ///
    /// Any but `WrongVersion` and `Full`.
    fn read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>>;

    /// The names of the streams, sorted by their bytes, that come after a name, at most `limit` of
    /// them. Fewer mean that there are no more now.
    ///
    /// # Errors
    ///
    /// Any but `WrongVersion` and `Full`.
    fn streams<'a>(
        &'a self,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, EventLogError>>;

    /// The records of a stream from a version on: first those that are there, then each as it is
    /// appended, without a gap and none twice. The stream need not have begun. A `from` of 0
    /// counts as 1.
    ///
    /// It ends when the log is closed, which dropping it does, after the records that the log had
    /// got; or after an error. A tail that nobody polls holds up nobody.
    ///
    /// # Errors
    ///
    /// Any but `WrongVersion` and `Full`.
    fn tail(&self, stream: &str, from: u64) -> Result<Tail, EventLogError>;

    /// What an append survives that has returned `Ok`.
    fn durability(&self) -> Durability;
}

/// What [`EventLog::tail`] gives.
pub type Tail = Pin<Box<dyn Stream<Item = Result<StoredRecord, EventLogError>> + Send>>;

/// What one wants to say in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What kind of record it is, for who decodes it.
    pub kind: String,
    /// Its content: bytes, of which the log knows nothing.
    pub payload: Vec<u8>,
}

impl Record {
    /// A record.
    pub fn new(kind: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind: kind.into(),
            payload: payload.into(),
        }
    }
}

/// A record in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its number in the stream; the first is 1.
    pub version: u64,
    /// When it was appended, by the log's clock. Clocks are set back at times: order by version.
    pub at: Timestamp,
    /// The record.
    pub record: Record,
}

/// Where an append expects a stream to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// Wherever it is.
    Any,
    /// Not begun.
    Empty,
    /// Where this record is the last. `Exactly(0)` means the same as `Empty`.
    Exactly(u64),
}

impl ExpectedVersion {
    /// Whether a stream at this version is where it is expected.
    pub fn allows(self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Empty => version == 0,
            Self::Exactly(expected) => version == expected,
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("any version"),
            Self::Empty => formatter.write_str("no record yet"),
            Self::Exactly(version) => write!(formatter, "version {version}"),
        }
    }
}

/// An append succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// The stream's version now: the number of the last record appended.
    pub version: u64,
}

impl Appended {
    /// The stream is now at this version: for who writes a log.
    pub const fn at(version: u64) -> Self {
        Self { version }
    }
}

/// What an acknowledged append survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing but time: it ends with the process, or with the log.
    Process,
    /// The end of the process at any point, and a loss of power.
    Disk,
}

/// An event log did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventLogError {
    /// Somebody else has appended to the stream, or it is not the stream that was meant.
    #[error(
        "stream `{stream}` is at version {actual}, and {expected} was expected: read what has \
         been appended since, and decide anew"
    )]
    WrongVersion {
        /// The stream.
        stream: String,
        /// What was expected.
        expected: ExpectedVersion,
        /// The version that it has.
        actual: u64,
    },
    /// The name is not one that a stream can have.
    #[error(
        "`{name}` cannot be a stream's name: {fault} (names are letters, digits, `-`, `_` and \
         `.`, such as `build-2024.1`)"
    )]
    InvalidStreamName {
        /// The name.
        name: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The log holds as much as it may.
    #[error(
        "the event log is full with its limit of {limit} records: raise the limit, or begin \
         another log"
    )]
    Full {
        /// How many records it may hold.
        limit: usize,
    },
    /// The log is closed.
    #[error("the event log is closed")]
    Closed,
    /// What keeps the records failed.
    #[error("the event log failed")]
    Failed {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

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
