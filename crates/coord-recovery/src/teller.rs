//! Publishes what supervision, guards and the manager find, apart from themselves: a full topic holds
//! up the telling, and never a restart, a stop, a recovery or a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coord_bus::time::Clock;
use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, Recovery, Severity,
};
use coord_bus::{Bus, BusExt, CancellationToken, Envelope, Event, Publisher, Refusal, Topic};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::{join, select};

use crate::{MAX_CHILDREN, RecoveryError};

/// How many events of a topic may wait to be published, besides those in it: a failure is at most two of
/// one topic, so that all children of a supervisor may fail twice at once.
const OUTBOX: usize = 4 * MAX_CHILDREN;

#[derive(Clone)]
pub(crate) struct Teller {
    detected: Sender<Envelope<ErrorDetected>>,
    recovery: Sender<Envelope<ErrorRecovery>>,
    untold: Untold,
    clock: Arc<dyn Clock>,
}

impl Teller {
    /// A teller, and what publishes what it is told.
    pub(crate) fn new(
        bus: &(impl Bus + ?Sized),
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Telling), RecoveryError> {
        let untold = Untold::default();
        let (detected, errors) = outbox(bus.publisher(&ERROR_DETECTED)?, &untold);
        let (recovery, recoveries) = outbox(bus.publisher(&ERROR_RECOVERY)?, &untold);
        let teller = Self {
            detected,
            recovery,
            untold,
            clock,
        };
        Ok((teller, Telling { errors, recoveries }))
    }

    pub(crate) fn untold(&self) -> u64 {
        self.untold.count()
    }

    pub(crate) fn detected(&self, source: &str, kind: &str, message: String, severity: Severity) {
        let event = ErrorDetected {
            source: source.to_owned(),
            kind: kind.to_owned(),
            message,
            severity,
            at: self.clock.now(),
        };
        self.untold.put(&self.detected, Envelope::new(event));
    }

    pub(crate) fn recovery(&self, source: &str, strategy: &str, progress: Recovery) {
        let event = ErrorRecovery {
            source: source.to_owned(),
            strategy: strategy.to_owned(),
            at: self.clock.now(),
            progress,
        };
        self.untold.put(&self.recovery, Envelope::new(event));
    }
}

/// Each topic for itself, so that what one has no room for does not hold up the other.
pub(crate) struct Telling {
    errors: Backlog<ErrorDetected>,
    recoveries: Backlog<ErrorRecovery>,
}

impl Telling {
    /// Publishes until it is to stop, and then what is left.
    pub(crate) async fn run(self, stop: CancellationToken) {
        join!(self.errors.run(&stop), self.recoveries.run(&stop));
    }
}

/// How many events have not been published: those that wait, and those for which there was no room.
#[derive(Clone, Default)]
pub(crate) struct Untold(Arc<AtomicU64>);

impl Untold {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether it waits to be published now. Where there is no room it stays untold, and counted.
    fn put<E>(&self, outbox: &Sender<Envelope<E>>, event: Envelope<E>) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        outbox.try_send(event).is_ok()
    }
}

/// What waits to be published to a topic.
pub(crate) struct Backlog<E> {
    events: Receiver<Envelope<E>>,
    publisher: Publisher<E>,
    untold: Untold,
}

fn outbox<E: Event>(publisher: Publisher<E>, untold: &Untold) -> (Sender<Envelope<E>>, Backlog<E>) {
    let (outbox, events) = mpsc::channel(OUTBOX);
    let backlog = Backlog {
        events,
        publisher,
        untold: untold.clone(),
    };
    (outbox, backlog)
}

impl<E: Event> Backlog<E> {
    /// Publishes until it is to stop, and then what is left.
    pub(crate) async fn run(mut self, stop: &CancellationToken) {
        loop {
            let event = select! {
                biased;
                event = self.events.recv() => event,
                () = stop.cancelled(), if !self.events.is_closed() => {
                    // What is in the outbox still comes, and then the end.
                    self.events.close();
                    continue;
                }
            };
            let Some(event) = event else { return };
            if self.publisher.publish_with(event).await.is_ok() {
                self.untold.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// Publishes at once what there is room for.
pub(crate) struct AtOnce<E> {
    publisher: Publisher<E>,
    outbox: Sender<Envelope<E>>,
    untold: Untold,
}

impl<E: Event> AtOnce<E> {
    pub(crate) fn new(
        bus: &dyn Bus,
        topic: &Topic<E>,
        untold: &Untold,
    ) -> Result<(Self, Backlog<E>), RecoveryError> {
        let publisher = bus.publisher(topic)?;
        let (outbox, backlog) = outbox(publisher.clone(), untold);
        let at_once = Self {
            publisher,
            outbox,
            untold: untold.clone(),
        };
        Ok((at_once, backlog))
    }

    /// It comes back where there is no room, or others wait for some.
    pub(crate) fn publish(&self, event: Envelope<E>) -> Result<(), (Envelope<E>, Refusal)> {
        if self.outbox.capacity() < self.outbox.max_capacity() {
            return Err((event, Refusal::Full));
        }
        let published = self.publisher.try_publish_with(event);
        published.map_err(|refused| (refused.event, refused.reason))
    }

    /// Publishes it once there is room. Whether it waits for that; it is counted until then.
    pub(crate) fn later(&self, event: Envelope<E>) -> bool {
        self.untold.put(&self.outbox, event)
    }
}
