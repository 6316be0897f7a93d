//! Reads the files of a process, also while they are written, and however large they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::place::Kept;
use super::record::{self, Record};

/// How much of a file is read at once: more than the longest line, whatever it is.
const CHUNK: u64 = 256 * 1024;

/// What a process has printed.
pub(super) struct Reader {
    kept: Kept,
    pub(super) process: String,
    /// Which file is read, and up to where.
    number: u64,
    offset: u64,
    chunk: Vec<u8>,
    /// How much of the chunk has been used.
    used: usize,
    /// Whether something that it printed is not there any more.
    pub(super) is_cut: bool,
    /// How many lines are none.
    pub(super) damaged: u64,
}

impl Reader {
    pub(super) fn new(kept: &Kept, process: String, first: u64) -> Self {
        Self {
            kept: kept.clone(),
            process,
            number: first,
            offset: 0,
            chunk: Vec::new(),
            used: 0,
            is_cut: first > 1,
            damaged: 0,
        }
    }

    /// The next line. `is_over`: nothing is written any more, so that what has no end is a line.
    pub(super) fn next(&mut self, is_over: bool) -> io::Result<Option<Record>> {
        loop {
            let rest = &self.chunk[self.used..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let end = end.or((rest.len() as u64 >= CHUNK).then_some(rest.len()));
            if let Some(end) = end {
                match self.take(end, 1) {
                    Some(line) => return Ok(Some(line)),
                    None => continue,
                }
            }
            // Looked for first: what is in this file by then is all that ever will be.
            let later = self.later()?;
            if self.read()? {
                continue;
            }
            if later.is_none() && !is_over {
                return Ok(None);
            }
            if let Some(line) = self.take(self.chunk.len() - self.used, 0) {
                return Ok(Some(line));
            }
            let Some(later) = later else {
                return Ok(None);
            };
            self.is_cut |= later > self.number + 1;
            (self.number, self.offset) = (later, 0);
        }
    }

    /// Takes so many bytes, and so many after them that end a line.
    fn take(&mut self, length: usize, end: usize) -> Option<Record> {
        let line = &self.chunk[self.used..][..length];
        let record = record::read(line);
        // An empty line ends one that somebody who was killed has not written to its end.
        self.damaged += u64::from(record.is_none() && !line.is_empty());
        self.used = (self.used + length + end).min(self.chunk.len());
        record
    }

    /// The file after the one that is read.
    fn later(&mut self) -> io::Result<Option<u64>> {
        if self.kept.file(&self.process, self.number + 1).exists() {
            return Ok(Some(self.number + 1));
        }
        if self.kept.file(&self.process, self.number).exists() {
            return Ok(None);
        }
        let files = self.kept.files()?;
        let mut numbers = files
            .get(&self.process)
            .into_iter()
            .flat_map(BTreeMap::keys);
        Ok(numbers.find(|number| **number > self.number).copied())
    }

    /// Reads on in the file; whether there was anything.
    fn read(&mut self) -> io::Result<bool> {
        self.chunk.drain(..self.used);
        self.used = 0;
        let mut file = match File::open(self.kept.file(&self.process, self.number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.is_cut = true;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file.take(CHUNK).read_to_end(&mut self.chunk)? as u64;
        self.offset += read;
        Ok(read > 0)
    }
}
