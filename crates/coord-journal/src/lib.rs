//! An event log that lasts, with leases: SQLite behind one writer, for programs that must go on
//! where they were killed.
//!
//! A [`Journal`] is an [`EventLog`] and a keeper of [`Lease`]s, in a directory of its own:
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! use std::time::Duration;
//!
//! use coord_bus::{AppendTo, EventLog, ExpectedVersion, Lease, Record, StreamQuery};
//! use coord_journal::Journal;
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path().join("journal");
//! let journal = Journal::open(&dir)?;
//! let grant = journal.acquire("worker-1", "this process", Duration::from_secs(30)).await?;
//! let start = AppendTo::stream("run-1")
//!     .expecting(ExpectedVersion::Empty) // nobody else has begun it
//!     .fenced_by(&grant) // and nobody has taken over from us
//!     .record(Record::new("started", "{}"));
//! journal.append(start).await?; // it is on the disk now
//! drop(journal); // or kill -9
//!
//! let journal = Journal::open(&dir)?;
//! let half_done = journal.streams(&StreamQuery::newest_first().open()).await?;
//! assert_eq!(half_done[0].name, "run-1");
//! let finish = AppendTo::stream("run-1").record(Record::new("finished", "{}"));
//! journal.append(finish.closing()).await?;
//! assert!(journal.check().await?.is_clean());
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it promises
//!
//! **Durability.** An append that asked for [`Durability::Disk`], the default, has been synced when
//! it returns, and with it everything that was appended before it, by whichever process. One that
//! asked for less survives the end of its process at any point (`kill -9`), and not a loss of power.
//! Appends that wait become one transaction with one sync.
//!
//! **Several processes.** Any number may have a journal open. Each append compares versions and
//! tokens in its own transaction. A [tail](EventLog::tail) sees what its own process appends at
//! once, and what others append within [`TAIL_INTERVAL`] and a moment. The journal has to be on a
//! disk of this machine: neither SQLite's locks nor those by which leases end with their process work
//! over a network.
//!
//! **Leases.** Each token is larger than every one before it, of any name, also after a loss of
//! power. A lease ends with the [`Journal`] through which it was acquired, or renewed last: when that
//! is dropped, or its process ends, be it by `kill -9`, whoever asks next sees at once that it is
//! free. A process that is suspended keeps its leases for their time. Times are those of the wall clock, which is guarded against being set back: then they go on
//! by the monotonic clock, and a process that begins meanwhile begins at the latest time that leases
//! were counted by. A clock that is set *forward* ends leases early; that is what
//! [fences](AppendTo::fenced_by) are for.
//!
//! **Bounds.** 2048 writes and 256 reads wait in queues, and more wait for a place there. At most
//! [`MAX_LEASES`] leases are held. A record has at most [`MAX_RECORD_BYTES`]. Streams and records are bounded by the disk: see
//! [`Journal::retain`].
//!
//! **Threads.** One that writes, as many as there are processors (four at most) that read, and one
//! that looks for what other processes append while there is a tail. No call blocks the runtime but
//! those that say so: opening, dropping, [`Journal::export`], and appends where
//! [`JournalOptions::commit_in_place`] is asked for. The threads end with the journal;
//! those that read, with its last tail.
//!
//! **Cancellation.** Any future may be dropped at any time. What is in the queue by then happens.
//!
//! # When the disk fails
//!
//! An append is refused with [`EventLogError::Failed`], or `Busy`, whose source is a [`JournalError`] that says
//! what happened and what to do: `DiskFull`, `ReadOnly`, `Io`, `Busy`, `Damaged`, `Removed`. What was
//! acknowledged stays, and can still be read. After anything but `Busy` nothing more is acknowledged
//! (`Stopped`) until the journal is opened again: once a sync has failed, a later one may succeed
//! without the lost pages.
//!
//! # What of damage is found, and what is not
//!
//! Each record is under a BLAKE3 checksum of its stream's name, its version, time, kind and payload,
//! and of the checksum before it. The end of each stream, with its version, last checksum, and
//! whether it is closed, is kept apart under a seal of its own, as is each lease. What is read is
//! verified, so a record that was changed, moved, added, or taken out or off the end is
//! [named](Damage), and never read as truth. [`Journal::check`] looks at everything, with SQLite's
//! own check of pages and indexes.
//!
//! A write-ahead log that is missing, empty or cut short reads to SQLite like one whose end was never reached. So how
//! far the log and the journal were synced is noted in a file of its own, `journal.synced`, and compared when the journal
//! is opened and checked: what is not as far is [`JournalError::Damaged`] ([`Damage::Log`], [`Damage::Behind`]), and
//! says what to do. Whoever has copied the log into the file, another program too, nothing is missing then. What is
//! whole is saved by [`JournalOptions::salvaging`]. The note has no sync of its own, so after a loss of power it may
//! say less than was synced, never more.
//!
//! Not found is:
//!
//! - **a whole earlier state**, if the note beside it is of then, or not there: as of a copy of `journal.db` alone that
//!   was made while the journal was open.
//! - **what was not synced**: SQLite reads its log up to where it is not whole, as after a loss of power.
//! - **a forger** who rewrites records, ends and seals alike: checksums are no signatures.
//! - **a stream that is missing with all that belongs to it**, unless the damage also shows in an
//!   index or a page: it looks like one that was forgotten.
//! - while only *reading* by name, an index that has lost a stream: it reads as one that has not
//!   begun. [`Journal::check`] finds that.
//!
//! # What is in the directory
//!
//! `journal.db`, which any tool for SQLite can open, its write-ahead log `journal.db-wal` and index
//! `journal.db-shm`, `journal.synced`, which says how far that log and the journal are on the disk, and `journal.lock`,
//! which is held while the journal is opened. In `holders` each
//! open journal that acquires leases has a file, which it has locked (`flock`): so the kernel says
//! whether it is still there. What is left over there is taken away by whoever finds it; who takes
//! away more than that ends leases that are held. In a copy of the directory no lease is held. A copy of a
//! journal that is open has to be made by such a tool (`VACUUM INTO`), not file by file, and has no note; where
//! it is put back in the place of a later state, that one's note is to be removed. A later
//! version of this crate brings the tables of an earlier one up to its own; an earlier one refuses
//! those of a later one by name.
//!
//! An open journal's log is up to 8 MiB long, most of which may be room that is not used yet. Where SQLite
//! is built with `LIBSQLITE3_FLAGS=-DHAVE_FDATASYNC=1`, a sync does not wait for the times of the file: an
//! append that has to be on the disk is then a little quicker, and no less safe.

#[cfg(not(unix))]
compile_error!("coord-journal keeps its files to their owner by the modes that only Unix has");

use std::time::Duration;

#[cfg(doc)]
use coord_bus::{AppendTo, Durability, EventLog, EventLogError, Lease};

mod options;
mod journal;
mod writer;
mod readers;
mod reading;
mod tails;
mod watch;
mod streams;
mod records;
mod heads;
mod leases;
mod position;
mod lease_clock;
mod presence;
mod moment;
mod chain;
mod store;
mod files;
mod place;
mod copied;
mod synced;
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
pub use records::MAX_RECORD_BYTES;
pub use retention::{Compaction, Retention};

/// How often a tail looks for what other processes have appended. What its own process appends it
/// sees at once.
pub const TAIL_INTERVAL: Duration = Duration::from_millis(25);

/// The most leases that are held at a time. A program that makes names from input meets an error
/// there, and not the end of its disk.
pub const MAX_LEASES: usize = 65_536;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
