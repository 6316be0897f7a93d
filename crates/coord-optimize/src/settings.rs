//! The settings of a topic: [`Settings`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::vocabulary::ProcessOutput;

use crate::{DEFAULT_BUFFER_SIZE, DEFAULT_KEYS, MAX_BUFFER_SIZE, MAX_PERIOD, OptimizeError, Rate};

/// Asks something of an event, of any thread.
type Asks<E, Answer> = Arc<dyn Fn(&E) -> Answer + Send + Sync>;
type Compares<E> = Arc<dyn Fn(&E, &E) -> bool + Send + Sync>;
type Names<E> = Arc<dyn for<'a> Fn(&'a E) -> &'a str + Send + Sync>;

/// How a topic's events become batches: [`EventStreamOptimizer::configure`].
///
/// An event goes this way: is it [relevant](Self::relevant), and [young enough](Self::max_age)? Has
/// there been a [silence](Self::debounce) after it? Is it another than the [last](Self::drop_repeats)?
/// Does it take the [place](Self::merge_by) of another in the batch? A batch comes out when it has
/// [`enough`](Self::enough) events, or as many as it may ([`buffer_size`](Self::buffer_size)), or
/// [`within`](Self::within) a time of its first, and no more often than the [rate](Self::rate_limit)
/// allows.
///
/// By default all of that is off, and a batch is what is ready, at most [`DEFAULT_BUFFER_SIZE`].
///
/// ```
/// use std::time::Duration;
/// use coord_optimize::{Settings, per_second};
///
/// struct Update { component: String, text: String }
///
/// let settings = Settings::<Update>::new()
///     .merge_by(|update| &update.component)
///     .relevant(|update| !update.text.is_empty())
///     .rate_limit(per_second(60));
/// ```
///
/// [`EventStreamOptimizer::configure`]: crate::EventStreamOptimizer::configure
pub struct Settings<E> {
    pub(crate) buffer_size: usize,
    pub(crate) enough: Option<usize>,
    pub(crate) within: Duration,
    pub(crate) rate: Option<Rate>,
    pub(crate) debounce: Option<Duration>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) age: Option<Asks<E, Duration>>,
    pub(crate) relevant: Option<Asks<E, bool>>,
    pub(crate) same: Option<Compares<E>>,
    pub(crate) key: Option<Names<E>>,
}

impl<E> Settings<E> {
    /// The default settings.
    pub fn new() -> Self {
        Self {
            buffer_size: DEFAULT_BUFFER_SIZE,
            enough: None,
            within: Duration::ZERO,
            rate: None,
            debounce: None,
            max_age: None,
            age: None,
            relevant: None,
            same: None,
            key: None,
        }
    }

    /// For commands that a person types: 50 ms of silence, and no command twice in a row.
    pub fn cli() -> Self
    where
        E: PartialEq + 'static,
    {
        Self::new()
            .debounce(Duration::from_millis(50))
            .drop_repeats()
    }

    /// For a screen: of each component the newest, when there are ten of them, or after 16 ms, and a
    /// batch every 16 ms at most, which are 62.5 a second.
    ///
    /// So both hold, however many components there are: a batch that has ten waits for its turn alone,
    /// and what comes meanwhile is merged into it, of other components too. Only one of
    /// [`DEFAULT_KEYS`] components takes nothing more, and makes publishers wait for its turn.
    pub fn ui(component: impl Fn(&E) -> &str + Send + Sync + 'static) -> Self {
        let frame = Duration::from_millis(16);
        Self::new()
            .merge_by(component)
            .enough(10)
            .within(frame)
            .rate_limit(Rate::every(frame))
            .buffer_size(DEFAULT_KEYS)
    }

    /// The most events in one batch: from 1 to [`MAX_BUFFER_SIZE`].
    pub fn buffer_size(mut self, events: usize) -> Self {
        self.buffer_size = events;
        self
    }

