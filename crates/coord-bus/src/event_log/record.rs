//! A record, and a record in its place.

use jiff::Timestamp;

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
