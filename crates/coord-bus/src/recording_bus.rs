//! A bus for tests of code that publishes: it remembers what was published, and waits for what is
//! expected.

use std::fmt;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::panic::Location;
use std::time::Duration;

use futures_core::future::BoxFuture;

use crate::bus::{Opened, open};
use crate::{
    Bus, BusError, Delivery, Drained, Event, LocalBus, Log, Opening, Port, Topic, TopicStats,
    Watch, Watching, text::shortened, time,
};

/// How many of the last events of each topic a [`RecordingBus`] remembers: more than a test can
/// mean, and little enough for hundreds of topics.
pub const MAX_RECORDED: usize = 10_000;

/// How long an expectation waits where nothing else is said. Where time is paused, that is no time.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many events a failure shows, the last ones, …
const SHOWN_MAX: usize = 20;

/// … and how many characters of each.
const SHOWN_CHARS_MAX: usize = 200;

/// A [`LocalBus`] that remembers what is published to it, for tests of code that publishes.
///
/// The code under test gets it as its `&dyn Bus`, and notices nothing: topics, subscribers, room
/// and counts are those of a `LocalBus`, with what each topic states. Beneath, the last
/// [`MAX_RECORDED`] events of each topic are kept for the test, so that it need not subscribe
/// before it begins; [`TopicStats::depth`] alone shows that. Clones are the same bus.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use coord_bus::{Bus, BusExt, RecordingBus, Topic};
///
/// const ORDERS: Topic<String> = Topic::new("orders");
///
/// async fn checkout(bus: &dyn Bus) -> Result<(), Box<dyn std::error::Error>> {
///     bus.publisher(&ORDERS)?.publish("tea".to_owned()).await?;
///     Ok(())
/// }
///
/// let recording = RecordingBus::new();
/// checkout(&recording).await?;
/// let order = recording.expect(&ORDERS, |order| order == "tea").await;
/// assert_eq!(order.meta().sequence(), 1);
/// assert_eq!(recording.published(&ORDERS).len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
///
/// # Failing
///
/// Assertions panic, with the place of the call in the test, what was waited for, and what was
/// published instead: as JSON, or for topics made with [`Topic::in_process`] by sequence and type.
#[derive(Clone)]
pub struct RecordingBus {
    bus: LocalBus,
    patience: Duration,
}

impl RecordingBus {
    /// A bus without topics, whose expectations wait 5 s.
    pub fn new() -> Self {
        Self {
            bus: LocalBus::keeping(MAX_RECORDED),
            patience: PATIENCE,
        }
    }

    /// The same bus, with expectations that wait this long.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What has been published to a topic until now, in its order: at most the last
    /// [`MAX_RECORDED`] events. Where earlier ones are missing, the [`lag`](Delivery::lag) of the
    /// first says how many.
    ///
    /// # Panics
    ///
    /// When the topic cannot be opened, such as with another type.
    #[track_caller]
    pub fn published<E: Event>(&self, topic: &Topic<E>) -> Vec<Delivery<E>> {
        self.log(topic, Location::caller()).kept_after(0)
    }

    /// The first event of a topic for which `matches` is true: one that was published before, or
    /// else one that is published soon enough.
    ///
    /// # Cancel safety
    ///
    /// Nothing changes when it is dropped.
    ///
    /// # Panics
    ///
    /// When there is none within the [`patience`](Self::patience), 5 s by default, or before the
    /// topic is closed; when the topic cannot be opened; when awaited where tokio has no timers.
    #[track_caller]
    pub fn expect<E: Event, F: FnMut(&E) -> bool>(
        &self,
        topic: &Topic<E>,
        mut matches: F,
    ) -> impl Future<Output = Delivery<E>> + use<E, F> {
        let place = Location::caller();
        let mut search = Search::of(self.log(topic, place), topic);
        let patience = self.patience;
        async move {
            let end = match time::timeout(patience, search.find(&mut matches)).await {
                Ok(Some(event)) => return event,
                Ok(None) => "before it was closed".to_owned(),
                Err(_) => format!("within {patience:?}"),
            };
            panic!(
                "at {place}: no such event was published to `{}` {end}; {search}",
                search.log.topic()
            );
        }
    }

