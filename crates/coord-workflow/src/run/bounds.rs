//! What bounds an attempt at a step: its own time, and that of all attempts together, with the waits between them.

use std::time::Duration;

use super::{Shared, between};
use crate::StepError;
use crate::error::AttemptError;
use crate::shape::Shape;

/// What bounds an attempt.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) timeout: Duration,
    /// That of all attempts together, if it is what is left of that.
    pub(super) total: Option<Duration>,
    /// The step, if it only waits: its time is that of the run, and some of it may be over already.
    pub(super) waits: Option<usize>,
    /// For how long it may give no sign of life.
    pub(super) heartbeat: Option<Duration>,
    /// How long it has to end once it is told to; `None`: the grace of its orchestrator.
    pub(super) grace: Option<Duration>,
    /// The step, if its work is another run, or several: while one is paused, its time does not count.
    pub(super) child: Option<usize>,
    /// Whether it is a round of the attempt.
    pub(super) is_round: bool,
}

impl Bounds {
    /// Its time is.
    pub(super) fn timeout(timeout: Duration) -> Self {
        Self {
            timeout,
            total: None,
            waits: None,
            heartbeat: None,
            grace: None,
            child: None,
            is_round: false,
        }
    }

    /// What an attempt has failed with that it ends.
    pub(super) fn timed_out(&self) -> AttemptError {
        match self.total {
            Some(total) => AttemptError::AllTimedOut(total),
            None => AttemptError::TimedOut(self.timeout),
        }
    }
}

impl Shared {
    /// What bounds an attempt at a step. A run that is the work of a step ends in its own time; and the
    /// rounds of one that repeats have these bounds each.
    pub(super) fn bounds(&self, step: usize) -> Bounds {
        let call = self.bounds_of_call(step);
        let bounds = match self.plan.steps[step].shape {
            Some(Shape::Repeat { .. }) => Bounds {
                grace: Some(Duration::MAX),
                child: call.child,
                ..Bounds::timeout(Duration::MAX)
            },
            _ => call,
        };
        self.bounds_of_all(step, bounds)
    }

    /// What bounds a round of it.
    pub(super) fn bounds_of_round(&self, step: usize) -> Bounds {
        Bounds {
            is_round: true,
            ..self.bounds_of_call(step)
        }
    }

    /// What bounds one call of its function, or the runs that it calls for.
    fn bounds_of_call(&self, step: usize) -> Bounds {
        let planned = &self.plan.steps[step];
        let child = planned.runs_workflow().then_some(step);
        Bounds {
            waits: planned.wait.as_ref().map(|_| step),
            heartbeat: planned.heartbeat_timeout,
            grace: child.map(|_| Duration::MAX),
            child,
            ..Bounds::timeout(planned.timeout)
        }
    }

    /// The limit of a step that has one, and how much of it is left, whoever drove the run meanwhile.
    pub(super) fn total_left(&self, step: usize) -> Option<(Duration, Duration)> {
        let total = self.plan.steps[step].total_timeout?;
        let since = self.queue().course.tried_since(step);
        let gone_on = since.map_or(Duration::ZERO, |since| between(since, self.elapsed()));
        Some((total, total.saturating_sub(gone_on)))
    }

    /// What bounds an attempt that is one of all of them.
    fn bounds_of_all(&self, step: usize, bounds: Bounds) -> Bounds {
        let Some((total, left)) = self.total_left(step) else {
            return bounds;
        };
        // Some of the time of one that only waits is over already.
        let waited = bounds
            .waits
            .map_or(Duration::ZERO, |step| self.waited(step));
        let left = left.saturating_add(waited);
        match left < bounds.timeout {
            true => Bounds {
                timeout: left,
                total: Some(total),
                ..bounds
            },
            false => bounds,
        }
    }

    /// What an attempt failed with, and after how long there is another: none, where it would not begin in time.
    pub(super) fn another_in_time(
        &self,
        step: usize,
        error: StepError,
        wait: Option<Duration>,
    ) -> (StepError, Option<Duration>) {
        let Some(after) = wait else {
            return (error, None);
        };
        match self.total_left(step) {
            Some((total, left)) if after >= left => {
                let is_told = matches!(error.downcast_ref(), Some(AttemptError::AllTimedOut(_)));
                let why = format!("no other attempt begins within {total:?}, its total timeout");
                let error = if is_told { error } else { error.context(why) };
                (error, None)
            }
            _ => (error, wait),
        }
    }
}
