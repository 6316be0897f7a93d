//! What a desk tells of itself, in the terms of a topic.

use std::any::type_name;
use std::panic::Location;

use super::{Desk, State};
use crate::{Ledger, Overflow, PublisherStats, Responder, SubscriberStats, TopicStats};

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
            publishers: state.publishers(),
            subscribers: responders.into_iter().collect(),
        }
    }
}

impl<Q, R> State<Q, R> {
    fn publishers(&self) -> Vec<PublisherStats> {
        let doors = self.doors.iter();
        let publishers = doors.filter_map(|(place, open)| {
            let (place, open) = ((*place)?, *open);
            Some(PublisherStats { place, open })
        });
        publishers.collect()
    }

    /// One more door.
    pub(super) fn enter(&mut self, place: Option<&'static Location<'static>>) {
        match self.doors.iter_mut().find(|(at, _)| *at == place) {
            Some((_, open)) => *open += 1,
            None => self.doors.push((place, 1)),
        }
    }

    /// One door less. Whether it was the last.
    pub(super) fn part(&mut self, place: Option<&'static Location<'static>>) -> bool {
        if let Some(index) = self.doors.iter().position(|(at, _)| *at == place) {
            self.doors[index].1 -= 1;
            if self.doors[index].1 == 0 {
                self.doors.swap_remove(index);
            }
        }
        self.doors.is_empty()
    }
}
