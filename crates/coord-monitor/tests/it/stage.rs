//! What the tests stand on: a bus, a monitor on it, and a clock that is set by hand.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::ManualClock;
use coord_bus::vocabulary::{Transition, WORKFLOW_EVENTS, WorkflowEvent};
use coord_bus::{BusExt, LocalBus, Timestamp, Topic};
use coord_monitor::PerformanceMonitor;

pub(crate) const TICKS: Topic<u32> = Topic::new("ticks");

pub(crate) struct Stage {
    pub(crate) bus: LocalBus,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) monitor: PerformanceMonitor,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::on(LocalBus::new())
    }

    pub(crate) fn on(bus: LocalBus) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let monitor = PerformanceMonitor::builder(Arc::new(bus.clone()))
            .clock(clock.clone())
            .build();
        Self {
            monitor: monitor.expect("the topics are free"),
            bus,
            clock,
        }
    }

    /// Publishes this many events, at once.
    pub(crate) fn publish(&self, topic: &Topic<u32>, events: u32) {
        let publisher = self.bus.publisher(topic).expect("it is of this type");
        for event in 0..events {
            publisher.try_publish(event).expect("there is room");
        }
    }

    /// Publishes a transition of run `1` of the workflow `build`.
    pub(crate) async fn tell(&self, transition: Transition) {
        self.tell_of("build", "1", transition).await;
    }

    pub(crate) async fn tell_of(&self, workflow: &str, run: &str, transition: Transition) {
        let events = self.bus.publisher(&WORKFLOW_EVENTS).expect("it is open");
        let event = WorkflowEvent {
            workflow: workflow.to_owned(),
            run: run.to_owned(),
            at: Timestamp::UNIX_EPOCH,
            transition,
        };
        events.publish(event).await.expect("it is open");
        tokio::task::yield_now().await;
    }
}

pub(crate) fn started(step: &str) -> Transition {
    Transition::StepStarted {
        step: step.to_owned(),
        attempt: 1,
    }
}

pub(crate) fn completed(step: &str, duration: Duration) -> Transition {
    Transition::StepCompleted {
        step: step.to_owned(),
        attempt: 1,
        duration,
    }
}

pub(crate) fn finished(outcome: &str, duration: Duration) -> Transition {
    Transition::RunFinished {
        outcome: outcome.to_owned(),
        duration,
    }
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Lets this much time pass, during which everything else goes on.
pub(crate) async fn pass(time: Duration) {
    coord_bus::time::sleep(time).await;
}
