//! One timer for the whole life of an operator: made when it is first needed, and then reset.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coord_bus::time::{self, Instant, Sleep};

/// Longer than anybody waits, and short enough to be added to any [`Instant`].
const FAR_FUTURE: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    runs: bool,
}

impl Timer {
    /// Runs for a period from now, whatever it did before.
    pub(crate) fn start(&mut self, period: Duration) {
        self.runs = !period.is_zero();
        if !self.runs {
            return;
        }
        let deadline = Instant::now() + period.min(FAR_FUTURE);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(deadline),
            None => self.sleep = Some(Box::pin(time::sleep_until(deadline))),
        }
    }

    /// Ready when it does not run, or not any more.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.runs
            && let Some(sleep) = &mut self.sleep
        {
            ready!(sleep.as_mut().poll(cx));
            self.runs = false;
        }
        Poll::Ready(())
    }
}