    /// A batch of so many events waits no longer for more, as it would [`within`](Self::within) a
    /// time. If it has to wait for its turn, it still takes more, up to its size. By default only one
    /// of its full size waits no longer.
    pub fn enough(mut self, events: usize) -> Self {
        self.enough = Some(events);
        self
    }

    /// How long a batch waits for more after its first event. By default it does not wait.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// How many batches each stream gives out at most; by default there is no limit.
    pub fn rate_limit(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.rate = rate.into();
        self
    }

    /// Only the last event before each silence of this length; the others are dropped. By default, and
    /// with `None`, no silence is waited for.
    pub fn debounce(mut self, silence: impl Into<Option<Duration>>) -> Self {
        self.debounce = silence.into();
        self
    }

    /// No event that equals the one before it.
    pub fn drop_repeats(mut self) -> Self
    where
        E: PartialEq + 'static,
    {
        self.same = Some(Arc::new(E::eq));
        self
    }

    /// In a batch, of all events with the same key only the newest, in the place of the first.
    pub fn merge_by(mut self, key: impl Fn(&E) -> &str + Send + Sync + 'static) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// Only events that this says are relevant.
    pub fn relevant(mut self, relevant: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.relevant = Some(Arc::new(relevant));
        self
    }

    /// No event that is older than this when it is taken from the topic; `age` says how old one is.
    pub fn max_age(
        mut self,
        limit: Duration,
        age: impl Fn(&E) -> Duration + Send + Sync + 'static,
    ) -> Self {
        self.max_age = Some(limit);
        self.age = Some(Arc::new(age));
        self
    }

    /// The least time from one batch to the next.
    pub(crate) fn period(&self) -> Duration {
        self.rate.map_or(Duration::ZERO, Rate::period)
    }

    pub(crate) fn check(&self, topic: &str) -> Result<(), OptimizeError> {
        let topic = || topic.to_owned();
        if !(1..=MAX_BUFFER_SIZE).contains(&self.buffer_size) {
            let (topic, size) = (topic(), self.buffer_size);
            return Err(OptimizeError::BufferSize { topic, size });
        }
        if self.enough == Some(0) {
            let topic = topic();
            return Err(OptimizeError::Enough { topic });
        }
        let out_of_range = |time: Duration| time.is_zero() || time > MAX_PERIOD;
        if let Some(rate) = self.rate
            && out_of_range(rate.period())
        {
            let topic = topic();
            return Err(OptimizeError::RateLimit { topic, rate });
        }
        let times = [
            // Of a batch alone zero is a time: it does not wait.
            ("within", Some(self.within).filter(|time| !time.is_zero())),
            ("debounce", self.debounce),
            ("max_age", self.max_age),
        ];
        for (setting, time) in times {
            if let Some(time) = time
                && out_of_range(time)
            {
                let topic = topic();
                return Err(OptimizeError::Time {
                    topic,
                    setting,
                    time,
                });
            }
        }
        Ok(())
    }
}

impl Settings<ProcessOutput> {
    /// For what processes print: 100 lines or 100 ms.
    pub fn process_output() -> Self {
        Self::new()
            .buffer_size(100)
            .within(Duration::from_millis(100))
    }
}

impl<E> Default for Settings<E> {
    fn default() -> Self {
        Self::new()
    }
}

// By hand, so that it asks nothing of events.
impl<E> Clone for Settings<E> {
    fn clone(&self) -> Self {
        Self {
            age: self.age.clone(),
            relevant: self.relevant.clone(),
            same: self.same.clone(),
            key: self.key.clone(),
            ..*self
        }
    }
}

impl<E> fmt::Debug for Settings<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("buffer_size", &self.buffer_size)
            .field("enough", &self.enough)
            .field("within", &self.within)
            .field("rate", &self.rate)
            .field("debounce", &self.debounce)
            .field("drop_repeats", &self.same.is_some())
            .field("merged", &self.key.is_some())
            .field("filtered", &self.relevant.is_some())
            .field("max_age", &self.max_age)
            .finish()
    }
}
