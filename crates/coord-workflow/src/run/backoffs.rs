//! Steps that wait for their next attempt, and may be told not to.
//!
//! Meanwhile they take no place, neither of their run nor of all runs, and keep their permits. When the wait is over
//! they are ready like those that have not begun: the earliest in the workflow has the next place.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::Notify;

use super::Shared;
use super::limited::Held;
use super::queue::Queue;
use crate::limits::Place;

/// Where a step that takes a place is between two attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It waits until the next is to be made.
    BacksOff,
    /// It could make it.
    IsReady,
    /// It makes it.
    Goes,
}

/// Which they are, by their places.
#[derive(Default)]
pub(super) struct Backoffs(Mutex<BTreeMap<usize, Arc<Notify>>>);

impl Backoffs {
    /// Waits for as long as this does, or until somebody wants the attempt at once.
    pub(super) async fn wait(&self, step: usize, wait: impl Future<Output = ()>) {
        let wanted = Arc::new(Notify::new());
        self.waiting().insert(step, Arc::clone(&wanted));
        let _left = Left { of: self, step };
        tokio::select! {
            () = wait => {}
            () = wanted.notified() => {}
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<usize, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a step out when it waits no longer, also where it is dropped.
struct Left<'b> {
    of: &'b Backoffs,
    step: usize,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.of.waiting().remove(&self.step);
    }
}

/// A step between two attempts: when it is dropped, nothing is kept for it.
struct Resting<'r> {
    run: &'r Shared,
    step: usize,
}

impl<'r> Resting<'r> {
    fn new(run: &'r Shared, step: usize) -> Self {
        let mut queue = run.queue();
        queue.placed -= 1;
        queue.rests.insert(step, Rest::BacksOff);
        drop(queue);
        Self { run, step }
    }

    /// Until it is its turn.
    async fn turn(&self) {
        self.run.queue().is_ready_again(self.step);
        // It is woken by whose job it is to begin what is ready.
        poll_fn(|_| match self.run.queue().has_no_place(self.step) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        let mut queue = self.run.queue();
        let withdrawn = queue.has_no_place(self.step).then(|| {
            queue.ready.remove(self.step);
            // Whatever it does now it does beside those that have one: it is about to end.
            queue.placed += 1;
            queue.withdraw(self.step)
        });
        queue.rests.remove(&self.step);
        drop(queue);
        drop(withdrawn);
        drop(self.run.take_held(self.step));
    }
}

impl Queue {
    /// Whether a step is between two attempts, and one that takes a place.
    pub(super) fn rests(&self, step: usize) -> bool {
        self.rests.contains_key(&step)
    }

    /// Whether it is, and has no place.
    pub(super) fn has_no_place(&self, step: usize) -> bool {
        matches!(self.rests.get(&step), Some(Rest::BacksOff | Rest::IsReady))
    }

    /// The earliest that could make its next attempt, and is as this says.
    pub(super) fn first_ready_again(&self, is_so: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        let ready = self
            .rests
            .iter()
            .filter(|(_, rest)| **rest == Rest::IsReady);
        ready.map(|(step, _)| *step).find(|step| is_so(self, *step))
    }

    /// Whether there is room for a step that could make its next attempt. It does so in a run that is paused, too:
    /// it has begun.
    pub(super) fn may_try_again(&self) -> bool {
        self.has_room() && self.first_ready_again(|_, _| true).is_some()
    }

    /// It could make its next attempt.
    fn is_ready_again(&mut self, step: usize) {
        self.rests.insert(step, Rest::IsReady);
        self.ready.insert(step);
    }

    /// It makes it.
    #[cold]
    pub(super) fn tries_again(&mut self, step: usize) {
        self.placed += 1;
        self.rests.insert(step, Rest::Goes);
        // Who asks what is next is handed it, unless somebody polls it just now and sees for himself.
        self.wake(step);
    }
}

impl Shared {
    /// A step waits until another attempt at it is to be made, leaves its place to others meanwhile, and comes back
    /// with another. One that takes none makes its attempt whatever goes on beside it. The time of all attempts may be over before there is one: then it fails for that, which takes
    /// none.
    pub(super) async fn rest(&self, step: usize, held: Option<&mut Held>) -> Option<Place> {
        if !self.plan.steps[step].takes_place() {
            self.backoffs.wait(step, self.back_off(step)).await;
            return None;
        }
        let resting = Resting::new(self, step);
        drop(held.and_then(|held| held.place.take()));
        self.backoffs.wait(step, self.back_off(step)).await;
        tokio::select! {
            biased;
            () = resting.turn() => {}
            () = self.until_all_timed_out(step) => {}
        }
        self.take_held(step)?.place
    }

    /// Whether a step waits for nothing but a place to make its next attempt.
    pub(crate) fn is_ready_again(&self, step: &str) -> bool {
        let queue = self.queue();
        let step = self.plan.place(step);
        step.is_some_and(|step| queue.ready.contains(step) || queue.waits.contains(step))
    }

    /// Has a step make the attempt at once for which it waits. Whether it does wait for one.
    pub(crate) fn try_now(&self, step: &str) -> bool {
        let waiting = self.backoffs.waiting();
        let wanted = self.plan.place(step).and_then(|step| waiting.get(&step));
        wanted.inspect(|wanted| wanted.notify_one()).is_some()
    }
}
