//! A copy of a journal, for who may only read it: SQLite reads a write-ahead log together with its index, which it
//! would have to make beside it.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::place::{DIR_MODE, FILE_MODE};
use crate::synced::{LOG_HEADER, log_of};

/// How often it is begun anew, as somebody has written meanwhile.
const TRIES: usize = 10;

/// The copy, in a directory of its own that goes with this.
#[derive(Debug)]
pub(crate) struct Copied {
    dir: PathBuf,
    pub(crate) file: PathBuf,
}

impl Copied {
    /// Copies the file, and then its log: so a page that somebody copies from the log into the file meanwhile is in
    /// the copy of the log. If only the log is the same one afterwards, the two go together.
    pub(crate) fn of(file: &Path) -> io::Result<Self> {
        let name = format!("coord-journal-{:032x}", fastrand::u128(..));
        let dir = env::temp_dir().join(name);
        DirBuilder::new().mode(DIR_MODE).create(&dir)?;
        let file_name = file.file_name().unwrap_or(file.as_os_str());
        let copied = Self {
            file: dir.join(file_name),
            dir,
        };
        let (log, copied_log) = (log_of(file), log_of(&copied.file));
        for _ in 0..TRIES {
            let before = Look::at(file, &log)?;
            copy(file, &copied.file)?;
            match before.log {
                Some(_) => copy(&log, &copied_log)?,
                None => remove(&copied_log)?,
            }
            if Look::at(file, &log)? == before {
                return Ok(copied);
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // What stays is in a folder that the system empties.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What is another once somebody has copied the log into the file, and has begun it anew or taken it away.
#[derive(PartialEq)]
struct Look {
    bytes: u64,
    changed: SystemTime,
    log: Option<[u8; LOG_HEADER]>,
}

impl Look {
    fn at(file: &Path, log: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(file)?;
        let header = |log: File| {
            let mut header = [0; LOG_HEADER];
            match log.read_exact_at(&mut header, 0) {
                // One that is empty says nothing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                read => read.map(|()| Some(header)),
            }
        };
        let log = match File::open(log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => header(opened?)?,
        };
        Ok(Self {
            bytes: metadata.len(),
            changed: metadata.modified()?,
            log,
        })
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut opening = OpenOptions::new();
    let opening = opening.write(true).create(true).truncate(true);
    let mut to = opening.mode(FILE_MODE).open(to)?;
    io::copy(&mut File::open(from)?, &mut to).map(drop)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
