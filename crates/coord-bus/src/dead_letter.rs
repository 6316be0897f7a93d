//! What could not be handled, with why: a topic's dead letters are a topic of their own.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Delivery, Details, Envelope, Event, Failure, Publisher};

/// An event that a handler could not handle, with the error of its last attempt; or that no member
/// of a group has acknowledged, however often it was handed out.
///
/// Dead letters of the topic `orders` are published to `dead-letter.orders`
/// ([`Topic::dead_letters`](crate::Topic::dead_letters)), and the last 100 retained there.
pub struct DeadLetter<E> {
    /// The event itself, with its topic, sequence and details.
    pub event: Delivery<E>,
    /// Who could not handle it; of a group, `group` and its name.
    pub handler: Arc<str>,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong at the last attempt, and then what caused that.
    pub error: Vec<String>,
}

impl<E> DeadLetter<E> {
    /// Of an event that was tried this often, the last time with this failure.
    pub fn new(
        event: Delivery<E>,
        handler: impl Into<Arc<str>>,
        attempts: u32,
        failure: &Failure,
    ) -> Self {
        Self {
            event,
            handler: handler.into(),
            attempts,
            error: failure.chain(),
        }
    }
}

impl<E: Event> DeadLetter<E> {
    /// Publishes it, as what its event has caused. Whether that was possible.
    pub(crate) async fn publish(self, letters: &Publisher<Self>) -> bool {
        let cause = self.event.meta().cause();
        let mut letter = Envelope::new(self);
        cause.mark(&mut letter);
        letters.publish_with(letter).await.is_ok()
    }
}

impl<E> Clone for DeadLetter<E> {
    fn clone(&self) -> Self {
        Self {
            event: self.event.clone(),
            handler: Arc::clone(&self.handler),
            attempts: self.attempts,
            error: self.error.clone(),
        }
    }
}

impl<E> fmt::Debug for DeadLetter<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DeadLetter")
            .field("event", &self.event.meta().id())
            .field("handler", &self.handler)
            .field("attempts", &self.attempts)
            .field("error", &self.error)
            .finish()
    }
}

/// A dead letter as JSON: of what is lent, or of what is owned.
#[derive(Serialize, Deserialize)]
struct Letter<E, D, S, L> {
    topic: S,
    sequence: u64,
    details: Option<D>,
    event: E,
    handler: S,
    attempts: u32,
    error: L,
}

type Owned<E> = Letter<E, Box<Details>, String, Vec<String>>;

impl<E: Serialize> Serialize for DeadLetter<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let meta = self.event.meta();
        let letter = Letter {
            topic: meta.topic(),
            sequence: meta.sequence(),
            details: meta.details(),
            event: &*self.event,
            handler: &*self.handler,
            attempts: self.attempts,
            error: &self.error,
        };
        letter.serialize(serializer)
    }
}

impl<'de, E: Deserialize<'de>> Deserialize<'de> for DeadLetter<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let letter = Owned::<E>::deserialize(deserializer)?;
        let topic: Arc<str> = letter.topic.into();
        Ok(Self {
            event: Delivery::alone(topic, letter.event, letter.details, letter.sequence),
            handler: letter.handler.into(),
            attempts: letter.attempts,
            error: letter.error,
        })
    }
}
