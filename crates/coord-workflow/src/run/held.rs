//! A run that is paused for a step, of which every attempt has failed: its time does not count, and
//! who hears of it is told.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use coord_bus::time::{Instant, Sleep, sleep};
use coord_bus::vocabulary::Transition;

use super::queue::Queue;
use super::{Shared, between};
use crate::course::Fact;
use crate::plan::Plan;

impl Shared {
    /// How much of its time is left; `None` while that does not count, as somebody is to see to a step.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let queue = self.queue();
        if queue.course.is_held() {
            return None;
        }
        let gone_on = between(queue.course.timed_from.unwrap_or_default(), self.elapsed());
        Some(self.plan.timeout.saturating_sub(gone_on))
    }

    /// Whether its time is over; the timer is set anew where it counts from a later time by now.
    pub(super) fn is_expired(&self, timer: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> bool {
        // A timer that is over when it is made may say so only when it is asked again.
        while timer.deadline() <= Instant::now() || timer.as_mut().poll(cx).is_ready() {
            match self.time_left() {
                None => return false,
                Some(Duration::ZERO) => return true,
                Some(left) => timer.set(sleep(left)),
            }
        }
        false
    }

    /// Tells of the steps for which a run that is taken up is paused.
    pub(super) async fn tell_exhausted(&self) {
        if !self.is_heard() {
            return;
        }
        let exhausted: Vec<_> = self.queue().course.exhausted().collect();
        for step in exhausted {
            let record = self.queue().course.step(step).clone();
            let told = || Transition::StepExhausted {
                step: self.step_id(step),
                attempt: record.attempts,
                error: record
                    .error
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                duration: Duration::ZERO,
            };
            self.tell(told).await;
        }
    }
}

impl Queue {
    /// What is exhausted has all its attempts again, if something is.
    pub(super) fn go_on(&mut self, plan: &Plan, at: u64) {
        let fact = Fact::Continued { at };
        // One that is left as it is goes on when it is taken up.
        if !self.suspended && self.course.admits(plan, &fact).is_ok() {
            self.apply(plan, fact);
        }
    }
}
