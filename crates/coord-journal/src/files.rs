//! The files that SQLite has open, and whether they are still there, by their names.

use std::fs::{self, Metadata};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::synced::{index_of, log_of};

/// The log, and what it is worth nothing without: the file, and the index of the log.
#[derive(Debug)]
pub(crate) struct Files([Held; 3]);

/// What there is where the log was.
pub(crate) enum Log {
    /// There is something in it.
    InUse,
    /// There is nothing in it.
    Empty,
    /// It, the file that it is of, or its index is not there any more, or another one is. SQLite keeps each for as
    /// long as it is open, so a connection that is open stays, and nobody will ever read what is written to it.
    Removed,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    /// Which one it is: its device, and its number there. As it is when it is looked at for the first time.
    id: OnceLock<(u64, u64)>,
}

impl Held {
    /// It, if it is still there by its name.
    fn metadata(&self) -> Option<Metadata> {
        let metadata = fs::metadata(&self.path).ok()?;
        let is = (metadata.dev(), metadata.ino());
        (*self.id.get_or_init(|| is) == is).then_some(metadata)
    }
}

impl Files {
    pub(crate) fn of(file: &Path) -> Self {
        let held = |path| Held {
            path,
            id: OnceLock::new(),
        };
        Self([log_of(file), file.to_owned(), index_of(file)].map(held))
    }

    /// What has become of the log. Whether it is empty holds in a transaction that writes.
    pub(crate) fn look(&self) -> Log {
        match self.0.each_ref().map(Held::metadata) {
            [Some(log), Some(_), Some(_)] if log.len() == 0 => Log::Empty,
            [Some(_), Some(_), Some(_)] => Log::InUse,
            _ => Log::Removed,
        }
    }
}

/// A connection to these files. The last one to be closed copies the log into the file, as SQLite does; but not
/// where another file or log is there by now: what others have written since would be written over.
pub(crate) struct Connected {
    connection: Connection,
    files: Arc<Files>,
}

impl Connected {
    pub(crate) fn new(connection: Connection, files: &Arc<Files>) -> Self {
        let files = Arc::clone(files);
        Self { connection, files }
    }
}

impl Deref for Connected {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Connected {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if matches!(self.files.look(), Log::Removed) {
            let keeps_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
            // There is nobody to be told that it cannot be set.
            let _ = self.connection.set_db_config(keeps_log, true);
        }
    }
}
