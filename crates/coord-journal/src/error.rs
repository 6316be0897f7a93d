//! What can go wrong with a journal, and what can be wrong in one.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::{EventLogError, LeaseError};

/// What lies below an error.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// A journal did not do what it was asked for.
///
/// It is the source of [`EventLogError::Failed`] and of [`LeaseError::Failed`].
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The directory cannot be made, or made the owner's alone.
    #[error(
        "{} cannot be the directory of a journal: make it one that this user may write to",
        dir.display()
    )]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: Cause,
    },
    /// What is there is something else.
    #[error(
        "{} holds something else than a journal, `{}`: give the journal a directory of its own, such as a new folder in it",
        dir.display(), entry.display()
    )]
    NotAJournal {
        /// The directory.
        dir: PathBuf,
        /// What there is in it, by its name there.
        entry: PathBuf,
    },
    /// There is none, and none was to be made.
    #[error("there is no journal in {}: see whether this is the directory that is meant", dir.display())]
    NotThere {
        /// The directory.
        dir: PathBuf,
    },
    /// A later version of this crate has written it.
    #[error(
        "the journal {} has schema version {version}, and this program knows none after {known}: \
         open it with the newer program that wrote it",
        file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// A record is larger than [`MAX_RECORD_BYTES`](crate::MAX_RECORD_BYTES).
    #[error(
        "a record of {bytes} bytes is too large for the journal {}: keep its content in a file, and where \
         that is in the record",
        file.display()
    )]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// How large the record is.
        bytes: usize,
    },
    /// Another process is writing all the time.
    #[error(
        "the journal {} was locked by another process for {waited:?}: try again, or raise the busy \
         timeout",
        file.display()
    )]
    Busy {
        /// The file.
        file: PathBuf,
        /// The busy timeout.
        waited: Duration,
        /// What SQLite says.
        source: Cause,
    },
    /// There is no space.
    #[error(
        "the disk of the journal {} is full: free some space, then open the journal again",
        file.display()
    )]
    DiskFull {
        /// The file.
        file: PathBuf,
        /// What SQLite says.
        source: Cause,
    },
    /// The file, its directory or its file system cannot be written to.
    #[error(
        "the journal {} cannot be written to: see to its permissions and its mount, then open it \
         again",
        file.display()
    )]
    ReadOnly {
        /// The file.
        file: PathBuf,
        /// What SQLite or the system says.
        source: Cause,
    },
    /// The disk, or what stands for it, failed.
    #[error(
        "reading or writing the journal {} failed: see to its disk, then open it again and check \
         it",
        file.display()
    )]
    Io {
        /// The file.
        file: PathBuf,
        /// What SQLite says.
        source: Cause,
    },
    /// Somebody has removed, moved or replaced it, or one of the files beside it, while it was open. What is written to
    /// it would be gone with its process.
    #[error(
        "the journal {} was removed while it was open, or a file of it was, and takes nothing more: put it back, or go \
         on with a new one; where something tidies up old files there, keep it from the journal",
        file.display()
    )]
    Removed {
        /// The file.
        file: PathBuf,
    },
    /// What is there is not what was written.
    #[error(
        "the journal {} is damaged: check it, export what is whole, and go on with a new one",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong in it.
        source: Damage,
    },
    /// An earlier write failed, so nobody knows what the disk has.
    #[error(
        "the journal {} takes nothing more, because an earlier write failed: open it again",
        file.display()
    )]
    Stopped {
        /// The file.
        file: PathBuf,
        /// The failure.
        source: Arc<JournalError>,
    },
    /// The journal's thread is gone.
    #[error("the journal {} is closed", file.display())]
    Closed {
        /// The file.
        file: PathBuf,
    },
    /// What is exported cannot be written.
    #[error("what the journal exports cannot be written")]
    Output {
        /// Why.
        source: Arc<io::Error>,
    },
}

impl JournalError {
    /// What is wrong in the journal, if that is why.
    pub(crate) fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Damaged { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Whether the journal is not as far as it was when it was synced.
    pub(crate) fn is_behind(&self) -> bool {
        matches!(self.damage(), Some(Damage::Behind { .. }))
    }
}

/// Something in a journal is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A record has another time, kind, content or checksum than was appended.
    #[error("record {version} of stream `{stream}` is not the one that was appended")]
    Changed {
        /// The stream.
        stream: String,
        /// The number of the record.
        version: u64,
    },
    /// A record is not there.
    #[error("record {version} of stream `{stream}` is missing")]
    Missing {
        /// The stream.
        stream: String,
        /// The number of the record.
        version: u64,
    },
    /// A record is there that nobody appended.
    #[error("record {version} of stream `{stream}` was never appended")]
    Added {
        /// The stream.
        stream: String,
        /// The number of the record.
        version: u64,
    },
    /// Records belong to no stream.
    #[error("{records} records belong to a stream with the number {number}, which is missing")]
    Orphaned {
        /// The number of the stream.
        number: i64,
        /// How many they are.
        records: u64,
    },
    /// The entry that says where a stream ends, and whether it is closed.
    #[error("the entry of stream `{stream}` is not the one that was written")]
    Entry {
        /// The stream, or what is left of its name.
        stream: String,
    },
    /// The entry of a lease.
    #[error("the entry of lease `{lease}` is not the one that was written")]
    Lease {
        /// The lease, or what is left of its name.
        lease: String,
    },
    /// The entry with the newest token and the latest time.
    #[error("the entry of the journal itself is not the one that was written")]
    Counters,
    /// Tables and indexes.
    #[error("the tables are not those of schema version {version}")]
    Schema {
        /// The version that the file says.
        version: u32,
    },
    /// The write-ahead log: what was appended last is gone.
    #[error(
        "of the {synced} pages of the write-ahead log that were synced, only the first {whole} are as \
         they were written: what was appended after them is gone"
    )]
    Log {
        /// How many were.
        synced: u32,
        /// How many are whole.
        whole: u32,
    },
    /// What was acknowledged last is not there: the write-ahead log was taken away or cut short.
    #[error(
        "what was synced last is missing (it had come to {synced}, and is at {there}): put its write-ahead log, \
         `journal.db-wal`, back beside it as it was; if an earlier copy was put here on purpose, remove `journal.synced`"
    )]
    Behind {
        /// How far the journal had come when it was synced: by the records and leases that it had taken, and what was
        /// forgotten since.
        synced: u64,
        /// How far it is.
        there: u64,
    },
    /// What SQLite found.
    #[error("the file is damaged: {fault}")]
    File {
        /// In SQLite's words.
        fault: String,
    },
}

impl From<JournalError> for EventLogError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Closed { .. } => Self::Closed,
            error @ JournalError::Busy { .. } => Self::Busy {
                source: Box::new(error),
            },
            error => Self::Failed {
                source: Box::new(error),
            },
        }
    }
}

impl From<JournalError> for LeaseError {
    fn from(error: JournalError) -> Self {
        Self::Failed {
            source: Box::new(error),
        }
    }
}
