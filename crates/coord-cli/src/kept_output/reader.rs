//! Reads the files of a process, also while they are written, and however large they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::mem;

use super::place::Kept;
use super::record::{self, Record};

/// How much of a file is read at once: more than the longest line, whatever it is.
const CHUNK: u64 = 256 * 1024;
/// How large a file is that is held open while it is read: removed meanwhile, it is read to its end all the
/// same. Smaller ones, of which a run may have thousands, are opened each time.
const HELD_FROM: u64 = 1 << 20;

/// What a process has printed.
pub(super) struct Reader {
    kept: Kept,
    pub(super) process: String,
    /// Which file is read, and up to where.
    number: u64,
    offset: u64,
    held: Option<File>,
    chunk: Vec<u8>,
    /// How much of the chunk has been used.
    used: usize,
    /// Whether the oldest of what it printed was not there any more when it was first looked for.
    pub(super) is_cut: bool,
    /// Whether something was removed after that, and before it was read: between two lines.
    pub(super) has_gap: bool,
    /// Whether that was just before the next line.
    is_after_gap: bool,
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
            held: None,
            chunk: Vec::new(),
            used: 0,
            is_cut: first > 1,
            has_gap: false,
            is_after_gap: false,
            damaged: 0,
        }
    }

    /// Whether all was read that is in these files, by their numbers with their sizes. Those of a run may be
    /// thousands, of which few are written to.
    pub(super) fn has_read(&self, files: &BTreeMap<u64, u64>) -> bool {
        let last = files.last_key_value();
        last.is_some_and(|(number, size)| (*number, *size) == (self.number, self.offset))
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
            if later > self.number + 1 {
                self.note_gap();
            }
            (self.number, self.offset, self.held) = (later, 0, None);
        }
    }

    /// Takes so many bytes, and so many after them that end a line.
    fn take(&mut self, length: usize, end: usize) -> Option<Record> {
        let line = &self.chunk[self.used..][..length];
        let record = record::read(line).map(|record| Record {
            is_after_gap: mem::take(&mut self.is_after_gap),
            ..record
        });
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
        let mut file = match self.held.take() {
            Some(file) => file,
            None => match File::open(self.kept.file(&self.process, self.number)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Of the line that it begins, the rest is not there.
                    self.chunk.clear();
                    self.note_gap();
                    return Ok(false);
                }
                Err(error) => return Err(error),
            },
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let read = (&mut file).take(CHUNK).read_to_end(&mut self.chunk)? as u64;
        self.offset += read;
        self.held = (file.metadata()?.len() >= HELD_FROM).then_some(file);
        Ok(read > 0)
    }

    fn note_gap(&mut self) {
        (self.has_gap, self.is_after_gap) = (true, true);
    }
}

#[cfg(test)]
mod tests {
    use coordination::workflow::RunId;

    use super::*;

    fn kept(dir: &tempfile::TempDir) -> Kept {
        let kept = Kept::of(dir.path(), &RunId::named("r").unwrap());
        std::fs::create_dir_all(kept.dir()).unwrap();
        kept
    }

    /// A file of the process `p` with these numbers, a line each.
    fn write(kept: &Kept, number: u64, lines: std::ops::Range<u32>) {
        let lines = lines.map(|line| format!("2026-03-01T09:30:00Z stdout F:1 {line}\n"));
        std::fs::write(kept.file("p", number), lines.collect::<String>()).unwrap();
    }

    fn remove(kept: &Kept, number: u64) {
        std::fs::remove_file(kept.file("p", number)).unwrap();
    }

    /// The numbers of the lines that are left, and behind which there is a gap.
    fn rest(reader: &mut Reader) -> (Vec<u32>, Vec<u32>) {
        let (mut lines, mut after_gaps) = (Vec::new(), Vec::new());
        while let Some(record) = reader.next(true).unwrap() {
            let line = record.line.parse().unwrap();
            lines.push(line);
            after_gaps.extend(record.is_after_gap.then_some(line));
        }
        (lines, after_gaps)
    }

    #[test]
    fn a_long_file_that_is_removed_while_it_is_read_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept(&dir);
        write(&kept, 1, 0..100_000);
        let mut reader = Reader::new(&kept, "p".to_owned(), 1);
        reader.next(false).unwrap().unwrap();
        write(&kept, 2, 100_000..100_010);
        remove(&kept, 1);
        assert_eq!(rest(&mut reader), ((1..100_010).collect(), vec![]));
        assert_eq!(
            (reader.damaged, reader.has_gap, reader.is_cut),
            (0, false, false)
        );
    }

    #[test]
    fn files_that_went_before_they_were_read_leave_a_gap_and_no_damaged_line() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept(&dir);
        // More than is read at once, so that the first ends in the middle of a line.
        write(&kept, 1, 0..10_000);
        let mut reader = Reader::new(&kept, "p".to_owned(), 1);
        reader.next(false).unwrap().unwrap();
        write(&kept, 3, 50_000..50_010);
        remove(&kept, 1);
        let (lines, after_gaps) = rest(&mut reader);
        assert!(lines.ends_with(&(50_000..50_010).collect::<Vec<_>>()));
        assert_eq!(after_gaps, [50_000]);
        assert_eq!(
            (reader.damaged, reader.has_gap, reader.is_cut),
            (0, true, false)
        );
    }

    #[test]
    fn what_has_grown_since_it_was_read_or_goes_on_in_another_file_is_looked_at_again() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept(&dir);
        write(&kept, 1, 0..3);
        let mut reader = Reader::new(&kept, "p".to_owned(), 1);
        let has_read = |reader: &Reader| reader.has_read(&kept.files().unwrap()["p"]);
        assert!(!has_read(&reader));
        assert_eq!(rest(&mut reader).0, [0, 1, 2]);
        assert!(has_read(&reader));
        write(&kept, 1, 0..4);
        assert!(!has_read(&reader));
        assert_eq!(rest(&mut reader).0, [3]);
        write(&kept, 2, 4..5);
        assert!(!has_read(&reader));
        assert_eq!(rest(&mut reader).0, [4]);
        assert!(has_read(&reader));
    }
}
