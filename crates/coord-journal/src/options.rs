//! How a journal is opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::Durability;
use coord_bus::time::{Clock, SystemClock};

use crate::store::BUSY_TIMEOUT_MAX;
use crate::{Journal, JournalError};

/// How a journal is opened; [`Journal::open`] takes the defaults.
///
/// ```
/// use coord_bus::Durability;
/// use coord_journal::JournalOptions;
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().join("journal");
/// // For a build that starts anew after a loss of power anyway: nothing waits for the disk.
/// let journal = JournalOptions::new().durability(Durability::Process).open(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct JournalOptions {
    pub(crate) busy_timeout: Duration,
    pub(crate) durability: Durability,
    pub(crate) queue: usize,
    pub(crate) in_place: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) must_exist: bool,
    pub(crate) salvages: bool,
    pub(crate) or_read_only: bool,
    pub(crate) untouched: bool,
}

impl JournalOptions {
    /// How long one waits for other processes that write, where nothing else is said.
    pub const DEFAULT_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

    /// How many writes may wait where nothing else is said: more than one transaction takes.
    pub const DEFAULT_QUEUE: usize = 2_048;

    /// The defaults.
    pub fn new() -> Self {
        Self {
            busy_timeout: Self::DEFAULT_BUSY_TIMEOUT,
            durability: Durability::Disk,
            queue: Self::DEFAULT_QUEUE,
            in_place: false,
            clock: Arc::new(SystemClock),
            must_exist: false,
            salvages: false,
            or_read_only: false,
            untouched: false,
        }
    }

    /// How long to wait while another process writes, or opens the journal, until [`JournalError::Busy`]; 5 s by
    /// default, 24 days at most.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout.min(BUSY_TIMEOUT_MAX);
        self
    }

    /// The most that an append survives, whatever it asks for; [`Durability::Disk`] by default. With
    /// less, nothing is synced at an append; what is in the file survives its process in any case.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability.max(Durability::Process);
        self
    }

    /// How many writes may wait for the one before them, at least one; 2048 by default. More wait for
    /// a place.
    pub fn queue(mut self, writes: usize) -> Self {
        self.queue = writes.max(1);
        self
    }

    /// Commits an append that is made [`alone`](coord_bus::AppendTo::alone) where it is asked for, on the thread that
    /// polls it, instead of on the journal's own; off by default.
    ///
    /// That spares two ways between threads, where each append waits for the one before. But the thread does nothing
    /// else meanwhile, so this is for programs in which nothing is more urgent than what waits for the append. It is
    /// done so only while the last commit took less than a millisecond; no other process writes; and nothing else is
    /// due, such as the copy of the write-ahead log into the file. Appends that come together share a sync on the
    /// journal's thread, as ever.
    pub fn commit_in_place(mut self) -> Self {
        self.in_place = true;
        self
    }

    /// The clock by which records have their times, and leases run out; the machine's by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Opens a journal that is there, and makes none: [`JournalError::NotThere`] where there is none,
    /// and nothing has been made then. For a path that a person has typed.
    pub fn existing(mut self) -> Self {
        self.must_exist = true;
        self
    }

    /// Opens a journal although a part of its write-ahead log is damaged or missing, which is
    /// [`JournalError::Damaged`] otherwise: to [check](Journal::check) and to [export](Journal::export)
    /// what is whole. It says what it said up to there, and takes nothing more.
    pub fn salvaging(mut self) -> Self {
        self.salvages = true;
        self
    }

    /// Opens a journal that is there also where this user may only read it, or its file system is read-only, which
    /// is [`JournalError::Directory`] otherwise: to look at it. Then nothing in its directory is written, and
    /// whatever would write is refused with [`JournalError::ReadOnly`]. Also where the disk is so full that it cannot be
    /// opened otherwise, with [`JournalError::DiskFull`].
    ///
    /// A journal that another process has open is read beside it, and tails follow what comes. One that nobody has
    /// open, and without its owner's files, or room for more, SQLite could not lock, is read in a copy, which is in the system's folder
    /// for temporary files, this user's alone, and gone with the [`Journal`]: so it takes as much room there, and says
    /// what was in the journal when it was opened.
    pub fn or_read_only(mut self) -> Self {
        self.must_exist = true;
        self.or_read_only = true;
        self
    }

    /// Opens a journal that is there to look at it, and leaves it as it lies: nothing is made, written or taken
    /// away, also where this user may write, nothing is copied, and nobody is waited for who opens it meanwhile. For a
    /// look that nobody asked for, as when a shell completes a word.
    ///
    /// Whatever would write is refused with [`JournalError::ReadOnly`], and so is a journal of an earlier version. A
    /// journal that another process has open is read beside it. One that nobody has open is read without a lock: who
    /// opens it meanwhile and writes may make what is read an error. The write-ahead log is not verified.
    pub fn only_to_read(mut self) -> Self {
        self.must_exist = true;
        self.untouched = true;
        self
    }

    /// Opens the journal in a directory, as [`Journal::open`] does.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`].
    pub fn open(self, dir: impl AsRef<Path>) -> Result<Journal, JournalError> {
        Journal::open_with(dir.as_ref(), &self)
    }
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self::new()
    }
}
