//! Where the output of a run is, and what is there.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use coordination::workflow::RunId;
use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

use super::events::EVENTS;
use super::missing::{self, Missing};

/// The directory, in that of the journal.
const OUTPUT: &str = "output";
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// What is kept of the output of a run.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(super) dir: PathBuf,
}

/// What is kept of the output of a run, to which nobody writes for as long as this is there.
pub(crate) struct AtRest<'k> {
    kept: &'k Kept,
    /// With a lock on it, where it is there at all.
    _note: Option<File>,
}

impl AtRest<'_> {
    pub(crate) fn remove(self) -> io::Result<()> {
        match fs::remove_dir_all(&self.kept.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The files of each process, by their numbers, with their sizes.
pub(super) type Files = BTreeMap<String, BTreeMap<u64, u64>>;

impl Kept {
    /// That of a run in a journal, whether there is any or not.
    pub(crate) fn of(journal: &Path, run: &RunId) -> Self {
        Self {
            dir: journal.join(OUTPUT).join(encoded(run.as_str())),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether its output was kept at all, though it may have printed nothing.
    pub(crate) fn is_there(&self) -> bool {
        self.dir.join(missing::NAME).exists()
    }

    /// How many bytes the files have of what was printed.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        let mut files = self.files()?;
        files.remove(EVENTS);
        Ok(files.values().flat_map(BTreeMap::values).sum())
    }

    /// What could not be kept.
    pub(crate) fn missing(&self) -> io::Result<Option<Missing>> {
        match File::open(self.dir.join(missing::NAME)) {
            Ok(file) => Missing::read(&file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether somebody writes there now.
    pub(crate) fn is_written(&self) -> bool {
        self.at_rest().is_none()
    }

    /// What is there, for as long as nobody writes; `None` where somebody does.
    pub(crate) fn at_rest(&self) -> Option<AtRest<'_>> {
        let note = File::open(self.dir.join(missing::NAME)).ok();
        let lock = |note| flock(note, FlockOperation::NonBlockingLockExclusive);
        let is_ours = note.as_ref().is_none_or(|note| lock(note).is_ok());
        is_ours.then_some(AtRest {
            kept: self,
            _note: note,
        })
    }

    /// What is there; nothing, where there is no directory.
    pub(super) fn files(&self) -> io::Result<Files> {
        let mut files = Files::new();
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some((process, number)) = name.to_str().and_then(process_of) else {
                continue;
            };
            // It may have been the oldest, and be gone by now.
            if let Ok(about) = entry.metadata() {
                files
                    .entry(process)
                    .or_default()
                    .insert(number, about.len());
            }
        }
        Ok(files)
    }

    pub(super) fn file(&self, process: &str, number: u64) -> PathBuf {
        self.dir.join(format!("{}.{number}.log", encoded(process)))
    }

    /// Makes the directory, and the note of what is missing, on which it has a lock.
    pub(super) fn prepare(&self) -> io::Result<File> {
        let mut dirs = DirBuilder::new();
        dirs.recursive(true).mode(DIR_MODE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.mode(FILE_MODE);
        let note = loop {
            dirs.create(&self.dir)?;
            let note = options.open(self.dir.join(missing::NAME))?;
            // Whoever asks whether somebody writes here has it for a moment: that is waited for.
            retry_on_intr(|| flock(&note, FlockOperation::LockShared))?;
            // It may have been removed meanwhile, with all that was there.
            if note.metadata()?.nlink() > 0 {
                break note;
            }
        };
        if note.metadata()?.len() == 0 {
            missing::reserve(&note)?;
        }
        Ok(note)
    }
}

/// Opens a file to write to its end.
pub(super) fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(FILE_MODE);
    options.open(path)
}

/// Removes the output of all runs of a journal but these, and but of those that are being written.
pub(crate) fn forget_others(journal: &Path, runs: &HashSet<String>) -> io::Result<()> {
    let runs: HashSet<String> = runs.iter().map(|run| encoded(run)).collect();
    let entries = match fs::read_dir(journal.join(OUTPUT)) {
        Ok(entries) => entries,
        // Who drives runs without `coord` keeps no output.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let kept = Kept { dir: entry.path() };
        let name = entry.file_name();
        if name.to_str().is_none_or(|name| !runs.contains(name))
            && let Some(kept) = kept.at_rest()
        {
            kept.remove()?;
        }
    }
    Ok(())
}

/// A name that is a file's name and no path, and no other name's.
fn encoded(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for (place, byte) in name.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        match is_plain && (place > 0 || byte != b'.') {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut parts = name.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).ok()
}

/// The process and the number of a file of this name.
fn process_of(file: &str) -> Option<(String, u64)> {
    let (process, number) = file.strip_suffix(".log")?.rsplit_once('.')?;
    Some((decoded(process)?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_name_is_one_file_in_the_directory_and_is_found_again(name in "(\\PC|[./%]){1,20}", number: u64) {
            let kept = Kept { dir: "run".into() };
            let path = kept.file(&name, number);
            prop_assert_eq!(path.parent(), Some(Path::new("run")));
            let file = path.file_name().unwrap().to_str().unwrap();
            prop_assert!(!file.starts_with('.'));
            prop_assert_eq!(process_of(file), Some((name, number)));
        }
    }

    #[test]
    fn who_asks_whether_somebody_writes_does_not_keep_anybody_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept {
            dir: dir.path().join("r"),
        };
        drop(kept.prepare().unwrap());
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        kept.is_written();
                    }
                });
            }
            let refused = (0..2_000).filter(|_| kept.prepare().is_err()).count();
            is_over.store(true, Ordering::Relaxed);
            assert_eq!(refused, 0);
        });
    }
}
