//! Room at the end of the write-ahead log, so that a commit overwrites what is there instead of making
//! the file longer: to sync a file that has grown, the file system also has to write down its length,
//! which takes as long again as the sync itself.
//!
//! What is added are zeros. SQLite reads its log up to the first frame that does not have the number of
//! this round of the log, so to it they are what is left in a log that it begins anew: nothing.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::store::CHECKPOINT_PAGES;
use crate::synced::{index_of, log_of};

/// How much is added at once: some fifteen commits of a record each.
const STEP: usize = 256 * 1024;

/// In pieces of which size: the system keeps a file in its memory as it was written, and looks through all of a
/// piece for each page of it that it syncs.
const PIECE: usize = 64 * 1024;

/// How long the log gets where it is copied into the file in time: a header, and each page with one of
/// its own. Then SQLite begins it anew, in the same place.
const LOG_BYTES: u64 = 32 + CHECKPOINT_PAGES as u64 * (4_096 + 24);

/// If as much as this at the end are zeros, there is room: it is less than a page that is written.
const LOOK: usize = 4_096;

/// What there is where the log was.
pub(super) enum Log {
    /// There is something in it, or nobody knows.
    InUse,
    /// There is nothing in it.
    Empty,
    /// It, the file that it is of, or its index is not there any more, or another one is. SQLite keeps each for as
    /// long as it is open, so a connection that is open stays, and nobody will ever read what is written to it.
    Removed,
}

/// A file that SQLite has open.
struct Held {
    path: PathBuf,
    /// Which one it is: its device, and its number there.
    id: Option<(u64, u64)>,
}

impl Held {
    fn new(path: PathBuf) -> Self {
        let id = fs::metadata(&path).ok().as_ref().map(id);
        Self { path, id }
    }

    /// It, if it is still there by its name.
    fn metadata(&mut self) -> Option<Metadata> {
        let metadata = fs::metadata(&self.path).ok()?;
        let is = id(&metadata);
        (*self.id.get_or_insert(is) == is).then_some(metadata)
    }
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The log's file, and how long it was when it was seen last.
pub(super) struct Room {
    /// The log, and what it is worth nothing without: the file, and the index of the log.
    held: [Held; 3],
    log: Option<File>,
    until: u64,
    /// Where no room can be made, commits make the file longer, as they would.
    is_given_up: bool,
}

impl Room {
    /// Of the log that belongs to this file.
    pub(super) fn beside(file: &Path) -> Self {
        let log = OpenOptions::new().read(true).write(true).open(log_of(file));
        let held = [log_of(file), file.to_owned(), index_of(file)];
        Self {
            held: held.map(Held::new),
            log: log.ok(),
            until: 0,
            is_given_up: false,
        }
    }

    /// What has become of the log. Only to be called in a transaction that writes.
    pub(super) fn look(&mut self) -> Log {
        match self.held.each_mut().map(Held::metadata) {
            [Some(log), Some(_), Some(_)] if log.len() == 0 => Log::Empty,
            [Some(_), Some(_), Some(_)] => Log::InUse,
            _ => Log::Removed,
        }
    }

    /// Makes room, if the log has become longer than it was made. Only to be called in a transaction
    /// that writes: that has the lock without which no process writes to the log. Whether it has made some,
    /// with which the next sync takes longer.
    pub(super) fn make(&mut self) -> bool {
        let Some(log) = self.log.as_mut().filter(|_| !self.is_given_up) else {
            return false;
        };
        match extend(log, self.until) {
            Ok((until, is_made)) => {
                self.until = until;
                is_made
            }
            // A full disk, for example: whether that is in the way the commit will see.
            Err(_) => {
                self.is_given_up = true;
                true
            }
        }
    }
}

/// Whether another process, or an earlier one, has made room. The file is at its end afterwards.
fn ends_in_room(log: &mut File, end: u64) -> io::Result<bool> {
    let mut seen = Vec::with_capacity(LOOK);
    log.seek(SeekFrom::Start(end.saturating_sub(LOOK as u64)))?;
    log.read_to_end(&mut seen)?;
    Ok(seen.len() == LOOK && seen.iter().all(|byte| *byte == 0))
}

/// How long the file is then, and whether that is longer.
fn extend(log: &mut File, until: u64) -> io::Result<(u64, bool)> {
    let end = log.metadata()?.len();
    if end == until || end >= LOG_BYTES || ends_in_room(log, end)? {
        return Ok((end, false));
    }
    for _ in 0..STEP / PIECE {
        log.write_all(&[0; PIECE])?;
    }
    Ok((end + STEP as u64, true))
}
