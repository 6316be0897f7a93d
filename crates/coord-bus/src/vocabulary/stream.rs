//! What becomes of the events of streams that are optimized.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::seconds;

/// What became of the events of streams since the report before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamReport {
    /// When it was made.
    pub at: Timestamp,
    /// The time that its counts are of, in seconds: since the last report that was published.
    #[serde(with = "seconds")]
    pub measured: Duration,
    /// The streams in which something moved, by name; where there are too many, those that received
    /// most.
    pub streams: Vec<StreamFigures>,
    /// In how many others something moved.
    pub unlisted: usize,
}

/// What became of the events of one stream, or of all streams of one topic:
/// `received + held_before = given_out + merged + dropped + held`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFigures {
    /// The topic, or the name under which the stream is watched.
    pub stream: String,
    /// Events taken.
    pub received: u64,
    /// Events that came out.
    pub given_out: u64,
    /// Events that went into others.
    pub merged: u64,
    /// Events that will not come out, by reason: `superseded`, `repeated`, `expired`, …; without
    /// reasons for which there was none.
    pub dropped: BTreeMap<String, u64>,
    /// Events that were held when the time began.
    pub held_before: u64,
    /// Events that are held now.
    pub held: u64,
}
