//! The note of what could not be kept. It has its room on the disk before it is needed, for what it
//! has to tell most often is that the disk is full.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;

use coordination::bus::Timestamp;
use serde::{Deserialize, Serialize};

/// The name of its file, in the directory of a run.
pub(super) const NAME: &str = "missing";

/// How long the note is, with what fills it up.
const LENGTH: usize = 512;
/// How much of the reason it has room for, escaped as it may be.
const WHY_MAX: usize = 64;

/// What is missing of the output of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missing {
    /// How many lines, at least.
    pub(crate) lines: u64,
    /// Between when and when they were printed.
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    /// Why they could not be written, the last time.
    pub(crate) why: String,
}

impl Missing {
    pub(super) fn new(at: Timestamp, error: &io::Error) -> Self {
        let why = error.to_string();
        Self {
            lines: 0,
            since: at,
            until: at,
            why: why.chars().take(WHY_MAX).collect(),
        }
    }

    /// What the note says, if anything.
    pub(super) fn read(file: &File) -> io::Result<Option<Self>> {
        let mut text = String::new();
        let mut file = file;
        file.rewind()?;
        file.take(LENGTH as u64).read_to_string(&mut text)?;
        match text.trim() {
            "" => Ok(None),
            text => Ok(Some(serde_json::from_str(text)?)),
        }
    }

    pub(super) fn write(&self, file: &File) -> io::Result<()> {
        fill(file, serde_json::to_string(self)?)
    }
}

/// Makes room for a note.
pub(super) fn reserve(file: &File) -> io::Result<()> {
    fill(file, String::new())
}

fn fill(file: &File, mut text: String) -> io::Result<()> {
    let spaces = (LENGTH - 1).saturating_sub(text.len());
    text.extend(std::iter::repeat_n(' ', spaces));
    text.push('\n');
    file.write_all_at(text.as_bytes(), 0)
}
