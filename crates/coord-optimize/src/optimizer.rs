//! Settings for each topic of a bus, and the streams that follow them: [`EventStreamOptimizer`].

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coord_bus::time::Clock;
use coord_bus::vocabulary::{ERROR_DETECTED, STREAM_REPORT};
use coord_bus::{Bus, BusExt, Delivery, Event, TaskScope, Topic};

use crate::account::{Account, Follower};
use crate::ledger::LedgerHandle;
use crate::optimized::Desk;
use crate::pump::{Sink, pump};
use crate::routes::Routes;
use crate::telling::tell;
use crate::{
    Batches, Conflate, Conflated, MAX_PERIOD, OptimizeError, Optimized, Pace, Rate, Settings,
    StreamStats,
};

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
/// const STATUS: Topic<String> = Topic::new("status");
///
/// let bus = Arc::new(LocalBus::new());
/// let optimizer = EventStreamOptimizer::new(bus.clone());
/// optimizer.configure_buffer_size(&STATUS, 50)?;
/// optimizer.configure_rate_limit(&STATUS, per_second(60))?;
/// let mut frames = optimizer.subscribe(&STATUS)?;
///
/// let publisher = bus.publisher(&STATUS)?;
/// publisher.publish("building".to_owned()).await?;
/// publisher.publish("done".to_owned()).await?;
///
/// let frame = frames.next().await.unwrap();
/// assert_eq!(*frame[1], "done");
/// assert_eq!(optimizer.statistics()[0].ledger.given_out, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EventStreamOptimizer {
    bus: Arc<dyn Bus>,
    topics: Arc<Mutex<BTreeMap<Box<str>, Entry>>>,
    routes: Routes,
}

