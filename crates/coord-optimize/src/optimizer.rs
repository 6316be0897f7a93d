//! Settings for each topic of a bus, and the streams that follow them: [`EventStreamOptimizer`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coord_bus::{Bus, BusExt, Delivery, Event, Topic};

use crate::account::{Account, Tally};
use crate::{Batches, Conflated, MAX_PERIOD, OptimizeError, Rate, StreamStats};

/// The most events in a batch where nothing else is said.
pub const DEFAULT_BUFFER_SIZE: usize = 100;

/// The largest buffer that can be asked for: an event an entry, it is memory that is really used.
pub const MAX_BUFFER_SIZE: usize = 65_536;

/// The most topics that one optimizer keeps settings for: as many as a bus in one process may have.
pub const MAX_TOPICS: usize = 65_536;

/// Subscribes to topics of a bus in batches or in merged states, by settings that each topic has.
///
/// Settings may change at any time; streams that run follow them from their next batch on. Cheap
/// to clone; clones share settings and counts.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use coord_bus::{BusExt, LocalBus, Topic};
/// use coord_optimize::{EventStreamOptimizer, per_second};
/// use tokio_stream::StreamExt;
///
/// const UI_UPDATE: Topic<String> = Topic::new("ui-update");
///
/// let bus = Arc::new(LocalBus::new());
/// let optimizer = EventStreamOptimizer::new(bus.clone());
/// optimizer.configure_buffer_size(&UI_UPDATE, 50)?;
/// optimizer.configure_rate_limit(&UI_UPDATE, per_second(60))?;
/// let mut frames = optimizer.subscribe(&UI_UPDATE)?;
///
/// let publisher = bus.publisher(&UI_UPDATE)?;
/// publisher.publish("building".to_owned()).await?;
/// publisher.publish("done".to_owned()).await?;
///
/// let frame = frames.next().await.unwrap();
/// assert_eq!(*frame[1], "done");
/// assert_eq!(optimizer.statistics()[0].given_out, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EventStreamOptimizer {
    bus: Arc<dyn Bus>,
    topics: Arc<Mutex<BTreeMap<Box<str>, Arc<Account>>>>,
}

impl EventStreamOptimizer {
    /// An optimizer of the topics of this bus, all of them with the default settings.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self {
            bus,
            topics: Arc::default(),
        }
    }

    /// The most events in one batch of this topic: [`DEFAULT_BUFFER_SIZE`] by default. A batch that
    /// has begun keeps the size that it began with.
    ///
    /// # Errors
    ///
    /// [`OptimizeError::BufferSize`] unless the size is from 1 to [`MAX_BUFFER_SIZE`];
    /// [`OptimizeError::TooManyTopics`].
    pub fn configure_buffer_size<E: Event>(
        &self,
        topic: &Topic<E>,
        size: usize,
    ) -> Result<(), OptimizeError> {
        if !(1..=MAX_BUFFER_SIZE).contains(&size) {
            let topic = topic.name().to_owned();
            return Err(OptimizeError::BufferSize { topic, size });
        }
        self.account(topic)?.set_buffer_size(size);
        Ok(())
    }

    /// How many batches or states of this topic each stream gives out at most; `None`, the
    /// default, for no limit. A stream that waits for its turn waits as long as it was to when it
    /// gave out the one before.
    ///
    /// # Errors
    ///
    /// [`OptimizeError::RateLimit`] unless the rate's period is above 0 and at most [`MAX_PERIOD`];
    /// [`OptimizeError::TooManyTopics`].
    pub fn configure_rate_limit<E: Event>(
        &self,
        topic: &Topic<E>,
        rate: impl Into<Option<Rate>>,
    ) -> Result<(), OptimizeError> {
        let period = match rate.into() {
            None => Duration::ZERO,
            Some(rate) if rate.period().is_zero() || rate.period() > MAX_PERIOD => {
                let topic = topic.name().to_owned();
                return Err(OptimizeError::RateLimit { topic, rate });
            }
            Some(rate) => rate.period(),
        };
        self.account(topic)?.set_period(period);
        Ok(())
    }

    /// What is published to a topic from now on, in batches. See [`Batches`].
    ///
    /// # Errors
    ///
    /// [`OptimizeError::Bus`], [`OptimizeError::TooManyTopics`].
    #[track_caller]
    pub fn subscribe<E: Event>(&self, topic: &Topic<E>) -> Result<Batches<E>, OptimizeError> {
        let source = self.bus.subscribe(topic)?;
        Ok(Batches::new(source, Tally::new(self.account(topic)?)))
    }

    /// What is published to a topic from now on, merged into states: `seed` makes a state of an
    /// event, and `merge` adds the next ones to it. See [`Conflated`].
    ///
    /// # Errors
    ///
    /// [`OptimizeError::Bus`], [`OptimizeError::TooManyTopics`].
    #[track_caller]
    pub fn conflate<E, A, F, M>(
        &self,
        topic: &Topic<E>,
        seed: F,
        merge: M,
    ) -> Result<Conflated<E, A, F, M>, OptimizeError>
    where
        E: Event,
        F: FnMut(Delivery<E>) -> A,
        M: FnMut(&mut A, Delivery<E>),
    {
        let source = self.bus.subscribe(topic)?;
        let tally = Tally::new(self.account(topic)?);
        Ok(Conflated::new(source, seed, merge, tally))
    }

    /// What became of the events of each topic that was configured or subscribed to, by name.
    /// Streams count once a poll, so these are exact whenever none is being polled.
    pub fn statistics(&self) -> Vec<StreamStats> {
        let topics = self.topics();
        topics
            .iter()
            .map(|(topic, account)| account.stats(topic))
            .collect()
    }

    fn account<E: Event>(&self, topic: &Topic<E>) -> Result<Arc<Account>, OptimizeError> {
        let mut topics = self.topics();
        if let Some(account) = topics.get(topic.name()) {
            return Ok(Arc::clone(account));
        }
        if topics.len() >= MAX_TOPICS {
            let topic = topic.name().to_owned();
            return Err(OptimizeError::TooManyTopics { topic });
        }
        let account = Arc::<Account>::default();
        topics.insert(topic.name().into(), Arc::clone(&account));
        Ok(account)
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Arc<Account>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for EventStreamOptimizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventStreamOptimizer")
            .field("topics", &self.topics().keys())
            .finish_non_exhaustive()
    }
}
