//! The order between topics: each topic is in order, but what is told of a step or a service comes
//! from several.
//!
//! Events say when they happened, so of several topics the one with the oldest event is next. What
//! causes something is published before it: once all topics have been read twice, the causes of
//! whatever was found the first time are there, too.

use std::collections::VecDeque;

use coordination::bus::vocabulary::{
    ErrorDetected, ErrorRecovery, Notification, ProcessHealth, ProcessLifecycle, ServiceLifecycle,
    WorkflowEvent,
};
use coordination::bus::{DEFAULT_CAPACITY, Delivery, Subscriber, Timestamp};

/// Something that happened at a time.
pub(super) enum Happening {
    Workflow(Delivery<WorkflowEvent>),
    Service(Delivery<ServiceLifecycle>),
    Process(Delivery<ProcessLifecycle>),
    Health(Delivery<ProcessHealth>),
    Recovery(Delivery<ErrorRecovery>),
    Error(Delivery<ErrorDetected>),
    Notification(Delivery<Notification>),
}

impl Happening {
    /// When it happened, and the place of its topic among the queues.
    fn at(&self) -> (Timestamp, usize) {
        match self {
            Self::Workflow(event) => (event.at, 0),
            Self::Service(event) => (event.at, 1),
            Self::Process(event) => (event.at, 2),
            Self::Health(event) => (event.at, 3),
            Self::Recovery(event) => (event.at, 4),
            Self::Error(event) => (event.at, 5),
            Self::Notification(event) => (event.at, 6),
        }
    }
}

/// What has been read, and has not come up yet.
#[derive(Default)]
pub(super) struct Order {
    queues: [Queue; 7],
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Happening>,
    /// How many of the first have their causes in a queue, too.
    ripe: usize,
}

impl Order {
    pub(super) fn push(&mut self, happening: Happening) {
        let (_, topic) = happening.at();
        self.queues[topic].waiting.push_back(happening);
    }

    /// Reads what is there, and no more than was there at the beginning: a topic holds so many.
    pub(super) fn read<E>(
        &mut self,
        events: &mut Subscriber<E>,
        happening: fn(Delivery<E>) -> Happening,
    ) {
        for _ in 0..DEFAULT_CAPACITY {
            match events.try_recv() {
                Ok(event) => self.push(happening(event.into_delivery())),
                Err(_) => return,
            }
        }
    }

    /// Says that all topics are about to be read once more.
    pub(super) fn ripen(&mut self) {
        for queue in &mut self.queues {
            queue.ripe = queue.waiting.len();
        }
    }

    /// The oldest, as long as one is left whose causes are known.
    pub(super) fn next(&mut self) -> Option<Happening> {
        if self.queues.iter().all(|queue| queue.ripe == 0) {
            return None;
        }
        let filled = self.queues.iter_mut();
        let filled = filled.filter_map(|queue| Some((queue.waiting.front()?.at(), queue)));
        let (_, oldest) = filled.min_by_key(|(at, _)| *at)?;
        oldest.ripe = oldest.ripe.saturating_sub(1);
        oldest.waiting.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.waiting.is_empty())
    }
}
