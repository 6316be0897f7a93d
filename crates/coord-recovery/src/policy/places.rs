//! Places for calls: taken and given back by one atomic instruction each while nobody waits.
//!
//! A semaphore of tokio's takes its lock whenever a permit comes back, which is two more of them. Here
//! it is only where places are handed to those who wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

/// Who waits is counted in the upper half.
const ONE_WAITS: u64 = 1 << 32;

#[derive(Debug)]
pub(super) struct Places {
    /// How many are free in the lower half, how many wait in the upper one. One of them is 0: so who
    /// finds a place free overtakes nobody.
    state: AtomicU64,
    /// Those that were given to who waits, and are not taken yet. With `state`, as many as wait.
    handed: Semaphore,
    /// Whoever makes it fewer that wait: handing one over is two steps.
    handing: Mutex<()>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'p>(&'p Places);

/// A place in the queue, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'p> {
    places: &'p Places,
    is_served: bool,
}

impl Places {
    pub(super) fn new(free: u32) -> Self {
        Self {
            state: AtomicU64::new(u64::from(free)),
            handed: Semaphore::new(0),
            handing: Mutex::new(()),
        }
    }

    pub(super) fn free(&self) -> usize {
        (self.state.load(Ordering::Relaxed) % ONE_WAITS) as usize
    }

    pub(super) fn waiting(&self) -> usize {
        (self.state.load(Ordering::Relaxed) / ONE_WAITS) as usize
    }

    #[inline]
    pub(super) fn try_take(&self) -> Option<Place<'_>> {
        self.change(|state| (state % ONE_WAITS > 0).then(|| state - 1))
            .then(|| Place(self))
    }

    /// A place in the queue, if there are fewer than so many in it.
    pub(super) fn queue(&self, max_waiting: usize) -> Option<Waiting<'_>> {
        let mut is_served = false;
        let is_in = self.change(|state| {
            is_served = state % ONE_WAITS > 0;
            match is_served {
                true => Some(state - 1),
                false => (state / ONE_WAITS < max_waiting.min(u32::MAX as usize) as u64)
                    .then(|| state + ONE_WAITS),
            }
        });
        is_in.then(|| Waiting {
            places: self,
            is_served,
        })
    }

    #[inline]
    fn give_back(&self) {
        if !self.change(|state| (state < ONE_WAITS).then(|| state + 1)) {
            self.hand_over(&self.lock());
        }
    }

    /// To the first who waits, if anybody still does.
    #[cold]
    fn hand_over(&self, _: &MutexGuard<'_, ()>) {
        let mut is_for_one_who_waits = false;
        self.change(|state| {
            is_for_one_who_waits = state >= ONE_WAITS;
            Some(match is_for_one_who_waits {
                true => state - ONE_WAITS,
                false => state + 1,
            })
        });
        if is_for_one_who_waits {
            self.handed.add_permits(1);
        }
    }

    /// One who waited does so no more, and has no place.
    fn leave(&self) {
        let handing = self.lock();
        // One is counted as waiting, or a place was handed over that nobody will take. Which of both may
        // change between two looks: one who comes just now may take that place, and is counted instead.
        while !self.change(|state| state.checked_sub(ONE_WAITS)) {
            if let Ok(place) = self.handed.try_acquire() {
                place.forget();
                return self.hand_over(&handing);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.handing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was something to change it to.
    #[inline]
    fn change(&self, to: impl FnMut(u64) -> Option<u64>) -> bool {
        // What was done in a place is seen by who has it next.
        let state = &self.state;
        let changed = state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, to);
        changed.is_ok()
    }
}

impl Drop for Place<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.give_back();
    }
}

