//! The bus: an object-safe trait that opens topics, and the typed handles built on it.

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;

use crate::link::{Link, LinkError};
use crate::pattern::{AnySource, Inbox, TypedSource, source_of_frames};
use crate::topic::{Codec, DEFAULT_CAPACITY, name_fault};
use crate::{
    BusError, Description, Event, Log, Overflow, Pattern, PatternOptions, PatternSubscriber,
    Publisher, SubscribeOptions, Subscriber, Topic, TopicStats, Watch, Watching,
};

/// A bus: topics by name.
///
/// Object-safe, so that a part of a program takes `&dyn Bus` or `Arc<dyn Bus>` and does not care
/// which bus it is; a publish through handles opened so costs what the log itself costs. Users
/// call [`BusExt`]; who writes a bus implements this.
pub trait Bus: Send + Sync {
    /// Opens a topic: the first opening makes it, and later ones must agree with the first.
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    fn open(&self, topic: &Opening<'_>) -> Result<Port, BusError>;

    /// Subscribes a pattern to all topics that match it, now and later: see
    /// [`Watchers`](crate::Watchers), which does that for who writes a bus.
    ///
    /// # Errors
    ///
    /// [`BusError::Link`] where a link takes no subscriber.
    fn watch(&self, watch: Watch) -> Result<Watching, BusError>;

    /// What every topic has counted, by name.
    fn stats(&self) -> Vec<TopicStats>;

    /// Shuts the entrance of every topic, now and for good. Subscribers still get what has been
    /// accepted, and then `None`.
    fn close(&self);

    /// [`close`](Self::close)s the bus and waits until every subscriber has got everything, at
    /// most for `deadline`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the bus is closed and nothing is lost.
    fn drain(&self, deadline: Duration) -> BoxFuture<'_, Drained>;
}

/// What came of a drain: what was delivered, and what was left.
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

/// What a bus is told of a topic that it is to open: its name, and (privately) its type.
pub struct Opening<'a> {
    name: &'a str,
    capacity: Option<NonZeroUsize>,
    retain: Option<usize>,
    type_id: TypeId,
    type_name: &'static str,
    bytes: bool,
    place: &'static Location<'static>,
    maker: &'a dyn MakeLog,
}

impl<'a> Opening<'a> {
    fn new<E: Event>(topic: &'a Topic<E>, place: &'static Location<'static>) -> Self {
        Self {
            name: topic.name(),
            capacity: topic.stated_capacity(),
            retain: topic.stated_retain(),
            type_id: TypeId::of::<E>(),
            type_name: type_name::<E>(),
            bytes: topic.codec().is_some(),
            place,
            maker: topic,
        }
    }

    /// The topic's name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The name of its events' type, for people.
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }

    /// The capacity that the topic states, or else [`DEFAULT_CAPACITY`].
    pub fn capacity(&self) -> usize {
        self.capacity.map_or(DEFAULT_CAPACITY, NonZeroUsize::get)
    }

    /// How many of its last events the topic keeps; none unless it states it.
    pub fn retain(&self) -> usize {
        self.retain.unwrap_or(0)
    }

    /// Where it is being opened.
    pub fn place(&self) -> &'static Location<'static> {
        self.place
    }

    /// Whether its events can become bytes.
    pub fn crosses_processes(&self) -> bool {
        self.bytes
    }

    /// A new log of the topic's type, for a bus that keeps its topics in this process.
    pub fn make_log(&self) -> AnyLog {
        AnyLog {
            log: self.maker.make_log(self.capacity(), self.retain()),
            type_id: self.type_id,
            type_name: self.type_name,
            capacity: self.capacity(),
            retain: self.retain(),
            place: self.place,
        }
    }
}

impl fmt::Debug for Opening<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Opening")
            .field("name", &self.name)
            .field("type_name", &self.type_name)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// A log of which only the bus's handles know the type.
#[derive(Clone)]
pub struct AnyLog {
    log: Arc<dyn ErasedLog>,
    type_id: TypeId,
    type_name: &'static str,
    capacity: usize,
    retain: usize,
    place: &'static Location<'static>,
}

