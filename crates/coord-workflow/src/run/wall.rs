//! The time of a durable run is that of the clock on the wall. Timers stand still while the machine sleeps, and so does
//! what is read from them: it is compared now and then, and where it is behind, the time of the run leaps.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use coord_bus::Timestamp;
use coord_bus::time::{Clock, sleep};

use super::queue::Queue;
use super::{LONGEST, Shared, between};
use crate::course::Phase;
use crate::live_runs::LiveRuns;
use crate::plan::Plan;
use crate::shape::Shape;

/// How often that is: so much later than it should a wait may end.
const COMPARED_EVERY: Duration = Duration::from_secs(60);

/// By how much time leaps at least. Of two clocks one is always a little behind.
const LEAP_MIN: u64 = 1_000_000_000;

/// Compares the time of these runs with the clock.
pub(crate) async fn compare(clock: &dyn Clock, runs: &LiveRuns) -> Infallible {
    loop {
        sleep(COMPARED_EVERY).await;
        let now = clock.now();
        runs.all().iter().for_each(|run| run.leap_to(now));
    }
}

impl Shared {
    /// Where the time of the run is behind this, it leaps. It never goes back.
    fn leap_to(&self, now: Timestamp) {
        let since = Duration::try_from(now.duration_since(self.started_at)).unwrap_or_default();
        let since = since.min(LONGEST).as_nanos() as u64;
        let mut queue = self.queue();
        let behind = since.saturating_sub(self.elapsed());
        if behind < LEAP_MIN {
            return;
        }
        self.watched.leapt.fetch_add(behind, Ordering::Relaxed);
        let woken = queue.wake_who_waits(&self.plan);
        drop(queue);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Whether it has leapt since it was by so much.
    #[inline]
    pub(super) fn has_leapt(&self, seen: &mut u64) -> bool {
        let leapt = self.watched.leapt.load(Ordering::Relaxed);
        std::mem::replace(seen, leapt) != leapt
    }

    /// Waits until nothing is left of what counts by the time of the run.
    pub(super) async fn wait_while(&self, left: impl Fn() -> Duration) {
        let mut leapt = self.watched.leapt.load(Ordering::Relaxed);
        let time = left();
        if time.is_zero() {
            return;
        }
        let mut timer = pin!(sleep(time));
        poll_fn(|cx| {
            if self.has_leapt(&mut leapt) {
                timer.set(sleep(left()));
            }
            timer.as_mut().poll(cx)
        })
        .await;
    }

    /// Waits until a step that began when it did has slept for so long.
    pub(crate) async fn sleep(&self, step: usize, time: Duration) {
        let slept = || between(self.queue().course.step(step).started, self.elapsed());
        self.wait_while(|| time.saturating_sub(slept())).await;
    }

    /// Waits until another attempt at a step is to be made.
    pub(super) async fn back_off(&self, step: usize) {
        let left = || between(self.elapsed(), self.queue().course.step(step).ended);
        self.wait_while(left).await;
    }

    /// Waits until the time of all attempts at a step is over, if it is limited.
    pub(super) async fn until_all_timed_out(&self, step: usize) {
        let left = || {
            self.total_left(step)
                .map_or(Duration::MAX, |(_, left)| left)
        };
        self.wait_while(left).await;
    }
}

impl Queue {
    /// What waits for a time looks at it again. Who is to be woken for that, the driver among them.
    fn wake_who_waits(&mut self, plan: &Plan) -> Vec<Waker> {
        // There are none any more once the run has its outcome.
        let steps = plan.steps.iter().zip(self.course.steps()).enumerate();
        let waits = steps.filter(|(_, (planned, record))| {
            let repeats = matches!(planned.shape, Some(Shape::Repeat { .. }));
            record.phase == Phase::Pausing || planned.wait.is_some() || repeats
        });
        let waits: Vec<_> = waits.map(|(step, _)| step).collect();
        for step in waits {
            self.wake(step);
        }
        std::mem::take(&mut self.idle)
    }
}
