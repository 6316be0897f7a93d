//! The directory and the files of a journal: for their owner only, whatever the umask says.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, FlockOperation, access, flock};
use rustix::io::Errno;

use crate::error::Cause;
use crate::synced::NOTE;
use crate::{JournalError, JournalOptions};

/// How soon it is looked again whether somebody else has opened the journal; and later on.
const LOOK_AGAIN: Duration = Duration::from_micros(250);
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(20);

const FILE: &str = "journal.db";
const LOCK: &str = "journal.lock";
/// What a file system has that is made for nothing else.
const LOST: &str = "lost+found";
pub(crate) const HOLDERS: &str = "holders";
pub(crate) const DIR_MODE: u32 = 0o700;
pub(crate) const FILE_MODE: u32 = 0o600;

/// A directory that holds a journal, or an empty file that is to become one; as long as this lives,
/// nobody else makes or changes its tables.
///
/// SQLite gives the files that it adds the mode of the one that is there.
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    /// Or why nothing may be written.
    lock: Result<File, Cause>,
}

impl Place {
    pub(crate) fn prepare(dir: &Path, options: &JournalOptions) -> Result<Self, JournalError> {
        if options.untouched {
            return Self::untouched(dir);
        }
        match Self::own(dir, options) {
            Err(JournalError::Directory { dir, source })
                if options.or_read_only && is_denied(&source) =>
            {
                let file = dir.canonicalize().map(|dir| dir.join(FILE)).ok();
                // Who may not even read it has that for an answer. It is not opened: see `make_file`.
                match file.filter(|file| access(file, Access::READ_OK).is_ok()) {
                    Some(file) => Ok(Self {
                        file,
                        lock: Err(source),
                    }),
                    None => Err(JournalError::Directory { dir, source }),
                }
            }
            prepared => prepared,
        }
    }

    /// Why nothing may be written there, where that is so.
    pub(crate) fn denied(&self) -> Option<Cause> {
        self.lock.as_ref().err().map(Arc::clone)
    }

    fn untouched(dir: &Path) -> Result<Self, JournalError> {
        let file = existing(dir)?;
        let why = io::Error::other("it was opened only to be read");
        let lock = Err(Arc::new(why) as Cause);
        Ok(Self { file, lock })
    }

    fn own(dir: &Path, options: &JournalOptions) -> Result<Self, JournalError> {
        let failed = |source| no_directory(dir, source);
        if options.must_exist {
            existing(dir)?;
        }
        make_dir(dir).map_err(failed)?;
        // Whoever changes the current directory later does not move the journal.
        let dir = dir.canonicalize().map_err(failed)?;
        let file = dir.join(FILE);
        if let Some(entry) = other_entry(&dir, &file).map_err(failed)? {
            return Err(JournalError::NotAJournal { dir, entry });
        }
        restrict(&dir, DIR_MODE).map_err(not_own).map_err(failed)?;
        let lock = lock(&dir.join(LOCK), options.busy_timeout).map_err(failed)?;
        let lock = lock.map_err(|source| JournalError::Busy {
            file: file.clone(),
            waited: options.busy_timeout,
            source: Arc::new(source),
        })?;
        forget_another(&file).map_err(failed)?;
        make_file(&dir, &file).map_err(failed)?;
        let lock = Ok(lock);
        Ok(Self { file, lock })
    }
}

/// The file of a journal that is there.
fn existing(dir: &Path) -> Result<PathBuf, JournalError> {
    let failed = |source| no_directory(dir, source);
    match dir.join(FILE).try_exists().map_err(failed)? {
        true => Ok(dir.canonicalize().map_err(failed)?.join(FILE)),
        false => Err(JournalError::NotThere {
            dir: dir.to_owned(),
        }),
    }
}

fn no_directory(dir: &Path, source: io::Error) -> JournalError {
    JournalError::Directory {
        dir: dir.to_owned(),
        source: Arc::new(source),
    }
}

/// Who may write to a directory need not be its owner, and only that one may close it to others.
fn not_own(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => io::Error::new(
            error.kind(),
            "it belongs to another user, so it cannot be made this user's alone; a new folder in it can be",
        ),
        _ => error,
    }
}

/// Whether this user, or anybody, may not write there.
fn is_denied(cause: &Cause) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let error = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(error, Some(PermissionDenied | ReadOnlyFilesystem))
}

fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(DIR_MODE).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            // So that a loss of power does not take it away again.
            let parent = dir.canonicalize()?;
            parent.parent().map_or(Ok(()), sync_dir)
        }
    }
}

/// What is to become the owner's alone must be nobody else's: not a home, not `/tmp`. What there is that is not a
/// journal's, if it has something.
fn other_entry(dir: &Path, file: &Path) -> io::Result<Option<PathBuf>> {
    if file.exists() {
        return Ok(None);
    }
    for entry in fs::read_dir(dir)? {
        // Another process may be making the journal just now.
        let name = entry?.file_name();
        let is_ours = [LOCK, HOLDERS, NOTE, LOST].iter().any(|ours| name == *ours);
        if !is_ours && !name.to_string_lossy().starts_with(FILE) {
            return Ok(Some(name.into()));
        }
    }
    Ok(None)
}

/// Waits for those who are opening the same journal, for so long at most: one of them may be suspended, or have much to
/// bring up to date.
fn lock(path: &Path, patience: Duration) -> io::Result<io::Result<File>> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(FILE_MODE)
        .open(path)?;
    restrict(path, FILE_MODE)?;
    let (mut waited, mut wait) = (Duration::ZERO, LOOK_AGAIN);
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Ok(lock)),
            Err(Errno::WOULDBLOCK) if waited >= patience => {
                let why = "another process is opening it, and may be suspended";
                return Ok(Err(io::Error::other(why)));
            }
            Err(Errno::WOULDBLOCK) => {
                thread::park_timeout(wait);
                waited += wait;
                wait = (2 * wait).min(LOOK_AGAIN_MAX);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What is noted beside a file that is not there is of another one. Who still has that open goes on with a note that
/// nobody reads.
fn forget_another(file: &Path) -> io::Result<()> {
    if file.try_exists()? {
        return Ok(());
    }
    match fs::remove_file(file.with_file_name(NOTE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the file if it is not there. One that is there is not opened, only SQLite does that: to
/// close a file is to give up every lock of this process on it.
fn make_file(dir: &Path, path: &Path) -> io::Result<()> {
    let made = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(FILE_MODE)
        .open(path);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => restrict(path, FILE_MODE),
        Err(error) => Err(error),
        Ok(file) => {
            restrict(path, FILE_MODE)?;
            file.sync_all()?;
            sync_dir(dir)
        }
    }
}

/// Gives this mode to what has another: the umask has taken something away, or somebody has been
/// here before.
pub(crate) fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    let is = fs::metadata(path)?.permissions().mode() & 0o777;
    if is == mode {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
