//! That an event came to nothing, for who wants to hear of it: a topic's faults are a topic of their
//! own.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Delivery, Details, Failure};

/// An event of which a flow could make nothing, told once that is certain: whatever is done about
/// it, such as that it becomes a [`DeadLetter`](crate::DeadLetter).
///
/// Faults of the events of `orders` are published to `fault.orders`
/// ([`Topic::faults`](crate::Topic::faults)), for who asked for the order, say. A dead letter is
/// there to be dealt with; a fault is news, which nobody waits for.
pub struct Fault<E> {
    /// The event itself, with its topic, sequence and details.
    pub event: Delivery<E>,
    /// The flow that it came to nothing in.
    pub flow: Arc<str>,
    /// The stage of the flow.
    pub stage: Arc<str>,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong at the last attempt, and then what caused that.
    pub error: Vec<String>,
}

impl<E> Fault<E> {
    /// Of an event that a stage of a flow tried this often, the last time with this failure.
    pub fn new(
        event: Delivery<E>,
        flow: impl Into<Arc<str>>,
        stage: impl Into<Arc<str>>,
        attempts: u32,
        failure: &Failure,
    ) -> Self {
        Self {
            event,
            flow: flow.into(),
            stage: stage.into(),
            attempts,
            error: failure.chain(),
        }
    }
}

impl<E> Clone for Fault<E> {
    fn clone(&self) -> Self {
        Self {
            event: self.event.clone(),
            flow: Arc::clone(&self.flow),
            stage: Arc::clone(&self.stage),
            attempts: self.attempts,
            error: self.error.clone(),
        }
    }
}

impl<E> fmt::Debug for Fault<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Fault")
            .field("event", &self.event.meta().id())
            .field("flow", &self.flow)
            .field("stage", &self.stage)
            .field("attempts", &self.attempts)
            .field("error", &self.error)
            .finish()
    }
}

/// A fault as JSON: of what is lent, or of what is owned.
#[derive(Serialize, Deserialize)]
struct Report<E, D, S, L> {
    topic: S,
    sequence: u64,
    details: Option<D>,
    event: E,
    flow: S,
    stage: S,
    attempts: u32,
    error: L,
}

type Owned<E> = Report<E, Box<Details>, String, Vec<String>>;

impl<E: Serialize> Serialize for Fault<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let meta = self.event.meta();
        let report = Report {
            topic: meta.topic(),
            sequence: meta.sequence(),
            details: meta.details(),
            event: &*self.event,
            flow: &*self.flow,
            stage: &*self.stage,
            attempts: self.attempts,
            error: &self.error,
        };
        report.serialize(serializer)
    }
}

impl<'de, E: Deserialize<'de>> Deserialize<'de> for Fault<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let report = Owned::<E>::deserialize(deserializer)?;
        let topic: Arc<str> = report.topic.into();
        Ok(Self {
            event: Delivery::alone(topic, report.event, report.details, report.sequence),
            flow: report.flow.into(),
            stage: report.stage.into(),
            attempts: report.attempts,
            error: report.error,
        })
    }
}
