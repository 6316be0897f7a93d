//! The folder in which steps write what they put out: nobody else's to read, for secrets are not masked yet
//! there, and gone with `coord`, however that ends.
//!
//! `coord` removes it as it leaves, and its watchdog where it was killed. Where both were, the next `coord`
//! does that needs such a folder: whose is in use is locked.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::getuid;
use tempfile::{Builder, NamedTempFile, TempDir};

use crate::file::WorkflowFile;

/// How their names begin.
const PREFIX: &str = "coord-outputs-";
const MODE: u32 = 0o700;
/// How often one is made that another `coord` takes for one that was left, in the moment before it is locked.
const TRIES: u32 = 8;

/// Such a folder, in that for temporary files.
pub(crate) struct OutputFolder {
    dir: TempDir,
    /// Locked for as long as this is open.
    _held: File,
}

impl OutputFolder {
    /// One for a run, if anything in it puts something out.
    pub(crate) fn of(file: &WorkflowFile) -> io::Result<Option<Self>> {
        let mut steps = file.units.iter().filter_map(|unit| unit.step());
        let puts_out = steps.any(|step| !step.outputs.is_empty());
        puts_out.then(Self::make).transpose()
    }

    fn make() -> io::Result<Self> {
        // That others are left is no reason not to run.
        let _ = remove_left(&std::env::temp_dir());
        for _ in 0..TRIES {
            let mut builder = Builder::new();
            let builder = builder
                .prefix(PREFIX)
                .permissions(Permissions::from_mode(MODE));
            let dir = builder.tempdir()?;
            if let Some(held) = hold(dir.path(), FlockOperation::NonBlockingLockExclusive) {
                return Ok(Self { dir, _held: held });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Removes it, whoever still has this: nothing runs any more that would write there.
    pub(crate) fn remove(&self) {
        // Otherwise the watchdog does.
        let _ = fs::remove_dir_all(self.path());
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file for an attempt.
    pub(crate) fn file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::with_prefix_in("coord-output-", self.path())
    }
}

/// Locks one, if it is there and may be had.
fn hold(dir: &Path, how: FlockOperation) -> Option<File> {
    let held = File::open(dir).ok()?;
    flock(&held, how).ok()?;
    // Who had it locked before may have removed it.
    dir.exists().then_some(held)
}

/// Removes those that were left behind.
fn remove_left(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        remove(&entry?.path(), FlockOperation::NonBlockingLockExclusive);
    }
    Ok(())
}

/// Removes that of a `coord` that is about to be gone: it may still hold it for a moment after it is known to
/// end, and is waited for.
pub(crate) fn remove_after_its_end(dir: &Path) {
    remove(dir, FlockOperation::LockExclusive);
}

/// Removes one that was left behind; nothing that is anything else, or another's.
fn remove(dir: &Path, how: FlockOperation) {
    let name = dir.file_name().and_then(|name| name.to_str());
    let is_ours = |dir: &PathBuf| {
        let about = fs::symlink_metadata(dir);
        about.is_ok_and(|about| about.is_dir() && about.uid() == getuid().as_raw())
    };
    let found = name
        .filter(|name| name.starts_with(PREFIX))
        .map(|_| dir.to_owned());
    if let Some(dir) = found.filter(is_ours)
        && let Some(_held) = hold(&dir, how)
    {
        // The next one tries again.
        let _ = fs::remove_dir_all(&dir);
    }
}
