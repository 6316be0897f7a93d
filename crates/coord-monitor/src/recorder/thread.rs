//! Numbers of threads: small ones, each of one thread at a time.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many threads have a number of their own at most.
const NUMBERS: usize = super::OWNED_MAX;

/// Of all threads that have no number of their own.
pub(super) const SHARED: usize = usize::MAX;

/// Of a thread that has not asked yet.
const UNKNOWN: usize = usize::MAX - 1;

static FREE: Mutex<[bool; NUMBERS]> = Mutex::new([true; NUMBERS]);

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
    static HELD: Held = Held::take();
}

/// Gives a number back when its thread ends. The lock hands on what the thread has written.
struct Held(usize);

impl Held {
    fn take() -> Self {
        let mut free = free();
        let number = free.iter().position(|is_free| *is_free);
        if let Some(number) = number {
            free[number] = false;
        }
        Self(number.unwrap_or(SHARED))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What this thread still does while it ends.
        NUMBER.set(SHARED);
        if let Some(is_free) = free().get_mut(self.0) {
            *is_free = true;
        }
    }
}

fn free() -> MutexGuard<'static, [bool; NUMBERS]> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of this thread, or [`SHARED`].
#[inline]
pub(super) fn number() -> usize {
    match NUMBER.get() {
        UNKNOWN => ask(),
        known => known,
    }
}

#[cold]
#[inline(never)]
fn ask() -> usize {
    let number = HELD.try_with(|held| held.0).unwrap_or(SHARED);
    NUMBER.set(number);
    number
}
