//! One timer for the whole life of an operator: made when it is first waited for, and then reset.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coord_bus::time::{self, Instant, Sleep};
use tokio::task::unconstrained;

/// The moment after a wait from another.
pub(crate) fn after(moment: Instant, wait: Duration) -> Instant {
    moment + wait.min(time::LONGEST_WAIT)
}

#[derive(Debug, Default)]
pub(crate) struct Timer {
    /// Until when it runs.
    deadline: Option<Instant>,
    /// Set only when somebody waits: most of what is started is over before that.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Runs for a period from now, whatever it did before; for none at all if that is zero.
    pub(crate) fn start(&mut self, period: Duration) {
        self.deadline = (!period.is_zero()).then(|| after(Instant::now(), period));
    }

    /// Runs until then, whatever it did before.
    pub(crate) fn start_until(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    pub(crate) fn stop(&mut self) {
        self.deadline = None;
    }

    pub(crate) fn runs(&self) -> bool {
        self.deadline.is_some()
    }

    /// Whether its time was over before now. In the very moment in which it ends it is not: what
    /// comes in that moment belongs to the period that ends.
    pub(crate) fn has_passed(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() > end)
    }

    /// Ready when it does not run, or not any more.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Ready(());
        };
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if sleep.deadline() != deadline {
                    sleep.as_mut().reset(deadline);
                }
                sleep
            }
            None => self.sleep.insert(Box::pin(time::sleep_until(deadline))),
        };
        // A source that always has something uses up what tokio lets a task do in one go; a timer that
        // asks for more of it would never be over.
        ready!(pin!(unconstrained(sleep.as_mut())).poll(cx));
        self.deadline = None;
        Poll::Ready(())
    }
}
