//! What happens in a run, in order: each topic is in order, but what is told of a step or a service
//! comes from several.
//!
//! Events say when they happened, so of several topics the one with the oldest event is next. What
//! causes something is published before it: once all topics have been read twice, the causes of
//! whatever was found the first time are there, too.

use std::collections::VecDeque;

use coordination::bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, NOTIFICATION, Notification,
    PROCESS_HEALTH, PROCESS_LIFECYCLE, ProcessHealth, ProcessLifecycle, SERVICE_LIFECYCLE,
    ServiceLifecycle, WORKFLOW_EVENTS, WorkflowEvent,
};
use coordination::bus::{Bus, BusError, BusExt, DEFAULT_CAPACITY, Delivery, Subscriber, Timestamp};

/// Something that happened at a time.
pub(crate) enum Happening {
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

/// Reads what happens, and gives it out in order.
pub(crate) struct Happenings {
    workflow: Subscriber<WorkflowEvent>,
    services: Subscriber<ServiceLifecycle>,
    processes: Subscriber<ProcessLifecycle>,
    health: Subscriber<ProcessHealth>,
    recovery: Subscriber<ErrorRecovery>,
    errors: Subscriber<ErrorDetected>,
    notifications: Subscriber<Notification>,
    order: Order,
}

impl Happenings {
    /// Misses nothing of what is published from now on.
    pub(crate) fn new(bus: &dyn Bus) -> Result<Self, BusError> {
        Ok(Self {
            workflow: bus.subscribe(&WORKFLOW_EVENTS)?,
            services: bus.subscribe(&SERVICE_LIFECYCLE)?,
            processes: bus.subscribe(&PROCESS_LIFECYCLE)?,
            health: bus.subscribe(&PROCESS_HEALTH)?,
            recovery: bus.subscribe(&ERROR_RECOVERY)?,
            errors: bus.subscribe(&ERROR_DETECTED)?,
            notifications: bus.subscribe(&NOTIFICATION)?,
            order: Order::default(),
        })
    }

    /// Waits until something has happened, and reads that; false once the bus is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing is missed.
    pub(crate) async fn arrive(&mut self) -> bool {
        let happening = tokio::select! {
            // The topic that says that the bus is closed comes last: by then, nothing is left in the others.
            biased;
            Some(event) = self.services.recv() => Happening::Service(event.into_delivery()),
            Some(event) = self.processes.recv() => Happening::Process(event.into_delivery()),
            Some(event) = self.health.recv() => Happening::Health(event.into_delivery()),
            Some(event) = self.recovery.recv() => Happening::Recovery(event.into_delivery()),
            Some(event) = self.errors.recv() => Happening::Error(event.into_delivery()),
            Some(event) = self.notifications.recv() => {
                Happening::Notification(event.into_delivery())
            }
            event = self.workflow.recv() => match event {
                Some(event) => Happening::Workflow(event.into_delivery()),
                None => return false,
            }
        };
        self.order.push(happening);
        true
    }

    /// Reads all topics, so that of what is there by now the causes are there, too.
    pub(crate) fn read(&mut self) {
        self.read_once();
        self.order.ripen();
        self.read_once();
    }

    fn read_once(&mut self) {
        self.order.read(&mut self.workflow, Happening::Workflow);
        self.order.read(&mut self.services, Happening::Service);
        self.order.read(&mut self.processes, Happening::Process);
        self.order.read(&mut self.health, Happening::Health);
        self.order.read(&mut self.recovery, Happening::Recovery);
        self.order.read(&mut self.errors, Happening::Error);
        self.order
            .read(&mut self.notifications, Happening::Notification);
    }

    /// The oldest, as long as one is left whose causes are known.
    pub(crate) fn next(&mut self) -> Option<Happening> {
        self.order.next()
    }

    /// Whether nothing of what was read waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// What has been read, and has not come up yet.
#[derive(Default)]
struct Order {
    queues: [Queue; 7],
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Happening>,
    /// How many of the first have their causes in a queue, too.
    ripe: usize,
}

impl Order {
    fn push(&mut self, happening: Happening) {
        let (_, topic) = happening.at();
        self.queues[topic].waiting.push_back(happening);
    }

    /// Reads what is there, and no more than was there at the beginning: a topic holds so many.
    fn read<E>(&mut self, events: &mut Subscriber<E>, happening: fn(Delivery<E>) -> Happening) {
        for _ in 0..DEFAULT_CAPACITY {
            match events.try_recv() {
                Ok(event) => self.push(happening(event.into_delivery())),
                Err(_) => return,
            }
        }
    }

    /// Says that all topics are about to be read once more.
    fn ripen(&mut self) {
        for queue in &mut self.queues {
            queue.ripe = queue.waiting.len();
        }
    }

    /// The oldest, as long as one is left whose causes are known.
    fn next(&mut self) -> Option<Happening> {
        if self.queues.iter().all(|queue| queue.ripe == 0) {
            return None;
        }
        let filled = self.queues.iter_mut();
        let filled = filled.filter_map(|queue| Some((queue.waiting.front()?.at(), queue)));
        let (_, oldest) = filled.min_by_key(|(at, _)| *at)?;
        oldest.ripe = oldest.ripe.saturating_sub(1);
        oldest.waiting.pop_front()
    }

    fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.waiting.is_empty())
    }
}
