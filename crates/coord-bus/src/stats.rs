//! What a topic has counted: read by monitors, which never tap the stream itself.

use serde::Serialize;

use crate::Overflow;

/// A topic's counts at one moment, taken under one lock and so consistent with each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TopicStats {
    /// The topic's name.
    pub topic: String,
    /// How many events it may hold for its slowest lossless subscriber.
    pub capacity: usize,
    /// Events accepted since it was opened.
    pub published: u64,
    /// Deliveries made, summed over all subscribers that there are and have been.
    pub delivered: u64,
    /// Deliveries that overflow took from subscribers, summed likewise.
    pub dropped: u64,
    /// Events held now.
    pub depth: u64,
    /// Publishers that wait for room now.
    pub waiting_publishers: usize,
    /// Whether it is closed to new events.
    pub closed: bool,
    /// The subscribers that there are now.
    pub subscribers: Vec<SubscriberStats>,
}

/// A subscriber's counts at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SubscriberStats {
    /// What happens when it falls behind.
    pub overflow: Overflow,
    /// Events handed to it.
    pub delivered: u64,
    /// Events that overflow took from it, as far as it has learnt of them.
    pub dropped: u64,
    /// Events published that it has neither got nor lost yet.
    pub lag: u64,
}