impl AnyLog {
    /// Checks that a later opening asks for the same topic as the first.
    ///
    /// # Errors
    ///
    /// [`BusError::TypeConflict`] or [`BusError::OptionConflict`], with both places.
    pub fn check(&self, topic: &Opening<'_>) -> Result<(), BusError> {
        if topic.type_id != self.type_id {
            return Err(self.type_conflict(topic));
        }
        let capacity = topic.capacity.map(NonZeroUsize::get);
        let options = [
            ("capacity", self.capacity, capacity),
            ("retain", self.retain, topic.retain),
        ];
        for (option, opened, asked) in options {
            if let Some(asked) = asked
                && asked != opened
            {
                return Err(BusError::OptionConflict {
                    topic: topic.name.to_owned(),
                    option,
                    opened,
                    opened_at: self.place,
                    asked,
                    asked_at: topic.place,
                });
            }
        }
        Ok(())
    }

    /// What the log has counted.
    pub fn stats(&self) -> TopicStats {
        self.log.stats()
    }

    /// Shuts its entrance.
    pub fn close(&self) {
        self.log.close();
    }

    /// Resolves once every subscriber has got everything.
    pub fn drained(&self) -> BoxFuture<'_, ()> {
        self.log.drained()
    }

    fn typed<E: Event>(&self, topic: &Opening<'_>) -> Result<Log<E>, BusError> {
        let log: &dyn Any = &*self.log;
        match log.downcast_ref::<TypedLog<E>>() {
            Some(typed) => Ok(typed.log.clone()),
            None => Err(self.type_conflict(topic)),
        }
    }

    fn type_conflict(&self, topic: &Opening<'_>) -> BusError {
        BusError::TypeConflict {
            topic: topic.name.to_owned(),
            opened: self.type_name,
            opened_at: self.place,
            asked: topic.type_name,
            asked_at: topic.place,
        }
    }
}

impl fmt::Debug for AnyLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AnyLog")
            .field("type_name", &self.type_name)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Makes logs of a type that only this knows.
trait MakeLog: Send + Sync {
    fn make_log(&self, capacity: usize, retain: usize) -> Arc<dyn ErasedLog>;
}

impl<E: Event> MakeLog for Topic<E> {
    fn make_log(&self, capacity: usize, retain: usize) -> Arc<dyn ErasedLog> {
        Arc::new(TypedLog {
            log: Log::<E>::retaining(self.name(), capacity, retain),
            codec: self.codec(),
        })
    }
}

/// A log, and how its events become bytes, if they can.
struct TypedLog<E> {
    log: Log<E>,
    codec: Option<Codec<E>>,
}

trait ErasedLog: Any + Send + Sync {
    fn stats(&self) -> TopicStats;
    fn close(&self);
    fn drained(&self) -> BoxFuture<'_, ()>;
    fn subscribe_any(
        &self,
        overflow: Overflow,
        name: Arc<str>,
        place: &'static Location<'static>,
    ) -> Box<dyn AnySource>;
}

impl<E: Event> ErasedLog for TypedLog<E> {
    fn stats(&self) -> TopicStats {
        self.log.stats()
    }

    fn close(&self) {
        self.log.close();
    }

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.log.drained())
    }

    fn subscribe_any(
        &self,
        overflow: Overflow,
        name: Arc<str>,
        place: &'static Location<'static>,
    ) -> Box<dyn AnySource> {
        let options = SubscribeOptions::from(overflow).named(name);
        Box::new(TypedSource {
            subscriber: self.log.subscribe_at(&options, place),
            codec: self.codec,
        })
    }
}

/// What a bus opens: a log in this process, or a link that moves bytes.
#[derive(Clone)]
pub enum Port {
    /// A log, made by [`Opening::make_log`].
    Log(AnyLog),
    /// A link.
    Link(Arc<dyn Link>),
}

impl Port {
    /// A subscriber to the topic, of whose type nothing is known.
    pub(crate) fn subscribe_any(
        &self,
        topic: &str,
        overflow: Overflow,
        name: Arc<str>,
        place: &'static Location<'static>,
    ) -> Result<Box<dyn AnySource>, BusError> {
        match self {
            Self::Log(log) => Ok(log.log.subscribe_any(overflow, name, place)),
            Self::Link(link) => {
                let options = SubscribeOptions::from(overflow).named(name);
                let frames = link.subscribe(options);
                let frames = frames.map_err(|error| link_error(topic, error))?;
                Ok(source_of_frames(topic, frames))
            }
        }
    }
}

