//! What can go wrong when a topic's stream is to be optimized.

use coord_bus::BusError;

use crate::{MAX_BUFFER_SIZE, MAX_PERIOD, MAX_TOPICS, Rate};

/// A setting was refused, or a topic was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptimizeError {
    /// The buffer size is out of range.
    #[error(
        "the buffer of topic `{topic}` cannot have a size of {size}: it must be from 1 to \
         {MAX_BUFFER_SIZE}"
    )]
    BufferSize {
        /// The topic.
        topic: String,
        /// The size that was asked for.
        size: usize,
    },
    /// The rate is out of range.
    #[error(
        "the rate of topic `{topic}` cannot be {rate}: its period must be above 0 and at \
         most {MAX_PERIOD:?}; for no limit, give `None`"
    )]
    RateLimit {
        /// The topic.
        topic: String,
        /// The rate that was asked for.
        rate: Rate,
    },
    /// There are settings for as many topics as there may be.
    #[error(
        "topic `{topic}` cannot be optimized: there are {MAX_TOPICS} topics already, the limit"
    )]
    TooManyTopics {
        /// The topic.
        topic: String,
    },
    /// The bus did not open the topic.
    #[error(transparent)]
    Bus(#[from] BusError),
}
