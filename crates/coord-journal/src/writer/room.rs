//! Room at the end of the write-ahead log, so that a commit overwrites what is there instead of making
//! the file longer: to sync a file that has grown, the file system also has to write down its length,
//! which takes as long again as the sync itself.
//!
//! What is added are zeros. SQLite reads its log up to the first frame that does not have the number of
//! this round of the log, so to it they are what is left in a log that it begins anew: nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::store::CHECKPOINT_PAGES;
use crate::synced::log_of;

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

/// The log's file, and how long it was when it was seen last.
pub(super) struct Room {
    log: Option<File>,
    until: u64,
    /// Where no room can be made, commits make the file longer, as they would.
    is_given_up: bool,
}

impl Room {
    /// Of the log that belongs to this file.
    pub(super) fn beside(file: &Path) -> Self {
        let log = OpenOptions::new().read(true).write(true).open(log_of(file));
        Self {
            log: log.ok(),
            until: 0,
            is_given_up: false,
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
