//! What every event log must do, wherever it keeps its records.
//!
//! Each behaviour gets a log of its own, without records.

mod appending;
mod reading;
mod tailing;

pub use appending::*;
pub use reading::*;
pub use tailing::*;

use super::in_time;
use crate::ExpectedVersion::Any;
use crate::{EventLog, Record, StoredRecord};

fn record(number: u64) -> Record {
    Record::new("number", number.to_string())
}

fn records(numbers: impl IntoIterator<Item = u64>) -> Vec<Record> {
    numbers.into_iter().map(record).collect()
}

/// Appends records of these numbers, wherever the stream is. Its version then.
async fn append(log: &dyn EventLog, stream: &str, numbers: impl IntoIterator<Item = u64>) -> u64 {
    let appended = in_time(log.append(stream, Any, records(numbers))).await;
    appended.expect("it is appended").version
}

async fn read(log: &dyn EventLog, stream: &str, from: u64, limit: usize) -> Vec<StoredRecord> {
    let read = in_time(log.read(stream, from, limit)).await;
    read.expect("it is read")
}

async fn streams(log: &dyn EventLog, after: Option<&str>, limit: usize) -> Vec<String> {
    let names = in_time(log.streams(after, limit)).await;
    names.expect("they are listed")
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
