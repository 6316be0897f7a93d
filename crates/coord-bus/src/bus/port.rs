//! What a bus opens for a name: a log in this process, or a link; of which the handles alone know
//! the type.

use std::any::{Any, TypeId};
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::sync::Arc;

use futures_core::future::BoxFuture;

use super::Opening;
use crate::desk::{Desk, Door};
use crate::link::{EndpointLink, Link, LinkError};
use crate::pattern::{AnySource, Nothing, TypedSource, source_of_frames};
use crate::topic::Codec;
use crate::{BusError, Endpoint, Event, Log, Overflow, SubscribeOptions, Topic, TopicStats};

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
    pub(super) fn of(topic: &Opening<'_>, keep: usize) -> Self {
        Self {
            log: topic.maker.make_log(topic.capacity(), topic.retain(), keep),
            type_id: topic.type_id,
            type_name: topic.type_name,
            capacity: topic.capacity(),
            retain: topic.retain(),
            place: topic.place,
        }
    }

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
        let mut stats = TopicStats::empty();
        self.log.fill_stats(&mut stats);
        stats
    }

    /// The same in the place of other counts, with their memory.
    #[cfg(feature = "local")]
    pub(crate) fn fill_stats(&self, stats: &mut TopicStats) {
        self.log.fill_stats(stats);
    }

    /// Shuts its entrance.
    pub fn close(&self) {
        self.log.close();
    }

    /// Resolves once every subscriber has got everything, or every request has been taken.
    pub fn drained(&self) -> BoxFuture<'_, ()> {
        self.log.drained()
    }

    pub(super) fn typed<E: Event>(&self, topic: &Opening<'_>) -> Result<Log<E>, BusError> {
        let log: &dyn Any = &*self.log;
        match log.downcast_ref::<TypedLog<E>>() {
            Some(typed) => Ok(typed.log.clone()),
            None => Err(self.type_conflict(topic)),
        }
    }

    pub(super) fn desk<Q: Send + 'static, R: Send + 'static>(
        &self,
        topic: &Opening<'_>,
    ) -> Result<Arc<Desk<Q, R>>, BusError> {
        let log: &dyn Any = &*self.log;
        match log.downcast_ref::<Door<Q, R>>() {
            Some(door) => Ok(Arc::clone(door.desk())),
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
pub(super) trait MakeLog: Send + Sync {
    fn make_log(&self, capacity: usize, retain: usize, keep: usize) -> Arc<dyn ErasedLog>;
}

impl<E: Event> MakeLog for Topic<E> {
    fn make_log(&self, capacity: usize, retain: usize, keep: usize) -> Arc<dyn ErasedLog> {
        Arc::new(TypedLog {
            log: Log::<E>::keeping(self.name(), capacity, retain, keep),
            codec: self.codec(),
        })
    }
}

/// The requests of an endpoint go to one responder each, so they need no log.
impl<Q: Send + 'static, R: Send + 'static> MakeLog for Endpoint<Q, R> {
    fn make_log(&self, capacity: usize, _retain: usize, _keep: usize) -> Arc<dyn ErasedLog> {
        Door::open(&Arc::new(Desk::<Q, R>::new(self.name(), capacity)), None)
    }
}

impl<Q: Send + 'static, R: Send + 'static> ErasedLog for Door<Q, R> {
    fn fill_stats(&self, stats: &mut TopicStats) {
        *stats = self.desk().stats();
    }

    fn close(&self) {
        self.desk().close();
    }

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.desk().drained())
    }

    /// A request is for one responder: no pattern gets to see it.
    fn subscribe_any(
        &self,
        _overflow: Overflow,
        _name: Arc<str>,
        _place: &'static Location<'static>,
    ) -> Box<dyn AnySource> {
        Box::new(Nothing)
    }
}

/// A log, and how its events become bytes, if they can.
struct TypedLog<E> {
    log: Log<E>,
    codec: Option<Codec<E>>,
}

pub(super) trait ErasedLog: Any + Send + Sync {
    fn fill_stats(&self, stats: &mut TopicStats);
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
    fn fill_stats(&self, stats: &mut TopicStats) {
        self.log.fill_stats(stats);
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
    /// A log, or the desk of an endpoint; made by [`Opening::make_log`].
    Log(AnyLog),
    /// A link for a topic.
    Link(Arc<dyn Link>),
    /// A link for an endpoint: see [`Opening::is_endpoint`].
    Endpoint(Arc<dyn EndpointLink>),
}

impl Port {
    /// What its topic or endpoint has counted.
    pub fn stats(&self) -> TopicStats {
        match self {
            Self::Log(log) => log.stats(),
            Self::Link(link) => link.stats(),
            Self::Endpoint(link) => link.stats(),
        }
    }

    /// Shuts its entrance.
    pub fn close(&self) {
        match self {
            Self::Log(log) => log.close(),
            Self::Link(link) => link.close(),
            Self::Endpoint(link) => link.close(),
        }
    }

    /// Resolves once every subscriber has got everything, or every request has been taken.
    pub fn drained(&self) -> BoxFuture<'_, ()> {
        match self {
            Self::Log(log) => log.drained(),
            Self::Link(link) => link.drained(),
            Self::Endpoint(link) => link.drained(),
        }
    }

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
                let frames = frames.map_err(|error| link_failed(topic, error))?;
                Ok(source_of_frames(topic, frames))
            }
            // A request is for one responder: no pattern gets to see it.
            Self::Endpoint(_) => Ok(Box::new(Nothing)),
        }
    }
}

pub(super) fn link_failed(topic: &str, source: LinkError) -> BusError {
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
            Self::Endpoint(_) => formatter.write_str("Endpoint"),
        }
    }
}
