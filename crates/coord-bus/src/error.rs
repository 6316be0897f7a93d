//! What can go wrong on a bus.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::handling::PATIENCE;

/// A topic could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The name is not one that a topic can have.
    #[error(
        "`{name}` cannot be a topic's name: {fault} (names are tokens parted by dots, such as \
         `process.output`)"
    )]
    InvalidName {
        /// The name.
        name: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The pattern is not one that topics can match.
    #[error(
        "`{pattern}` cannot be a pattern: {fault} (patterns are tokens parted by dots, `*` for any \
         one token, `>` at the end for one or more, such as `process.*` and `process.>`)"
    )]
    InvalidPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it, and in which token; they are counted from 1.
        fault: String,
    },
    /// The topic carries events of another type.
    #[error(
        "topic `{topic}` carries {opened} since it was opened at {opened_at}, and is asked for \
         {asked} at {asked_at}: use that type, or another name"
    )]
    TypeConflict {
        /// The topic.
        topic: String,
        /// The type of its events.
        opened: &'static str,
        /// Where it was opened first.
        opened_at: &'static Location<'static>,
        /// The type that was asked for.
        asked: &'static str,
        /// Where.
        asked_at: &'static Location<'static>,
    },
    /// The topic has another capacity, or retains another number of events.
    #[error(
        "topic `{topic}` has {option} = {opened} since it was opened at {opened_at}, and is asked \
         for with {asked} at {asked_at}: state it in one place"
    )]
    OptionConflict {
        /// The topic.
        topic: String,
        /// Which option: `capacity` or `retain`.
        option: &'static str,
        /// What it was opened with.
        opened: usize,
        /// Where it was opened first.
        opened_at: &'static Location<'static>,
        /// What was asked for.
        asked: usize,
        /// Where.
        asked_at: &'static Location<'static>,
    },
    /// What goes through the topic, or the endpoint, cannot become bytes, and this bus carries nothing
    /// else.
    #[error(
        "topic `{topic}` is in-process only and this bus carries bytes: make it with `Topic::new`, \
         or `Endpoint::new`, which asks {event} for serde"
    )]
    InProcessOnly {
        /// The topic.
        topic: String,
        /// The type of its events; of an endpoint, that of a function from question to reply.
        event: &'static str,
    },
    /// The bus carries events alone, or requests alone.
    #[error("topic `{topic}` cannot be opened: this bus carries no {what}")]
    Unsupported {
        /// The topic.
        topic: String,
        /// What it does not carry: `events` or `requests`.
        what: &'static str,
    },
    /// The bus has as many topics as it may have.
    #[error("topic `{topic}` cannot be opened: the bus has {limit} topics, its limit")]
    TooManyTopics {
        /// The topic.
        topic: String,
        /// The limit.
        limit: usize,
    },
    /// The bus is closed.
    #[error("topic `{topic}` cannot be opened: the bus is closed")]
    Closed {
        /// The topic.
        topic: String,
    },
    /// The link beneath the topic failed.
    #[error("topic `{topic}` cannot be opened: its link failed")]
    Link {
        /// The topic.
        topic: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// An event was not published, and why; it comes back with the error.
///
/// `T` is what was to be published: the event, or its [`Envelope`](crate::Envelope).
#[derive(thiserror::Error)]
#[error("the event was not published to `{topic}`: {reason}")]
pub struct Refused<T> {
    /// What was to be published.
    pub event: T,
    /// The topic.
    pub topic: Arc<str>,
    /// Why not.
    #[source]
    pub reason: Refusal,
}

/// Why an event was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A lossless subscriber has not made room. Try again later, or wait with `publish`.
    #[error("the topic is full")]
    Full,
    /// It is full, and who is to make room waits for who wanted to publish, who handles an event:
    /// see [`Cause::run`](crate::Cause::run).
    #[error(
        "the topic is full, and who is to make room there waits until an event of `{handled}` has been \
         handled: it is a ring of topics; let fewer events go around it, or give its topics more \
         capacity"
    )]
    Ring {
        /// The topic of the event that is being handled.
        handled: Arc<str>,
    },
    /// Nobody has made room, nor got on, for as long as who handles an event waits for that: see
    /// [`Cause::run`](crate::Cause::run).
    #[error(
        "the topic is full, and its slowest subscriber has received nothing for {PATIENCE:?}, while an event \
         of `{handled}` was being handled: it has stopped, or waits for this handler around a ring of topics"
    )]
    StillFull {
        /// The topic of the event that is being handled.
        handled: Arc<str>,
    },
    /// The topic is closed. Trying again is useless.
    #[error("the topic is closed")]
    Closed,
    /// The event could not be turned into bytes.
    #[error("the event could not be encoded")]
    Encode(#[source] serde_json::Error),
    /// The link beneath the topic failed; the event may or may not have arrived.
    #[error("the link failed")]
    Link(#[source] Box<dyn std::error::Error + Send + Sync>),
}

// By hand, so that the error asks nothing of the event.
impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Refused")
            .field("topic", &self.topic)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<T> Refused<T> {
    /// Whether the topic was full, so that it is worth trying again.
    pub fn is_full(&self) -> bool {
        matches!(
            self.reason,
            Refusal::Full | Refusal::Ring { .. } | Refusal::StillFull { .. }
        )
    }

    /// Whether the topic is closed, so that it is not.
    pub fn is_closed(&self) -> bool {
        matches!(self.reason, Refusal::Closed)
    }

    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Refused<U> {
        Refused {
            event: change(self.event),
            topic: self.topic,
            reason: self.reason,
        }
    }
}

/// An event of which the type is not known could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnyDeliveryError {
    /// The topic's events cannot become JSON.
    #[error(
        "topic `{topic}` is in-process only, so that its events cannot become JSON: make it with \
         `Topic::new`, which asks {event} for serde"
    )]
    InProcessOnly {
        /// The topic.
        topic: String,
        /// The type of its events.
        event: &'static str,
    },
    /// The event could not be turned into JSON.
    #[error("the event `{id}` could not be encoded")]
    Encode {
        /// The event's id.
        id: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The event is none of the type that was asked for.
    #[error("the event `{id}` could not be decoded as {asked}")]
    Decode {
        /// The event's id.
        id: String,
        /// The type that was asked for.
        asked: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// There was nothing to receive at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TryReceiveError {
    /// Nothing yet.
    #[error("no event has been published that was not received yet")]
    Empty,
    /// Nothing, and never again.
    #[error("the topic is closed and everything has been received")]
    Closed,
}
