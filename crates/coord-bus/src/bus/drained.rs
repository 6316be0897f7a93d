//! The account of a drain.

use crate::TopicStats;

/// What came of a drain: what was delivered, and what was left. A request is delivered when a
/// responder has taken it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "says whether anything was left"]
#[non_exhaustive]
pub struct Drained {
    /// How many deliveries were made between the call and its end.
    pub delivered: u64,
    /// The topics of which a subscriber has not got everything, as they were when the deadline
    /// passed; the ledgers of their subscribers say how much is in flight. Empty when all went
    /// well.
    pub left: Vec<TopicStats>,
}

impl Drained {
    /// The account of a drain, from what topics had counted before and after it.
    pub fn between(before: &[TopicStats], after: Vec<TopicStats>) -> Self {
        let delivered = |topics: &[TopicStats]| {
            topics
                .iter()
                .map(|topic| topic.ledger.delivered)
                .sum::<u64>()
        };
        let delivered = delivered(&after).saturating_sub(delivered(before));
        let mut left = after;
        left.retain(|topic| topic.ledger.in_flight > 0);
        Self { delivered, left }
    }

    /// Whether everything was delivered.
    pub fn is_complete(&self) -> bool {
        self.left.is_empty()
    }
}
