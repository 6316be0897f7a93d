//! What the log is made of that orders memory: of the standard library, or of loom, which tries
//! every order in turn (`cargo xtask loom`).

#[cfg(not(coord_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, fence};
#[cfg(not(coord_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(coord_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, fence};
#[cfg(coord_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
