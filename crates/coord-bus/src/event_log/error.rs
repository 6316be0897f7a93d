//! Why an event log did not do what it was asked for.

use super::ExpectedVersion;
use crate::Fenced;

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
    /// The grant that fences the append is not the newest of its lease.
    #[error(
        "stream `{stream}` is not to be appended to by a holder of lease `{lease}` that lost it"
    )]
    Fenced {
        /// The stream.
        stream: String,
        /// The name of the lease.
        lease: String,
        /// Both tokens, and what to do.
        source: Fenced,
    },
    /// The stream is to be forgotten, and is not closed.
    #[error("stream `{stream}` is open, and only a closed one can be forgotten: finish it first")]
    StillOpen {
        /// The stream.
        stream: String,
    },
    /// The stream is to be forgotten, and an open one needs it.
    #[error(
        "stream `{stream}` is needed by stream `{by}`, which is open, and cannot be forgotten \
         before that is closed"
    )]
    StillNeeded {
        /// The stream.
        stream: String,
        /// The one that needs it.
        by: String,
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
    /// Others kept what keeps the records to themselves for so long that nothing was written. It is the one
    /// failure of a log after which the same append may be made again.
    #[error("the event log is busy: try again")]
    Busy {
        /// By whom, and for how long.
        source: Box<dyn std::error::Error + Send + Sync>,
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