impl<'p> Waiting<'p> {
    /// Waits for its turn. Dropped before, it lets the next one move up.
    pub(super) async fn served(mut self) -> Place<'p> {
        if !self.is_served {
            match self.places.handed.acquire().await {
                Ok(handed) => handed.forget(),
                // It is never closed.
                Err(_) => std::future::pending().await,
            }
            self.is_served = true;
        }
        let place = Place(self.places);
        std::mem::forget(self);
        place
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        match self.is_served {
            true => self.places.give_back(),
            false => self.places.leave(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Poll, Waker};
    use std::thread;

    use futures_util::future::FutureExt;
    use proptest::prelude::*;

    use super::*;

    type Turn<'p> = Pin<Box<dyn Future<Output = Place<'p>> + 'p>>;

    #[derive(Debug, Clone)]
    enum Step {
        Take,
        Queue(usize),
        /// Those that wait are looked at: whoever is served has a place from then on.
        Serve,
        GiveBack(prop::sample::Index),
        Leave(prop::sample::Index),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Take),
            (0..5_usize).prop_map(Step::Queue),
            Just(Step::Serve),
            any::<prop::sample::Index>().prop_map(Step::GiveBack),
            any::<prop::sample::Index>().prop_map(Step::Leave),
        ];
        prop::collection::vec(step, 1..80)
    }

    proptest! {
        #[test]
        fn places_go_to_who_came_first_and_none_is_lost(limit in 1..4_u32, steps in steps()) {
            let places = Places::new(limit);
            let mut taken = Vec::new();
            let mut turns: VecDeque<(usize, Turn<'_>)> = VecDeque::new();
            let mut context = Context::from_waker(Waker::noop());
            // The model: how many have a place, and who waits or was handed one, in their order.
            let mut came = 0;
            for step in steps {
                let free = limit as usize - taken.len();
                match step {
                    Step::Take => {
                        let place = places.try_take();
                        prop_assert_eq!(place.is_some(), free > turns.len());
                        taken.extend(place);
                    }
                    Step::Queue(max) => {
                        let waiting = turns.len().saturating_sub(free);
                        let turn = places.queue(max);
                        prop_assert_eq!(turn.is_some(), free > turns.len() || waiting < max);
                        if let Some(turn) = turn {
                            let mut turn: Turn<'_> = Box::pin(turn.served());
                            match turn.as_mut().poll(&mut context) {
                                Poll::Ready(place) => taken.push(place),
                                Poll::Pending => turns.push_back((came, turn)),
                            }
                            came += 1;
                        }
                    }
                    Step::Serve => {
                        let first = turns.iter().take(free).map(|(number, _)| *number);
                        let first: Vec<_> = first.collect();
                        let mut served = Vec::new();
                        turns.retain_mut(|(number, turn)| {
                            match turn.as_mut().poll(&mut context) {
                                Poll::Ready(place) => {
                                    served.push(*number);
                                    taken.push(place);
                                    false
                                }
                                Poll::Pending => true,
                            }
                        });
                        prop_assert_eq!(served, first);
                    }
                    Step::GiveBack(which) if !taken.is_empty() => {
                        drop(taken.swap_remove(which.index(taken.len())));
                    }
                    Step::Leave(which) if !turns.is_empty() => {
                        drop(turns.remove(which.index(turns.len())));
                    }
                    Step::GiveBack(_) | Step::Leave(_) => {}
                }
                let free = limit as usize - taken.len();
                prop_assert_eq!(places.free(), free.saturating_sub(turns.len()));
                prop_assert_eq!(places.waiting(), turns.len().saturating_sub(free));
            }
            drop((turns, taken));
            prop_assert_eq!((places.free(), places.waiting()), (limit as usize, 0));
        }
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime starts").block_on(future)
    }

    #[test]
    fn threads_that_come_wait_and_leave_are_never_too_many_and_leave_all_places_free() {
        let places = Places::new(3);
        let inside = AtomicUsize::new(0);
        let in_a_place = |place: Place<'_>| {
            let others = inside.fetch_add(1, Ordering::SeqCst);
            assert!(others < 3, "{others} others have a place");
            thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
            drop(place);
        };
        thread::scope(|scope| {
            for thread in 0..4 {
                let (places, in_a_place) = (&places, &in_a_place);
                scope.spawn(move || {
                    for turn in 0..20_000 {
                        match (thread + turn) % 3 {
                            0 => places.try_take().map(in_a_place),
                            // In time, or it leaves.
                            1 => places
                                .queue(8)
                                .and_then(|it| it.served().now_or_never())
                                .map(in_a_place),
                            _ => places.queue(8).map(|it| in_a_place(wait(it.served()))),
                        };
                    }
                });
            }
        });
        assert_eq!((places.free(), places.waiting()), (3, 0));
    }
}
