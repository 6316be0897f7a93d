//! The file of a journal: connections to it, and what its failures mean.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use crate::copied::Copied;
use crate::files::{Connected, Files};
use crate::synced::log_of;
use crate::{Damage, JournalError, schema};

/// How many pages the write-ahead log may have before they are copied into the file: 8 MiB. What is
/// written over and over meanwhile, as the ends of tables are, is copied once.
pub(crate) const CHECKPOINT_PAGES: u32 = 2_000;

/// How many statements a connection keeps prepared; there are fewer.
const STATEMENTS: usize = 64;

/// As long as SQLite can count: 24 days.
pub(crate) const BUSY_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// How its file is opened.
#[derive(Debug)]
pub(crate) enum Access {
    /// To write and to read.
    Whole,
    /// To read, beside those who may write.
    ReadOnly,
    /// To read what lies there, and leave it so.
    Untouched,
    /// In a copy, where there may be nobody to be beside of.
    Copied(Copied),
}

/// Where a journal is, and how long one waits for those who share it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) file: PathBuf,
    pub(crate) access: Access,
    pub(crate) busy_timeout: Duration,
    /// Whether the write-ahead log stays as it is: it is damaged, and looked at for what is whole.
    pub(crate) keeps_log: bool,
    /// Those that are open.
    pub(crate) files: Arc<Files>,
}

/// What a piece of work in the store gives.
pub(crate) type Outcome<T> = Result<T, Fault>;

/// What stops a piece of work in the store.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Damage(Damage),
    /// What is noted beside the file cannot be.
    Note(io::Error),
    /// The files are not where they were.
    Removed,
    /// A later version of this crate has brought the tables up to its own.
    Newer(u32),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl Store {
    /// Opens a connection, which may write where the journal may be written to. The file has to be there.
    pub(crate) fn connect(&self) -> Outcome<Connected> {
        let as_it_lies;
        let (file, mode) = match &self.access {
            Access::Whole => (&self.file, OpenFlags::SQLITE_OPEN_READ_WRITE),
            // A log is there while somebody has the journal open. Where none is, SQLite would make one.
            Access::Untouched if !log_of(&self.file).exists() => {
                as_it_lies = immutable(&self.file);
                let mode = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
                (&as_it_lies, mode)
            }
            Access::ReadOnly | Access::Untouched => (&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY),
            Access::Copied(copied) => (&copied.file, OpenFlags::SQLITE_OPEN_READ_WRITE),
        };
        let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags)?;
        let connection = Connected::new(connection, &self.files);
        #[cfg(test)]
        crate::plans::count_steps(&connection);
        connection.busy_timeout(self.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        if self.keeps_log {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        }
        Ok(connection)
    }

    /// Opens a connection that only reads.
    pub(crate) fn connect_to_read(&self) -> Outcome<Connected> {
        let connection = self.connect()?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }

    /// How large the journal is: its file and the write-ahead log.
    pub(crate) fn bytes(&self) -> Result<u64, JournalError> {
        let of = |file: &Path| match fs::metadata(file) {
            Ok(metadata) => Ok(metadata.len()),
            // SQLite removes the log with its last connection.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(JournalError::Io {
                file: file.to_owned(),
                source: Arc::new(error),
            }),
        };
        Ok(of(&self.file)? + of(&log_of(&self.file))?)
    }

    /// What a fault means to who uses the journal.
    pub(crate) fn error(&self, fault: Fault) -> JournalError {
        let file = self.file.clone();
        let error = match fault {
            Fault::Damage(source) => return JournalError::Damaged { file, source },
            Fault::Removed => return JournalError::Removed { file },
            Fault::Newer(version) => return schema::newer(file, version),
            Fault::Note(error) => {
                let source = Arc::new(error);
                return JournalError::Io { file, source };
            }
            Fault::Sqlite(error) => error,
        };
        let code = error.sqlite_error_code();
        let extended = error.sqlite_error().map(|error| error.extended_code);
        let text = error.to_string();
        let source: crate::error::Cause = Arc::new(error);
        match code {
            // The last: so many others begin at once that none gets its turn.
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed,
            ) => JournalError::Busy {
                file,
                waited: self.busy_timeout,
                source,
            },
            Some(ErrorCode::DiskFull) => JournalError::DiskFull { file, source },
            // There is no room for the index of the log.
            Some(ErrorCode::SystemIoFailure) if extended == Some(ffi::SQLITE_IOERR_SHMSIZE) => {
                JournalError::DiskFull { file, source }
            }
            // Where it may be written to, it is no lack of permissions: there are too many open files, say.
            Some(ErrorCode::CannotOpen) if matches!(self.access, Access::Whole) => {
                JournalError::Io { file, source }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                JournalError::ReadOnly { file, source }
            }
            Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => {
                JournalError::Io { file, source }
            }
            // The statements are right, so whatever else one says is due to what is in the file.
            _ => JournalError::Damaged {
                file,
                source: Damage::File { fault: text },
            },
        }
    }

    /// That the journal's thread is gone.
    pub(crate) fn closed(&self) -> JournalError {
        JournalError::Closed {
            file: self.file.clone(),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.file.parent().unwrap_or(&self.file)
    }
}

/// What SQLite opens without a lock, a log or an index of it.
fn immutable(file: &Path) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for &byte in file.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02x}").bytes()),
            _ => uri.push(byte),
        }
    }
    uri.extend(b"?immutable=1");
    OsString::from_vec(uri).into()
}
