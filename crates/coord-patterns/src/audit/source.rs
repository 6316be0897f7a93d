//! The topics that a trail is made of, and what it makes of their events.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use coord_bus::vocabulary::AuditEvent;
use coord_bus::{
    Bus, BusError, BusExt, Delivery, Event, Meta, Overflow, SubscribeOptions, Subscriber, Topic,
};
use futures_core::Stream;
use serde::Serialize;
use serde_json::{Value, json};

use super::AuditFacts;

/// A topic, and what is made of its events.
pub(super) trait Source: Send + Sync {
    fn open(
        &self,
        bus: &dyn Bus,
        overflow: Overflow,
        name: &str,
    ) -> Result<Box<dyn Feed>, BusError>;
}

/// The events of a topic, as facts.
pub(super) trait Feed: Send {
    /// The facts of the next event, and how many events before it were lost.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(AuditFacts, u64)>>;

    /// Takes nothing that is published from now on.
    fn close(&mut self);
}

pub(super) struct TopicSource<E, F> {
    pub(super) topic: Topic<E>,
    pub(super) facts: Arc<F>,
}

impl<E, F> Source for TopicSource<E, F>
where
    E: Event,
    F: Fn(&E, Meta<'_>) -> AuditFacts + Send + Sync + 'static,
{
    fn open(
        &self,
        bus: &dyn Bus,
        overflow: Overflow,
        name: &str,
    ) -> Result<Box<dyn Feed>, BusError> {
        let options = SubscribeOptions::new().overflow(overflow).named(name);
        Ok(Box::new(TopicFeed {
            subscriber: bus.subscribe_with(&self.topic, options)?,
            facts: Arc::clone(&self.facts),
        }))
    }
}

struct TopicFeed<E, F> {
    subscriber: Subscriber<E>,
    facts: Arc<F>,
}

impl<E, F> Feed for TopicFeed<E, F>
where
    E: Event,
    F: Fn(&E, Meta<'_>) -> AuditFacts + Send + Sync,
{
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(AuditFacts, u64)>> {
        let Some(delivery) = ready!(Pin::new(&mut self.subscriber).poll_next(context)) else {
            return Poll::Ready(None);
        };
        let delivery: Delivery<E> = delivery;
        let meta = delivery.meta();
        let mut facts = (self.facts)(&delivery, meta);
        facts.topic = meta.topic().to_owned();
        facts.at = facts.at.or(meta.time());
        facts.correlation = meta.correlation_id().map(str::to_owned);
        facts.causation = meta.causation_id().map(str::to_owned);
        Poll::Ready(Some((facts, delivery.lag() + delivery.undecodable())))
    }

    fn close(&mut self) {
        self.subscriber.close();
    }
}

/// Of any event: who published it, if it says so, and all that is in it.
pub(super) fn whole<E: Serialize>(event: &E, meta: Meta<'_>) -> AuditFacts {
    let value = serde_json::to_value(event);
    let unreadable = |error: serde_json::Error| json!({ "unreadable": error.to_string() });
    AuditFacts {
        actor: meta.source().unwrap_or("unknown").to_owned(),
        action: meta.topic().to_owned(),
        event: Some(value.unwrap_or_else(unreadable)),
        ..AuditFacts::default()
    }
}

/// Of an event that was made for it.
pub(super) fn said(event: &AuditEvent, _: Meta<'_>) -> AuditFacts {
    AuditFacts {
        at: Some(event.at),
        actor: event.actor.clone(),
        action: event.action.clone(),
        subject: event.subject.clone(),
        before: event.before.clone(),
        after: event.after.clone(),
        ..AuditFacts::default()
    }
}

/// That events of a topic were lost.
pub(super) fn lost(facts: &AuditFacts, count: u64) -> AuditFacts {
    AuditFacts {
        topic: facts.topic.clone(),
        actor: "audit-trail".to_owned(),
        action: "events-lost".to_owned(),
        after: Some(Value::from(count)),
        ..AuditFacts::default()
    }
}
