//! What the log is made of that orders memory: of the standard library, or of loom, which tries
//! every order in turn (`cargo xtask loom`).
//!
//! `Arc` and `Weak` stay the standard library's: loom's can neither be made in a cycle nor hold a
//! slice or a trait's object. So loom takes them to be right, and to order nothing.

#[cfg(not(coord_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, fence};
#[cfg(not(coord_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};

#[cfg(coord_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, fence};
#[cfg(coord_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(coord_loom)]
pub(crate) use once_lock::OnceLock;

/// The standard library's `OnceLock` with the one promise of it that the log relies on made
/// visible to loom: whoever finds it filled sees what it was filled with, and whoever is told of
/// that in the wrong order finds it empty.
#[cfg(coord_loom)]
mod once_lock {
    use std::sync;

    use loom::sync::atomic::{AtomicBool, Ordering};

    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        filled: AtomicBool,
        value: sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self {
                filled: AtomicBool::new(false),
                value: sync::OnceLock::new(),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.value
                .get()
                .filter(|_| self.filled.load(Ordering::Acquire))
        }

        pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
            let value = self.value.get_or_init(init);
            self.filled.store(true, Ordering::Release);
            value
        }

        pub(crate) fn take(&mut self) -> Option<T> {
            // Anew: that nobody else has it any more, an `Arc` says, which loom does not see.
            self.filled = AtomicBool::new(false);
            self.value.take()
        }
    }

    impl<T> From<T> for OnceLock<T> {
        fn from(value: T) -> Self {
            Self {
                filled: AtomicBool::new(true),
                value: value.into(),
            }
        }
    }
}
