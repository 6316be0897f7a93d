//! The bus: an object-safe trait that opens topics, and the typed handles built on it.

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;

use crate::link::Link;
use crate::topic::{DEFAULT_CAPACITY, name_fault};
use crate::{BusError, Event, Log, Publisher, SubscribeOptions, Subscriber, Topic, TopicStats};

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
    make: fn(&str, usize, usize, usize) -> Arc<dyn ErasedLog>,
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
            make: |name, capacity, retain, keep| {
                Arc::new(Log::<E>::keeping(name, capacity, retain, keep))
            },
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
        self.make_log_keeping(0)
    }

    /// [`make_log`](Self::make_log), with at least the last `keep` events kept for who looks back.
    pub(crate) fn make_log_keeping(&self, keep: usize) -> AnyLog {
        AnyLog {
            log: (self.make)(self.name, self.capacity(), self.retain(), keep),
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
        match log.downcast_ref::<Log<E>>() {
            Some(log) => Ok(log.clone()),
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

trait ErasedLog: Any + Send + Sync {
    fn stats(&self) -> TopicStats;
    fn close(&self);
    fn drained(&self) -> BoxFuture<'_, ()>;
}

impl<E: Event> ErasedLog for Log<E> {
    fn stats(&self) -> TopicStats {
        Log::stats(self)
    }

    fn close(&self) {
        Log::close(self);
    }

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(Log::drained(self))
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
                Err(error) => Err(BusError::Link {
                    topic: topic.name().to_owned(),
                    source: error.into(),
                }),
            },
        }
    }
}

impl<B: Bus + ?Sized> BusExt for B {}

pub(crate) enum Opened<E> {
    Log(Log<E>),
    Link(Arc<dyn Link>, crate::topic::Codec<E>),
}

pub(crate) fn open<B: Bus + ?Sized, E: Event>(
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
