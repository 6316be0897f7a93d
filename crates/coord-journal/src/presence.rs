//! Who has the journal open and acquires leases: each has a file, which is locked while it does.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};

use crate::JournalError;
use crate::place::{DIR_MODE, FILE_MODE, HOLDERS, restrict};

/// Stands for a journal that is open, and for no other that ever was.
pub(crate) type Handle = [u8; 16];

/// The files of all, and the one of this journal.
///
/// The kernel gives the lock up when the process ends, by whatever means. A file is taken away under
/// a shared lock: so several may find at once that one is left over.
#[derive(Debug)]
pub(crate) struct Presence {
    dir: PathBuf,
    /// Whether what is left over is taken away.
    tidies: bool,
    own: Mutex<Option<Own>>,
}

#[derive(Debug)]
struct Own {
    handle: Handle,
    path: PathBuf,
    lock: File,
}

impl Presence {
    pub(crate) fn new(journal: &Path, tidies: bool) -> Self {
        Self {
            dir: journal.join(HOLDERS),
            tidies,
            own: Mutex::default(),
        }
    }

    /// The handle of this journal, whose file is made when it is asked for first. Then what others
    /// left behind is taken away, too: so there are as many files as there are journals open, and a
    /// few.
    pub(crate) fn announce(&self) -> Result<Handle, JournalError> {
        let mut own = self.lock();
        if let Some(own) = &*own {
            return Ok(own.handle);
        }
        let made = self.make().map_err(|source| self.error(source))?;
        Ok(own.insert(made).handle)
    }

    /// The lock of this journal, to be held by another process too.
    pub(crate) fn share(&self) -> Result<File, JournalError> {
        self.announce()?;
        let own = self.lock();
        let shared = match &*own {
            Some(own) => own.lock.try_clone(),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        shared.map_err(|source| self.error(source))
    }

    /// Whether a journal is still open. Where that cannot be told, it is.
    pub(crate) fn is_open(&self, handle: &Handle) -> bool {
        let is_own = |own: &Own| own.handle == *handle;
        self.lock().as_ref().is_some_and(is_own) || is_locked(&self.path(handle), self.tidies)
    }

    /// The journal is closed.
    pub(crate) fn leave(&self) {
        if let Some(own) = self.lock().take() {
            // If it stays, whoever finds it takes it away.
            let _ = fs::remove_file(own.path);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, handle: &Handle) -> PathBuf {
        self.dir
            .join(format!("{:032x}", u128::from_be_bytes(*handle)))
    }

    fn make(&self) -> io::Result<Own> {
        match DirBuilder::new().mode(DIR_MODE).create(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => restrict(&self.dir, DIR_MODE)?,
        }
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                is_locked(&entry.path(), true);
            }
        }
        loop {
            let handle = fastrand::u128(..).to_be_bytes();
            let path = self.path(&handle);
            let lock = OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(FILE_MODE)
                .open(&path)?;
            flock(&lock, FlockOperation::LockExclusive)?;
            // Before it was locked, it looked to another as if it were left over. A name is made
            // once, so what has it now is this file.
            if fs::exists(&path)? {
                restrict(&path, FILE_MODE)?;
                return Ok(Own { handle, path, lock });
            }
        }
    }

    fn error(&self, source: io::Error) -> JournalError {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
        let (file, kind) = (self.dir.clone(), source.kind());
        let source = Arc::new(source);
        match kind {
            StorageFull => JournalError::DiskFull { file, source },
            PermissionDenied | ReadOnlyFilesystem => JournalError::ReadOnly { file, source },
            _ => JournalError::Io { file, source },
        }
    }
}

/// Whether somebody has a file locked. One that nobody has may be taken away.
fn is_locked(path: &Path, tidies: bool) -> bool {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    let is_locked = flock(&file, FlockOperation::NonBlockingLockShared).is_err();
    if !is_locked && tidies {
        // Another may have taken it away by now.
        let _ = fs::remove_file(path);
    }
    is_locked
}

/// Here, since what lies between two calls of the system is met only by who does nothing else.
#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn who_announces_is_open_while_others_take_away_what_was_left() {
        let dir = tempfile::tempdir().unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let presence = Presence::new(dir.path(), true);
                        let handle = presence.announce().unwrap();
                        assert!(is_locked(&presence.path(&handle), true));
                        presence.leave();
                    }
                });
            }
        });
        let left = fs::read_dir(dir.path().join(HOLDERS)).unwrap().count();
        assert_eq!(left, 0);
    }

    #[test]
    fn all_who_ask_at_once_hear_that_one_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let presence = Presence::new(dir.path(), true);
        let barrier = Barrier::new(4);
        for _ in 0..2_000 {
            // As a process that was killed leaves it.
            let handle = presence.make().unwrap().handle;
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        barrier.wait();
                        assert!(!presence.is_open(&handle));
                    });
                }
            });
        }
    }
}