fn link_error(topic: &str, source: LinkError) -> BusError {
    BusError::Link {
        topic: topic.to_owned(),
        source: source.into(),
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(log) => log.fmt(formatter),
            Self::Link(_) => formatter.write_str("Link"),
        }
    }
}

/// Typed handles on any bus.
pub trait BusExt: Bus {
    /// A publisher to a topic. Resolve it once, publish many times.
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    #[track_caller]
    fn publisher<E: Event>(&self, topic: &Topic<E>) -> Result<Publisher<E>, BusError> {
        Ok(match open(self, topic, Location::caller())? {
            Opened::Log(log) => Publisher::to_log(log.enter(Location::caller())),
            Opened::Link(link, codec) => Publisher::to_link(topic.name().into(), link, codec),
        })
    }

    /// A subscriber that loses nothing to what is published from now on.
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    #[track_caller]
    fn subscribe<E: Event>(&self, topic: &Topic<E>) -> Result<Subscriber<E>, BusError> {
        self.subscribe_with(topic, SubscribeOptions::default())
    }

    /// A subscriber that is told what to do when it falls behind, for one.
    ///
    /// # Errors
    ///
    /// See [`BusError`].
    #[track_caller]
    fn subscribe_with<E: Event>(
        &self,
        topic: &Topic<E>,
        options: impl Into<SubscribeOptions<E>>,
    ) -> Result<Subscriber<E>, BusError> {
        let (options, place) = (options.into(), Location::caller());
        match open(self, topic, place)? {
            Opened::Log(log) => Ok(log.subscribe_at(&options, place)),
            Opened::Link(link, codec) => match link.subscribe(options.on_frames(codec)) {
                Ok(frames) => Ok(Subscriber::of_link(topic.name().into(), frames, codec)),
                Err(error) => Err(link_error(topic.name(), error)),
            },
        }
    }

    /// A subscriber to all topics whose names match a [`Pattern`], those that there are and those
    /// that are opened later. Their events may be of any type.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use coord_bus::{BusExt, LocalBus, Overflow, Topic};
    ///
    /// const EXITS: Topic<i32> = Topic::new("process.exit");
    ///
    /// let bus = LocalBus::new();
    /// let mut processes = bus.subscribe_pattern("process.>", Overflow::Block)?;
    /// bus.publisher(&EXITS)?.publish(7).await?; // a topic that was not there before
    ///
    /// let event = processes.recv().await.unwrap();
    /// assert_eq!(event.topic(), "process.exit");
    /// assert_eq!(event.to_json()?, b"7");
    /// assert_eq!(event.downcast_ref::<i32>(), Some(&7));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`BusError::InvalidPattern`], and [`BusError::Link`] where a link takes no subscriber.
    #[track_caller]
    fn subscribe_pattern(
        &self,
        pattern: impl AsRef<str>,
        options: impl Into<PatternOptions>,
    ) -> Result<PatternSubscriber, BusError> {
        let pattern = Pattern::new(pattern.as_ref())?;
        let inbox = Inbox::new(pattern, options.into(), Location::caller());
        let inbox = Arc::new(inbox);
        let watching = self.watch(Watch::of(&inbox))?;
        Ok(PatternSubscriber::new(inbox, watching))
    }

    /// Who publishes what to whom on this bus now, to be read, drawn or kept.
    fn describe(&self) -> Description {
        Description {
            topics: self.stats(),
        }
    }
}

impl<B: Bus + ?Sized> BusExt for B {}

enum Opened<E> {
    Log(Log<E>),
    Link(Arc<dyn Link>, Codec<E>),
}

fn open<B: Bus + ?Sized, E: Event>(
    bus: &B,
    topic: &Topic<E>,
    place: &'static Location<'static>,
) -> Result<Opened<E>, BusError> {
    if let Some(fault) = name_fault(topic.name()) {
        return Err(BusError::InvalidName {
            name: topic.name().to_owned(),
            fault,
        });
    }
    let opening = Opening::new(topic, place);
    match bus.open(&opening)? {
        Port::Log(log) => log.typed(&opening).map(Opened::Log),
        Port::Link(link) => match topic.codec() {
            Some(codec) => Ok(Opened::Link(link, codec)),
            None => Err(BusError::InProcessOnly {
                topic: topic.name().to_owned(),
                event: opening.type_name,
            }),
        },
    }
}
