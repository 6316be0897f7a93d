//! The output of runs that are kept: beside the journal, in files that can be read with `cat`.
//!
//! `output/RUN/PROCESS.NUMBER.log` has the lines of a process, each as [`record`] writes it; the files
//! of a process are numbered from 1, and the newest are kept. Those of [`EVENTS`] have what happened to all of
//! them ([`events`]). `output/RUN/missing` says what could not
//! be written; whoever writes holds a lock on it. One thread a run writes ([`keeping`]), as a
//! subscriber of the bus.

mod keeping;
mod merged;
mod missing;
mod place;
mod reader;
mod record;
mod store;
mod events;

use std::time::Duration;

use coordination::bus::Timestamp;

pub(crate) use events::{EVENTS, KeptEvent};
pub(crate) use keeping::{Keeping, TITLE};
pub(crate) use merged::Merged;
pub(crate) use place::{Kept, forget_others};
pub(crate) use record::Record;

/// How far ahead a time is that is not yet to come, but of before the clock was set back.
const AHEAD: Duration = Duration::from_secs(1);

/// Whether nothing earlier than this is to come, where that is so until then. What is kept goes on from the latest
/// time that there was, so once the clock was set back its times tell only what came first.
pub(crate) fn is_due(at: Timestamp, until: Timestamp) -> bool {
    at <= until || until.checked_add(AHEAD).is_ok_and(|ahead| at > ahead)
}

/// How much of what is printed is kept.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// How large a file becomes, at most, unless its first lines are larger.
    file: u64,
    /// How many files a process has.
    files: usize,
    /// How large all files of a run are together, about.
    run: u64,
}

/// 16 MiB for each process, 256 MiB for each run.
const BOUNDS: Bounds = Bounds {
    file: 8 << 20,
    files: 2,
    run: 256 << 20,
};
