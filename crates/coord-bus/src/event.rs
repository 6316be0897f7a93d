//! An event and what travels with it: [`Envelope`] while it is published, [`Meta`] once received.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Cause;

/// Anything that can be published: owned, and safe to share between threads.
///
/// Implemented for every such type; nobody implements it by hand.
pub trait Event: Send + Sync + 'static {}

impl<E: Send + Sync + 'static> Event for E {}

/// An event on its way, with the details that its publisher wants to go with it.
///
/// An event published without details carries one empty pointer and nothing else.
///
/// ```
/// use coord_bus::Envelope;
///
/// let envelope = Envelope::new("deployed").source("deployer").correlation_id("order-17");
/// assert_eq!(envelope.details().unwrap().correlation_id.as_deref(), Some("order-17"));
/// ```
#[derive(Debug, Clone)]
pub struct Envelope<E> {
    pub(crate) event: E,
    pub(crate) details: Option<Box<Details>>,
}

/// What a publisher may say about an event beyond the event itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Details {
    /// The event's own id; without one, its topic and sequence name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When it happened, by the wall clock of who published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Who published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What whole undertaking it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The id of the event that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// Anything else, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

impl<E> From<E> for Envelope<E> {
    fn from(event: E) -> Self {
        Self::new(event)
    }
}

impl<E> Envelope<E> {
    /// An event without details.
    pub const fn new(event: E) -> Self {
        Self {
            event,
            details: None,
        }
    }

    /// The event.
    pub fn event(&self) -> &E {
        &self.event
    }

    /// Its details, where it has any.
    pub fn details(&self) -> Option<&Details> {
        self.details.as_deref()
    }

    /// The event, without its details.
    pub fn into_event(self) -> E {
        self.event
    }

    /// With an id of its own.
    #[must_use]
    pub fn id(self, id: impl Into<String>) -> Self {
        self.with(|details| details.id = Some(id.into()))
    }

    /// With the time at which it happened.
    #[must_use]
    pub fn time(self, time: Timestamp) -> Self {
        self.with(|details| details.time = Some(time))
    }

    /// With the name of who publishes it.
    #[must_use]
    pub fn source(self, source: impl Into<String>) -> Self {
        self.with(|details| details.source = Some(source.into()))
    }

    /// As a part of the undertaking of this id.
    #[must_use]
    pub fn correlation_id(self, id: impl Into<String>) -> Self {
        self.with(|details| details.correlation_id = Some(id.into()))
    }

    /// As caused by the event of this id.
    #[must_use]
    pub fn causation_id(self, id: impl Into<String>) -> Self {
        self.with(|details| details.causation_id = Some(id.into()))
    }

    /// With one more header; a later one replaces an earlier one of its name.
    #[must_use]
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|details| {
            details.headers.insert(name.into(), value.into());
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Details)) -> Self {
        change(self.details.get_or_insert_default());
        self
    }
}

/// What is known of a received event besides the event.
#[derive(Debug, Clone, Copy)]
pub struct Meta<'a> {
    pub(crate) topic: &'a Arc<str>,
    pub(crate) sequence: u64,
    pub(crate) details: Option<&'a Details>,
}

impl<'a> Meta<'a> {
    /// What is done about it follows from it: see [`Cause::run`].
    pub fn cause(&self) -> Cause {
        Cause::of(self)
    }

    /// The topic that it came through.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// Its place in the topic's order, the same for every subscriber; the first is 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What its publisher said of it beyond the event itself, if anything.
    pub fn details(&self) -> Option<&'a Details> {
        self.details
    }

    /// The id that its publisher gave it, or else `topic#sequence`, which is unique on its bus.
    pub fn id(&self) -> Cow<'a, str> {
        match self.details.and_then(|details| details.id.as_deref()) {
            Some(id) => Cow::Borrowed(id),
            None => Cow::Owned(format!("{}#{}", self.topic, self.sequence)),
        }
    }

    /// When it happened, if its publisher said.
    pub fn time(&self) -> Option<Timestamp> {
        self.details?.time
    }

    /// Who published it, if that was said.
    pub fn source(&self) -> Option<&'a str> {
        self.details?.source.as_deref()
    }

    /// The undertaking that it belongs to, if that was said.
    pub fn correlation_id(&self) -> Option<&'a str> {
        self.details?.correlation_id.as_deref()
    }

    /// The id of the event that caused it, if that was said.
    pub fn causation_id(&self) -> Option<&'a str> {
        self.details?.causation_id.as_deref()
    }

    /// The header of this name.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.details?.headers.get(name).map(String::as_str)
    }
}
