//! How the streams of a topic are batched: [`StreamSettings`].

use std::num::NonZeroU32;

use coord_bus::{Event, Topic};
use coord_optimize::{EventStreamOptimizer, OptimizeError, per_second};

/// How a topic's events become batches for who subscribes to it through the optimizer. Who
/// subscribes through the bus gets every event as it comes.
///
/// The rest of a topic's settings is for code:
/// [`configure`](coord_optimize::EventStreamOptimizer::configure).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamSettings {
    /// The most events in one batch: from 1 to [`MAX_BUFFER_SIZE`](coord_optimize::MAX_BUFFER_SIZE),
    /// or the module does not start.
    pub buffer_size: usize,
    /// How many batches a second each stream gives out at most; `None` for no limit.
    pub rate_limit: Option<NonZeroU32>,
}

impl StreamSettings {
    /// Batches of at most so many events, so many times a second; 0 times for no limit.
    pub const fn new(buffer_size: usize, rate_limit: u32) -> Self {
        Self {
            buffer_size,
            rate_limit: NonZeroU32::new(rate_limit),
        }
    }

    pub(crate) fn apply<E: Event>(
        self,
        optimizer: &EventStreamOptimizer,
        topic: &Topic<E>,
    ) -> Result<(), OptimizeError> {
        optimizer.configure_buffer_size(topic, self.buffer_size)?;
        let rate = self.rate_limit.map(|times| per_second(times.get()));
        optimizer.configure_rate_limit(topic, rate)
    }
}