impl EventStreamOptimizer {
    /// An optimizer of the topics of this bus, all of them with the default settings.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self {
            bus,
            topics: Arc::default(),
            routes: Routes::default(),
        }
    }

    /// All settings of this topic at once, in the place of those that it had: made anew, or one of the
    /// presets, [`Settings::process_output`], [`Settings::cli`] and [`Settings::ui`].
    ///
    /// # Errors
    ///
    /// [`OptimizeError::BufferSize`], [`OptimizeError::Enough`], [`OptimizeError::RateLimit`] and
    /// [`OptimizeError::Time`] for what is out of range; [`OptimizeError::EventType`], [`OptimizeError::TooManyTopics`].
    pub fn configure<E: Event>(
        &self,
        topic: &Topic<E>,
        settings: Settings<E>,
    ) -> Result<(), OptimizeError> {
        self.update(topic, |_| settings)
    }

    /// Changes some settings of this topic, and leaves the others as they are. Of several changes at
    /// once none is lost: one waits for the other, so `change` is not to ask for settings itself.
    ///
    /// # Errors
    ///
    /// Those of [`configure`](Self::configure).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::{sync::Arc, time::Duration};
    /// # use coord_bus::{LocalBus, Topic};
    /// # use coord_optimize::{EventStreamOptimizer, Settings};
    /// # const COMMANDS: Topic<String> = Topic::new("commands");
    /// # let optimizer = EventStreamOptimizer::new(Arc::new(LocalBus::new()));
    /// optimizer.configure(&COMMANDS, Settings::cli())?;
    /// optimizer.update(&COMMANDS, |settings| settings.debounce(Duration::from_millis(200)))?;
    /// // Nothing comes twice in a row still.
    /// let settings = optimizer.settings(&COMMANDS)?;
    /// assert!(format!("{settings:?}").contains("debounce: Some(200ms), drop_repeats: true"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn update<E: Event>(
        &self,
        topic: &Topic<E>,
        change: impl FnOnce(Settings<E>) -> Settings<E>,
    ) -> Result<(), OptimizeError> {
        self.account(topic)?.update(|settings| {
            let settings = change(settings.clone());
            settings.check(topic.name())?;
            Ok(settings)
        })
    }

    /// The settings that this topic has: to show them, or to [configure](Self::configure) them again
    /// after others.
    ///
    /// # Errors
    ///
    /// [`OptimizeError::EventType`], [`OptimizeError::TooManyTopics`].
    pub fn settings<E: Event>(&self, topic: &Topic<E>) -> Result<Settings<E>, OptimizeError> {
        let settings = Arc::clone(&self.account(topic)?.settings());
        Ok((*settings).clone())
    }

    /// The most events in one batch of this topic: [`DEFAULT_BUFFER_SIZE`] by default. A batch that
    /// has begun keeps the size that it began with.
    ///
    /// # Errors
    ///
    /// [`OptimizeError::BufferSize`] unless the size is from 1 to [`MAX_BUFFER_SIZE`];
    /// [`OptimizeError::EventType`], [`OptimizeError::TooManyTopics`].
    pub fn configure_buffer_size<E: Event>(
        &self,
        topic: &Topic<E>,
        size: usize,
    ) -> Result<(), OptimizeError> {
        self.update(topic, |settings| settings.buffer_size(size))
    }

    /// How many batches or states of this topic each stream gives out at most; `None`, the
    /// default, for no limit. A stream that waits for its turn waits as long as it was to when it
    /// gave out the one before.
    ///
    /// # Errors
    ///
    /// [`OptimizeError::RateLimit`] unless the rate's period is above 0 and at most
    /// [`MAX_PERIOD`](crate::MAX_PERIOD);
    /// [`OptimizeError::EventType`], [`OptimizeError::TooManyTopics`].
    pub fn configure_rate_limit<E: Event>(
        &self,
        topic: &Topic<E>,
        rate: impl Into<Option<Rate>>,
    ) -> Result<(), OptimizeError> {
        let rate = rate.into();
        self.update(topic, |settings| settings.rate_limit(rate))
    }

    /// What is published to a topic from now on, in batches. See [`Pace`](crate::Pace).
    ///
    /// It loses nothing, and so holds publishers up when it is full. For one that drops, or that has a
    /// filter or a name, take `bus.subscribe_with(…)` and the operators of
    /// [`OptimizeExt`](crate::OptimizeExt), and [`watch`](Self::watch) them.
    ///
    /// # Errors
    ///
    /// [`OptimizeError::Bus`], [`OptimizeError::EventType`], [`OptimizeError::TooManyTopics`].
    #[track_caller]
    pub fn subscribe<E: Event>(&self, topic: &Topic<E>) -> Result<Batches<E>, OptimizeError> {
        let source = self.bus.subscribe(topic)?;
        let account = self.account(topic)?;
        let desk = Desk::of(account.ledger.clone());
        let pace = Pace::new(Follower::new(account));
        Ok(Optimized::at(source, pace, desk))
    }

    /// What is published to a topic from now on, merged into states: `seed` makes a state of an
    /// event, and `merge` adds the next ones to it. See [`Conflated`].
    ///
    /// # Errors
    ///
    /// [`OptimizeError::Bus`], [`OptimizeError::EventType`], [`OptimizeError::TooManyTopics`].
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
        let account = self.account(topic)?;
        let desk = Desk::of(account.ledger.clone());
        let states = Optimized::at(source, Conflate::new(seed, merge), desk);
        Ok(Conflated::new(states, Follower::new(account)))
    }

    /// Publishes to another topic what [`subscribe`](Self::subscribe) gives of the first, event by
    /// event: so those who subscribe there need not know of any of this.
    ///
    /// A task of the given scope does it, named `optimize FROM into TO`. It ends when either topic is
    /// closed, or with its scope; shut down, it publishes first what has been published to it by
    /// then. A full topic makes it wait, and so those who publish to the first.
    ///
    /// What was said of an event goes on with it: its time, source, correlation and headers, and it is
    /// the cause of the one that is published. An event that cannot be sent, as it cannot be encoded or
    /// its `clone` panics, is told to `error-detected`, and the next one goes on.
    ///
    /// # Errors
    ///
    /// [`OptimizeError::Loop`] where both are one, or where the second is optimized into the first, by
    /// way of others too, for as long as those tasks run: those of this optimizer and of its clones,
    /// as it knows no other. [`OptimizeError::Bus`], [`OptimizeError::EventType`],
    /// [`OptimizeError::TooManyTopics`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[track_caller]
    pub fn optimize_into<E: Event + Clone>(
        &self,
        from: &Topic<E>,
        to: &Topic<E>,
        scope: &TaskScope,
    ) -> Result<(), OptimizeError> {
        let route = self.routes.add(from.name(), to.name());
        let route = route.map_err(|path| OptimizeError::Loop { path })?;
        let sink = Sink {
            events: self.bus.publisher(to)?,
            errors: self.bus.publisher(&ERROR_DETECTED)?,
        };
        let batches = self.subscribe(from)?;
        let name = format!("optimize {} into {}", from.name(), to.name());
        let stopped = scope.token().cancelled_owned();
        scope.spawn(name, pump(batches, sink, stopped, route));
        Ok(())
    }

    /// Counts under this name what becomes of the items of any operator, on whatever stream: in
    /// [`statistics`](Self::statistics) and in the reports of [`report_every`](Self::report_every),
    /// from its first item on. Streams of one name are added up, also those that are gone, as those
    /// of a topic are. A name is kept as long as the optimizer is. A stream of a topic may be watched
    /// too, and counts there as well.
    ///
    /// # Errors
    ///
    /// [`OptimizeError::NameTaken`] where the name is that of a topic which was configured or
    /// subscribed to, and [`OptimizeError::Watched`] where the stream is watched already;
    /// [`OptimizeError::TooManyTopics`], to which names count.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::sync::Arc;
    /// # use coord_bus::LocalBus;
    /// use coord_optimize::{EventStreamOptimizer, OptimizeExt};
    /// use tokio_stream::{StreamExt, iter};
    ///
    /// let optimizer = EventStreamOptimizer::new(Arc::new(LocalBus::new()));
    /// let mut changes = iter([1, 1, 2]).distinct_until_changed();
    /// optimizer.watch("changes", &changes.ledger_handle())?;
    ///
    /// while changes.next().await.is_some() {}
    /// let stream = &optimizer.statistics()[0];
    /// assert_eq!((&*stream.topic, stream.ledger.dropped.repeated), ("changes", 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self, name: &str, stream: &LedgerHandle) -> Result<(), OptimizeError> {
        let mut topics = self.topics();
        let known = topics.get(name);
        if known.is_some_and(|entry| entry.topic.is_some()) {
            let name = name.to_owned();
            return Err(OptimizeError::NameTaken { name });
        }
        if known.is_none() && topics.len() >= MAX_TOPICS {
            let topic = name.to_owned();
            return Err(OptimizeError::TooManyTopics { topic });
        }
        let sum = known.map_or_else(LedgerHandle::default, |entry| entry.ledger.clone());
        if !stream.add_to(&sum) {
            let name = name.to_owned();
            return Err(OptimizeError::Watched { name });
        }
        let entry = Entry {
            ledger: sum,
            topic: None,
        };
        topics.entry(name.into()).or_insert(entry);
        Ok(())
    }

    /// What became of the events of each topic that was configured or subscribed to, and of the items
    /// of each stream that is [watched](Self::watch), by name. Streams count once a poll, so these are exact
    /// whenever none is being polled.
    pub fn statistics(&self) -> Vec<StreamStats> {
        let topics = self.topics();
        let stats = topics.iter().map(|(topic, entry)| StreamStats {
            topic: topic.to_string(),
            ledger: entry.ledger.ledger(),
        });
        stats.collect()
    }

    /// Publishes to `stream-report`, in each of these intervals, what became of the events of each
    /// topic since the report before, with the time of this clock. Where nothing moved there is none.
    ///
    /// They never pile up: one waits for its slowest lossless reader at most. As long as it does, none
    /// is made, and the next one is of all the time since then. One tells of at most
    /// [`MAX_REPORTED`](crate::MAX_REPORTED) topics.
    ///
    /// A task of the given scope does it, named `report streams`, until that topic is closed, or with
    /// its scope.
    ///
    /// # Errors
    ///
    /// [`OptimizeError::Interval`] unless the interval is above 0 and at most [`MAX_PERIOD`];
    /// [`OptimizeError::Bus`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::{sync::Arc, time::Duration};
    /// # use coord_bus::{BusExt, LocalBus, TaskScope, Topic, time::SystemClock, vocabulary::STREAM_REPORT};
    /// # use coord_optimize::EventStreamOptimizer;
    /// # use tokio_stream::StreamExt;
    /// # const STATUS: Topic<String> = Topic::new("status");
    /// # let bus = Arc::new(LocalBus::new());
    /// # let optimizer = EventStreamOptimizer::new(bus.clone());
    /// let scope = TaskScope::new("streams");
    /// optimizer.report_every(Duration::from_secs(60), Arc::new(SystemClock), &scope)?;
    /// let mut reports = bus.subscribe(&STREAM_REPORT)?;
    ///
    /// let mut frames = optimizer.subscribe(&STATUS)?;
    /// bus.publisher(&STATUS)?.publish("done".to_owned()).await?;
    /// frames.next().await;
    /// let report = reports.recv().await.unwrap();
    /// assert_eq!(report.streams[0].given_out, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn report_every(
        &self,
        interval: Duration,
        clock: Arc<dyn Clock>,
        scope: &TaskScope,
    ) -> Result<(), OptimizeError> {
        if interval.is_zero() || interval > MAX_PERIOD {
            return Err(OptimizeError::Interval { interval });
        }
        let reports = self.bus.publisher(&STREAM_REPORT)?;
        let (stop, telling) = (scope.token(), tell(self.clone(), reports, interval, clock));
        scope.spawn("report streams", async move {
            stop.run_until_cancelled(telling).await;
        });
        Ok(())
    }

    fn account<E: Event>(&self, topic: &Topic<E>) -> Result<Arc<Account<E>>, OptimizeError> {
        let mut topics = self.topics();
        if let Some(entry) = topics.get(topic.name()) {
            let Some(known) = &entry.topic else {
                let name = topic.name().to_owned();
                return Err(OptimizeError::NameTaken { name });
            };
            let account = Arc::clone(&known.account).downcast();
            return account.map_err(|_| OptimizeError::EventType {
                topic: topic.name().to_owned(),
                event: type_name::<E>(),
                known: known.event,
            });
        }
        if topics.len() >= MAX_TOPICS {
            let topic = topic.name().to_owned();
            return Err(OptimizeError::TooManyTopics { topic });
        }
        let ledger = LedgerHandle::default();
        let account = Arc::new(Account::<E>::new(ledger.clone()));
        let known = KnownTopic {
            account: account.clone(),
            event: type_name::<E>(),
        };
        let entry = Entry {
            ledger,
            topic: Some(known),
        };
        topics.insert(topic.name().into(), entry);
        Ok(account)
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Entry>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known under a name.
struct Entry {
    ledger: LedgerHandle,
    /// `None` where streams are watched under the name.
    topic: Option<KnownTopic>,
}

/// What is known of a topic, whatever its events.
struct KnownTopic {
    /// An `Account<E>`.
    account: Arc<dyn Any + Send + Sync>,
    event: &'static str,
}

impl fmt::Debug for EventStreamOptimizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventStreamOptimizer")
            .field("topics", &self.topics().keys())
            .finish_non_exhaustive()
    }
}
