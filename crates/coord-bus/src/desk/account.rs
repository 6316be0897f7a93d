//! What a desk tells of itself, in the terms of a topic.

use std::any::type_name;

use super::Desk;
use crate::{Ledger, Overflow, Responder, SubscriberStats, TopicStats};

impl<Q: 'static, R: 'static> Desk<Q, R> {
    /// What it has counted. All its responders are one subscriber, as a group is.
    pub(crate) fn stats(&self) -> TopicStats {
        let state = self.lock();
        let current = Ledger {
            in_flight: state.requests.len() as u64,
            ..state.ledger
        };
        let mut ledger = state.gone;
        ledger += current;
        let responders = state.seats.iter().next().map(|place| SubscriberStats {
            name: None,
            group: Some(Responder::GROUP.to_owned()),
            place,
            overflow: Overflow::Block,
            filtered: false,
            closed: false,
            ledger: current,
        });
        let mut publishers = Vec::new();
        state.entrances.tell(&mut publishers);
        TopicStats {
            topic: self.topic.to_string(),
            event: type_name::<fn(Q) -> R>(),
            capacity: self.capacity,
            retain: 0,
            published: state.requests.joined(),
            ledger,
            depth: state.requests.len() as u64,
            waiting_publishers: state.callers.len(),
            closed: state.closed,
            publishers,
            subscribers: responders.into_iter().collect(),
        }
    }
}
