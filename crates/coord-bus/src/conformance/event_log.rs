//! What every event log must do, wherever it keeps its records.
//!
//! Each behaviour gets a log of its own, without records.

mod appending;
mod fencing;
mod finishing;
mod reading;
mod tailing;

pub use appending::*;
pub use fencing::*;
pub use finishing::*;
pub use reading::*;
pub use tailing::*;

use super::in_time;
use crate::{
    AppendTo, Appended, EventLog, EventLogError, ExpectedVersion, Record, StoredRecord, StreamQuery,
};

fn record(number: u64) -> Record {
    Record::new("number", number.to_string())
}

/// Records of these numbers, for a stream that is expected to be there.
fn numbers(
    stream: &str,
    expected: ExpectedVersion,
    numbers: impl IntoIterator<Item = u64>,
) -> AppendTo {
    let append = AppendTo::stream(stream).expecting(expected);
    append.records(numbers.into_iter().map(record))
}

async fn try_append(log: &dyn EventLog, append: AppendTo) -> Result<u64, EventLogError> {
    let appended: Result<Appended, _> = in_time(log.append(append)).await;
    appended.map(|appended| appended.version)
}

/// Appends records of these numbers, wherever the stream is. Its version then.
async fn append(log: &dyn EventLog, stream: &str, add: impl IntoIterator<Item = u64>) -> u64 {
    let appended = try_append(log, numbers(stream, ExpectedVersion::Any, add)).await;
    appended.expect("it is appended")
}

async fn read(log: &dyn EventLog, stream: &str, from: u64, limit: usize) -> Vec<StoredRecord> {
    let read = in_time(log.read(stream, from, limit)).await;
    read.expect("it is read")
}

/// The names of the streams that a query gives.
async fn streams(log: &dyn EventLog, query: StreamQuery) -> Vec<String> {
    let streams = in_time(log.streams(&query)).await;
    let streams = streams.expect("they are listed");
    streams.into_iter().map(|stream| stream.name).collect()
}

/// Version and content of each record.
fn numbered(stored: &[StoredRecord]) -> Vec<(u64, String)> {
    let content = |stored: &StoredRecord| String::from_utf8_lossy(&stored.record.payload).into();
    stored
        .iter()
        .map(|each| (each.version, content(each)))
        .collect()
}

/// What [`numbered`] gives for records that each contain their own version.
fn straight(versions: impl Iterator<Item = u64>) -> Vec<(u64, String)> {
    versions
        .map(|version| (version, version.to_string()))
        .collect()
}
