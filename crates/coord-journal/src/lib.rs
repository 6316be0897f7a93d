//! An event log that lasts, with leases, in a directory of its own.

#[cfg(not(unix))]
compile_error!("coord-journal keeps its files to their owner by the modes that only Unix has");

use std::time::Duration;

mod options;
mod journal;
mod writer;
mod readers;
mod tails;
mod watch;
mod streams;
mod records;
mod heads;
mod leases;
mod lease_clock;
mod moment;
mod chain;
mod store;
mod place;
mod schema;
mod retention;
mod check;
mod export;
mod error;
#[cfg(test)]
mod plans;

pub use check::{CheckReport, MAX_FAULTS};
pub use error::{Cause, Damage, JournalError};
pub use journal::Journal;
pub use options::JournalOptions;
pub use retention::Retention;

/// How often a tail looks for what other processes have appended. What its own process appends it
/// sees at once.
pub const TAIL_INTERVAL: Duration = Duration::from_millis(25);

/// The most leases that are held at a time, as in
/// [`MemoryLeases`](https://docs.rs/coord-bus). A program that makes names from input meets an error
/// there, and not the end of its disk.
pub const MAX_LEASES: usize = 65_536;
