//! What can go wrong when a topic's stream is to be optimized.

use std::time::Duration;

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
    /// A batch cannot be enough without an event.
    #[error(
        "`enough` of topic `{topic}` cannot be 0 events: a batch has one at least; leave it out where \
         only the time and the buffer are to count"
    )]
    Enough {
        /// The topic.
        topic: String,
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
    /// A time is out of range.
    #[error(
        "`{setting}` of topic `{topic}` cannot be {time:?}: it must be above 0 and at most \
         {MAX_PERIOD:?}; leave it out where there is to be none"
    )]
    Time {
        /// The topic.
        topic: String,
        /// The setting.
        setting: &'static str,
        /// The time that was asked for.
        time: Duration,
    },
    /// The interval between reports is out of range.
    #[error(
        "streams cannot be reported on every {interval:?}: the interval must be above 0 and at most \
         {MAX_PERIOD:?}"
    )]
    Interval {
        /// The interval that was asked for.
        interval: Duration,
    },
    /// The topic was configured for events of another type.
    #[error(
        "topic `{topic}` cannot be optimized as a topic of `{event}`: it was as one of `{known}`; \
         configure it by the same constant everywhere"
    )]
    EventType {
        /// The topic.
        topic: String,
        /// The type of events that was asked for.
        event: &'static str,
        /// The type that it has.
        known: &'static str,
    },
    /// There are settings for as many topics as there may be.
    #[error(
        "topic `{topic}` cannot be optimized: there are {MAX_TOPICS} topics already, the limit"
    )]
    TooManyTopics {
        /// The topic.
        topic: String,
    },
    /// The name is that of a topic where streams were to be watched under it, or the other way round.
    #[error(
        "`{name}` cannot be both a topic that is optimized and the name of streams that are watched: \
         watch these under another name"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The stream is watched already.
    #[error(
        "the stream cannot be watched as `{name}`: it is watched already, and can be once; watch each \
         stream where it is made"
    )]
    Watched {
        /// The name that was asked for.
        name: String,
    },
    /// A topic cannot be optimized into itself, by way of others neither.
    #[error(
        "topic `{}` cannot be optimized into `{}`: what comes out would go in again, by {}; name \
         another topic for what comes out", path[0], path[1], path.join(" → ")
    )]
    Loop {
        /// The topics of the loop in the order of the arrows; the first is also the last.
        path: Vec<String>,
    },
    /// A buffer that may not overflow has.
    #[error(
        "a buffer of {size} items has overflowed: its source is faster than its consumer; take \
         items sooner, give it more room, or say what may be lost (`on_overflow`)"
    )]
    Overflow {
        /// How many items it has room for.
        size: usize,
    },
    /// The bus did not open the topic.
    #[error(transparent)]
    Bus(#[from] BusError),
}
