//! Tells who listens what happens in a run, before it takes effect.
//!
//! Where there is no room for an event, the run waits. One that is to end is not held up for long: it is cancelled,
//! suspended and undone also where a reader stands still.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use coord_bus::Publish;
use coord_bus::time::{sleep, timeout};
use coord_bus::vocabulary::{Transition, WorkflowEvent};

use super::Shared;

/// How long an event of a run that is to end waits for room.
const TELLING: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) fn is_heard(&self) -> bool {
        self.settings.events.is_heard()
    }

    /// Tells who listens. Costs nothing where nobody does.
    pub(super) async fn tell(&self, transition: impl FnOnce() -> Transition) {
        if !self.is_heard() {
            return;
        }
        let event = WorkflowEvent {
            workflow: self.plan.name.to_string(),
            run: self.id.to_string(),
            at: self.settings.clock.now(),
            transition: transition(),
        };
        let mut told = self.settings.events.publish(event);
        // A closed bus has nobody left to tell.
        let at_once = poll_fn(|cx| Poll::Ready(Pin::new(&mut told).poll(cx))).await;
        if at_once.is_pending() {
            // In a box, as it is large, and rare.
            Box::pin(self.tell_in_time(told)).await;
        }
    }

    /// Waits for room as long as the run goes on, and then not for long. What there is none for is left out: what
    /// comes after it may be told, and nothing before it is told later.
    async fn tell_in_time(&self, mut told: Publish<'_, WorkflowEvent, WorkflowEvent>) {
        tokio::select! {
            biased;
            _ = &mut told => return,
            () = self.is_to_end() => {}
        }
        // Where there was none in that time, there need not be any for all that is still to be told.
        let patience = match self.gave_up.load(Ordering::Relaxed) {
            true => Duration::ZERO,
            false => TELLING,
        };
        let gives_up = timeout(patience, told).await.is_err();
        self.gave_up.store(gives_up, Ordering::Relaxed);
        if gives_up {
            self.settings.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Until it is stopped, or left as it is, or its time is over.
    async fn is_to_end(&self) {
        let is_over = async {
            loop {
                match self.time_left() {
                    Some(Duration::ZERO) => return,
                    Some(left) => sleep(left).await,
                    None => pending().await,
                }
            }
        };
        tokio::select! {
            () = self.token.cancelled() => {}
            () = self.suspend.cancelled() => {}
            () = is_over => {}
        }
    }
}
