//! Does on another thread what would hold up this one, and undoes it if nobody wants it any more.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coord_bus::run_blocking;

/// Where the thread puts what it made.
enum Place<T> {
    Wanted,
    Made(T),
    Unwanted,
}

/// What somebody waits for.
struct Wanted<T>(Arc<Mutex<Place<T>>>);

/// What `make` makes, on another thread.
///
/// # Cancel safety
///
/// Dropped before it is done, nothing is made any more, and what has been is dropped by then: if `make`
/// is under way, its end is waited for.
pub(super) async fn on_another_thread<T: Send + 'static>(
    make: impl FnOnce() -> T + Send + 'static,
) -> T {
    let wanted = Wanted(Arc::new(Mutex::new(Place::Wanted)));
    let place = Arc::clone(&wanted.0);
    run_blocking(move || {
        let mut place = lock(&place);
        if let Place::Wanted = *place {
            *place = Place::Made(make());
        }
    })
    .await;
    match wanted.take() {
        Place::Made(made) => made,
        // Only a panic leaves the place empty, and goes on in who awaits this.
        Place::Wanted | Place::Unwanted => std::future::pending().await,
    }
}

impl<T> Wanted<T> {
    fn take(&self) -> Place<T> {
        mem::replace(&mut *lock(&self.0), Place::Unwanted)
    }
}

impl<T> Drop for Wanted<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

fn lock<T>(place: &Mutex<Place<T>>) -> MutexGuard<'_, Place<T>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::task::{Context, Waker};
    use std::thread;

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn one_thread() -> Runtime {
        let mut builder = Builder::new_current_thread();
        builder.max_blocking_threads(1).build().unwrap()
    }

    /// Polls it once, and drops it when `then` has returned.
    fn give_up<T>(future: impl Future<Output = T>, then: impl FnOnce()) {
        let mut future = pin!(future);
        let polled = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        then();
    }

    /// Says when it is dropped.
    struct Made(Arc<AtomicBool>);

    impl Drop for Made {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn who_waits_for_it_gets_what_is_made() {
        let runtime = one_thread();
        let here = thread::current().id();
        let there = runtime.block_on(on_another_thread(|| thread::current().id()));
        assert_ne!(here, there);
    }

    #[test]
    fn what_is_under_way_when_it_is_given_up_has_been_dropped_by_then() {
        let runtime = one_thread();
        let _context = runtime.enter();
        let is_dropped = Arc::new(AtomicBool::new(false));
        let made = Made(Arc::clone(&is_dropped));
        let is_unwanted = Arc::new(AtomicBool::new(false));
        let unwanted = Arc::clone(&is_unwanted);
        let (begun, has_begun) = mpsc::sync_channel(1);
        let work = on_another_thread(move || {
            begun.send(()).unwrap();
            while !unwanted.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            // A moment in which somebody who did not wait would be gone.
            (0..1_000).for_each(|_| thread::yield_now());
            made
        });
        give_up(work, || {
            has_begun.recv().unwrap();
            is_unwanted.store(true, Ordering::SeqCst);
        });
        assert!(is_dropped.load(Ordering::SeqCst));
    }

    #[test]
    fn what_has_not_begun_when_it_is_given_up_never_does() {
        let runtime = one_thread();
        let _context = runtime.enter();
        let (free, is_free) = mpsc::sync_channel::<()>(1);
        let busy = runtime.spawn_blocking(move || is_free.recv());
        let is_made = Arc::new(AtomicBool::new(false));
        let made = Arc::clone(&is_made);
        give_up(
            on_another_thread(move || made.store(true, Ordering::SeqCst)),
            || (),
        );
        free.send(()).unwrap();
        runtime.block_on(busy).unwrap().unwrap();
        // The thread takes what waits in turn.
        runtime.block_on(on_another_thread(|| ()));
        assert!(!is_made.load(Ordering::SeqCst));
    }

    #[test]
    fn a_panic_there_is_one_here() {
        let runtime = one_thread();
        let panic =
            std::panic::catch_unwind(|| runtime.block_on(on_another_thread(|| panic!("lost"))));
        assert!(panic.is_err());
    }
}
