//! A run that is paused for a step, of which every attempt has failed: its time does not count, nor does that of
//! the run whose step it is the work of; and who hears of it is told.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use coord_bus::time::{Instant, Sleep, sleep};
use coord_bus::vocabulary::Transition;
use tokio::sync::Notify;

use super::bounds::Bounds;
use super::queue::Queue;
use super::{Shared, between};
use crate::course::Fact;
use crate::plan::Plan;

/// The timer of an attempt, or of a run.
pub(super) struct Timer {
    pub(super) sleep: Pin<Box<Sleep>>,
    /// By how much the time of the run had leapt when it was set.
    leapt: u64,
    /// Whether it has no end, as the run that is the work of the attempt is paused.
    is_paused: bool,
}

impl Timer {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            sleep: Box::pin(sleep(timeout)),
            // Nobody has looked.
            leapt: u64::MAX,
            is_paused: false,
        }
    }
}

impl Shared {
    /// How much of its time is left; `None` while that does not count, as somebody is to see to a step.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let queue = self.queue();
        if queue.course.stands_still() {
            return None;
        }
        let gone_on = between(queue.course.timed_from.unwrap_or_default(), self.elapsed());
        let limit = self.plan.time_limit(self.is_durable);
        Some(limit.unwrap_or(Duration::MAX).saturating_sub(gone_on))
    }

    /// Whether its time is over; the timer is set anew where it counts from a later time by now.
    pub(super) fn is_expired(&self, timer: &mut Timer, cx: &mut Context<'_>) -> bool {
        let sleeps = &mut timer.sleep;
        // A timer that is over when it is made may say so only when it is asked again.
        while self.has_leapt(&mut timer.leapt)
            || sleeps.deadline() <= Instant::now()
            || sleeps.as_mut().poll(cx).is_ready()
        {
            match self.time_left() {
                None => return false,
                Some(Duration::ZERO) => return true,
                Some(left) => sleeps.set(sleep(left)),
            }
        }
        false
    }

    /// Sets the timer of an attempt that only waits, where the time of the run has leapt.
    pub(super) fn time_wait(&self, step: usize, timer: &mut Timer, timeout: Duration) {
        if self.has_leapt(&mut timer.leapt) {
            let left = timeout.saturating_sub(self.waited(step));
            timer.sleep.set(sleep(left));
        }
    }

    /// The run that is the work of a step, or at an item of its list, or in a round, is paused, or not any more, as far as
    /// is known now.
    pub(super) fn child_is_paused(&self, step: usize, part: Option<usize>, is_paused: bool) {
        let fact = Fact::Child {
            step,
            part,
            is_paused,
            at: self.elapsed(),
        };
        let mut queue = self.queue();
        // One that is left as it is finds out when it is taken up.
        if queue.suspended || queue.course.admits(&self.plan, &fact).is_err() {
            return;
        }
        queue.apply(&self.plan, fact);
        // The driver among them: the time of the run may count anew.
        let mut woken = std::mem::take(&mut queue.idle);
        let recorder = queue.recorder.as_mut();
        woken.extend(recorder.and_then(|recorder| recorder.call_writer(true)));
        drop(queue);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Sets the timer of an attempt, or of a round of one, whose work is another run, or several: while one is paused there is no end to it,
    /// and once all go on there is all of its time again.
    pub(super) fn time_child(&self, step: usize, timer: &mut Timer, limits: &mut Bounds) {
        let is_paused = self.queue().course.is_child_paused(step);
        if is_paused != timer.is_paused {
            timer.is_paused = is_paused;
            *limits = match limits.is_round {
                true => self.bounds_of_round(step),
                false => self.bounds(step),
            };
            let time = match is_paused {
                true => Duration::MAX,
                false => limits.timeout,
            };
            timer.sleep.set(sleep(time));
        }
    }

    /// What says that this run stands still, or goes on, since it was looked at last.
    pub(super) fn stillness(&self) -> (bool, Arc<Notify>) {
        let mut queue = self.queue();
        let changed = Arc::clone(queue.stillness.get_or_insert_default());
        (queue.course.stands_still(), changed)
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
                attempt: record.begun(),
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