    /// Makes sure that no event for which `matches` is true has been published to a topic, nor is
    /// within this time.
    ///
    /// # Cancel safety
    ///
    /// Nothing changes when it is dropped.
    ///
    /// # Panics
    ///
    /// When there is one; when so many events were published that some are not remembered, and so
    /// nobody can say; when the topic cannot be opened; when awaited where tokio has no timers.
    #[track_caller]
    pub fn expect_none<E: Event, F: FnMut(&E) -> bool>(
        &self,
        topic: &Topic<E>,
        within: Duration,
        mut matches: F,
    ) -> impl Future<Output = ()> + use<E, F> {
        let place = Location::caller();
        let mut search = Search::of(self.log(topic, place), topic);
        async move {
            // Late or closed: there is none.
            let found = time::timeout(within, search.find(&mut matches)).await;
            let topic = search.log.topic();
            if let Ok(Some(event)) = found {
                let event = search.show(&event);
                panic!(
                    "at {place}: an event was published to `{topic}` that was not to be: {event}"
                );
            }
            assert!(
                search.lost == 0,
                "at {place}: whether such an event was published to `{topic}` cannot be said; {search}"
            );
        }
    }

    #[track_caller]
    fn log<E: Event>(&self, topic: &Topic<E>, place: &'static Location<'static>) -> Log<E> {
        match open(self, topic, place) {
            Ok(Opened::Log(log)) => log,
            Ok(Opened::Link(..)) => unreachable!("a local bus has logs alone"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A look at all that a topic gets.
struct Search<E> {
    log: Log<E>,
    topic: Topic<E>,
    /// The sequence of the last event that was looked at.
    seen: u64,
    /// How many events were forgotten before they could be looked at.
    lost: u64,
}

impl<E: Event> Search<E> {
    fn of(log: Log<E>, topic: &Topic<E>) -> Self {
        Self {
            log,
            topic: topic.clone(),
            seen: 0,
            lost: 0,
        }
    }

    /// `None`: the topic is closed, and there was none.
    async fn find(&mut self, matches: &mut impl FnMut(&E) -> bool) -> Option<Delivery<E>> {
        loop {
            for event in self.log.kept_after(self.seen) {
                self.seen = event.meta().sequence();
                self.lost += event.lag();
                if matches(&event) {
                    return Some(event);
                }
            }
            let seen = self.seen;
            if !poll_fn(|cx| self.log.poll_after(seen, cx)).await {
                return None;
            }
        }
    }

    fn show(&self, event: &Delivery<E>) -> String {
        let codec = self.topic.codec();
        let json = codec.and_then(|codec| (codec.encode)(event).ok());
        let text = match &json {
            Some(json) => String::from_utf8_lossy(json),
            None => std::any::type_name::<E>().into(),
        };
        let shown = shortened(&text, SHOWN_CHARS_MAX);
        format!("#{} {shown}", event.meta().sequence())
    }
}

/// What was published, one event a line.
impl<E: Event> fmt::Display for Search<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.log.kept_after(0);
        if self.lost > 0 {
            write!(
                formatter,
                "the recording has lost its beginning ({} events: it keeps {MAX_RECORDED}); ",
                self.lost
            )?;
        }
        let count = self.log.stats().published;
        if count == 0 {
            return formatter.write_str("nothing was");
        }
        let skipped = kept.len().saturating_sub(SHOWN_MAX);
        write!(formatter, "{count} were")?;
        if skipped > 0 {
            write!(formatter, ", of which the last {SHOWN_MAX}")?;
        }
        formatter.write_char(':')?;
        for event in &kept[skipped..] {
            write!(formatter, "\n  {}", self.show(event))?;
        }
        Ok(())
    }
}

impl Bus for RecordingBus {
    fn open(&self, topic: &Opening<'_>) -> Result<Port, BusError> {
        self.bus.open(topic)
    }

    fn watch(&self, watch: Watch) -> Result<Watching, BusError> {
        self.bus.watch(watch)
    }

    fn stats(&self) -> Vec<TopicStats> {
        self.bus.stats()
    }

    fn for_each_stats(&self, show: &mut dyn FnMut(&TopicStats)) {
        self.bus.for_each_stats(show);
    }

    fn close(&self) {
        self.bus.close();
    }

    fn is_closed(&self) -> bool {
        self.bus.is_closed()
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, Drained> {
        self.bus.drain(deadline)
    }
}

impl Default for RecordingBus {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RecordingBus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecordingBus")
            .field("bus", &self.bus)
            .field("patience", &self.patience)
            .finish()
    }
}
