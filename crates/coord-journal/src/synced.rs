//! How far the write-ahead log is on the disk, kept apart from it: so that damage in the log is told
//! from an end that was never reached.
//!
//! SQLite reads its log up to the first page whose checksum is wrong, and takes that for the end, as it
//! has to after a loss of power. So a flipped bit there would take away what was acknowledged, and
//! nothing would say so. After each sync the writer notes which page was the last one; who opens the
//! journal verifies the log up to there, before SQLite sees it. The note is not synced: after a loss of
//! power it may be an earlier one, and then less is verified. Before a log that is empty gets anything, the note is
//! emptied, as it is of the log before: file systems keep the order in which files become longer and shorter.
//!
//! A log that is not there, or empty, may be in the file by now, whoever has copied it. So the note also says how far
//! the journal itself had [come](crate::position) by then: if it is not as far any more, the log was lost. Who takes the
//! file away as well begins anew, and the note goes with that.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

use crate::Damage;
use crate::place::{FILE_MODE, restrict};
use crate::store::{CHECKPOINT_PAGES, Outcome};

/// The file of the note, beside the journal's.
pub(crate) const NOTE: &str = "journal.synced";

/// In the note: how far the log is on the disk, and then how far the journal; each with a checksum.
const POSITION_AT: usize = 16;
const NOTE_BYTES: usize = POSITION_AT + 12;

/// Of the log, and of each page in it.
pub(crate) const LOG_HEADER: usize = 32;
const PAGE_HEADER: usize = 24;

/// What SQLite marks a log with; the last bit says in which order its checksums read their bytes.
const MAGIC: u32 = 0x377f_0682;

/// In the log's header and in each page's, of which round of the log it is.
const LOG_SALTS: std::ops::Range<usize> = 16..24;
const PAGE_SALTS: std::ops::Range<usize> = 8..16;

/// SQLite begins its log anew, in the same place, once all of it is in the file; then it has other salts.
type Salts = [u8; 8];

thread_local! {
    /// How many pages the log had after a commit of this thread, until that is taken note of.
    static PAGES: Cell<Option<u32>> = const { Cell::new(None) };

    /// Whether a commit of this thread may copy the log into the file, where it is long enough.
    static MAY_COPY: Cell<bool> = const { Cell::new(true) };
}

/// The log stays as long as it is.
pub(crate) fn without_checkpoint<T>(work: impl FnOnce() -> T) -> T {
    struct Until;
    impl Drop for Until {
        fn drop(&mut self) {
            MAY_COPY.set(true);
        }
    }
    MAY_COPY.set(false);
    let _until = Until;
    work()
}

/// Where the log of a journal is.
pub(crate) fn log_of(file: &Path) -> PathBuf {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Where the index of the log is, by which SQLite finds pages in it.
pub(crate) fn index_of(file: &Path) -> PathBuf {
    let mut index = file.as_os_str().to_owned();
    index.push("-shm");
    index.into()
}

/// The note, as its writer has it.
pub(crate) struct Synced {
    /// `None` where one of them cannot be opened or written: then nothing is noted.
    files: Option<(File, File)>,
    /// Of which round the log was after the last commit, if that is known.
    known: Option<Salts>,
    page_size: u32,
    /// How many pages the log had after the last commit.
    pages: u32,
}

impl Synced {
    /// From now on the connection tells the thread that commits how long its log is.
    pub(crate) fn of(file: &Path, connection: &Connection) -> Outcome<Self> {
        // What SQLite does by itself where nobody asks to be told.
        connection.wal_hook(Some(|log, pages| {
            PAGES.set(Some(pages.unsigned_abs()));
            match pages.unsigned_abs() >= CHECKPOINT_PAGES && MAY_COPY.get() {
                true => log.checkpoint().or_else(not_by_now),
                false => Ok(()),
            }
        }));
        let files = || -> io::Result<_> {
            let (log, path) = (File::open(log_of(file))?, file.with_file_name(NOTE));
            let mut note = OpenOptions::new();
            note.write(true).create(true).truncate(false);
            let note = note.mode(FILE_MODE).open(&path)?;
            restrict(&path, FILE_MODE)?;
            Ok((log, note))
        };
        Ok(Self {
            files: files().ok(),
            known: None,
            page_size: connection.pragma_query_value(None, "page_size", |row| row.get(0))?,
            pages: 0,
        })
    }

    /// In a transaction that writes, so that nobody else does: of which round the log is, where that is
    /// not known.
    pub(crate) fn round(&self) -> Option<Salts> {
        // Of a transaction that came to nothing.
        PAGES.set(None);
        match (&self.files, self.known) {
            (Some((log, _)), None) => read_at(log, LOG_SALTS.start as u64).ok(),
            _ => None,
        }
    }

    /// Whether the log is as long as it gets, before it is copied into the file.
    pub(crate) fn is_full(&self) -> bool {
        self.pages >= CHECKPOINT_PAGES
    }

    /// The transaction has been committed by this thread, with a sync or without, and the journal is so far, if that
    /// is known.
    pub(crate) fn committed(
        &mut self,
        is_synced: bool,
        round: Option<Salts>,
        position: Option<u64>,
    ) {
        // One that has written nothing has no more pages.
        if let Some(pages) = PAGES.take() {
            self.pages = pages;
            if is_synced {
                self.note(round, position);
            }
        }
    }

    fn note(&mut self, round: Option<Salts>, position: Option<u64>) {
        let Some((log, note)) = &self.files else {
            return;
        };
        let pages = self.pages;
        let page = PAGE_HEADER as u64 + u64::from(self.page_size);
        let last = LOG_HEADER as u64 + u64::from(pages.saturating_sub(1)) * page;
        let of_last = read_at(log, last + PAGE_SALTS.start as u64).ok();
        // Not where this commit has begun the log anew, or somebody's before or after it.
        self.known = self.known.or(round).filter(|round| of_last == Some(*round));
        let mut written = [0; NOTE_BYTES];
        if let Some(round) = self.known {
            written[..POSITION_AT].copy_from_slice(&of_log(round, pages));
        }
        if let Some(position) = position {
            written[POSITION_AT..].copy_from_slice(&of_journal(position));
        }
        // What is not known here, another process may have noted.
        let from = self.known.map_or(POSITION_AT, |_| 0);
        if note.write_all_at(&written[from..], from as u64).is_err() {
            self.files = None;
        }
    }
}

/// Where another process copies the log, or reads in it, it is copied at a later commit. This one is made, and
/// an error would take that for a failure.
fn not_by_now(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Ok(()),
        _ => Err(error),
    }
}

/// The log is empty, and is about to get something: what was noted was of the one before. Whoever calls this has
/// the lock of who writes.
pub(crate) fn forget(file: &Path) -> io::Result<()> {
    match OpenOptions::new()
        .write(true)
        .open(file.with_file_name(NOTE))
    {
        Ok(note) => note.set_len(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn read_at<const N: usize>(file: &File, at: u64) -> io::Result<[u8; N]> {
    let mut read = [0; N];
    file.read_exact_at(&mut read, at)?;
    Ok(read)
}

/// What a note says of the log, as it is in its file.
fn of_log(round: Salts, pages: u32) -> [u8; 16] {
    let mut note = [0; 16];
    note[..8].copy_from_slice(&round);
    note[8..12].copy_from_slice(&pages.to_le_bytes());
    let check = blake3::hash(&note[..12]);
    note[12..].copy_from_slice(&check.as_bytes()[..4]);
    note
}

/// What it says of the journal.
fn of_journal(position: u64) -> [u8; 12] {
    let mut note = [0; 12];
    note[..8].copy_from_slice(&position.to_le_bytes());
    let check = blake3::hash(&note[..8]);
    note[8..].copy_from_slice(&check.as_bytes()[..4]);
    note
}

/// How far the journal had come when it was synced, if that was noted. To be read before that with which it is
/// compared: others go on meanwhile.
pub(crate) fn position(file: &Path) -> io::Result<Option<u64>> {
    let Some(note) = opened(&file.with_file_name(NOTE))? else {
        return Ok(None);
    };
    let Ok(note) = read_at::<12>(&note, POSITION_AT as u64) else {
        return Ok(None);
    };
    let position = note.first_chunk().map_or(0, |it| u64::from_le_bytes(*it));
    Ok((note == of_journal(position)).then_some(position))
}

/// What is wrong in the log of a journal, as far as it was noted to be on the disk. Others may write to
/// it meanwhile.
pub(crate) fn verify(file: &Path) -> io::Result<Option<Damage>> {
    let (Some(note), Some(log)) = (opened(&file.with_file_name(NOTE))?, opened(&log_of(file))?)
    else {
        return Ok(None);
    };
    loop {
        // Where the note itself is damaged, or torn, there is none.
        let Some((round, pages)) = noted(&note) else {
            return Ok(None);
        };
        let before = read_at::<LOG_HEADER>(&log, 0).ok();
        match whole_pages(&log, round, pages)? {
            Some(whole) if whole < pages => {
                // Who begins the log anew empties the note, if the log is empty, or else writes the header
                // first: then it is another round by now.
                if read_at(&log, 0).ok() == before && noted(&note) == Some((round, pages)) {
                    return Ok(Some(Damage::Log {
                        synced: pages,
                        whole,
                    }));
                }
            }
            _ => return Ok(None),
        }
    }
}

/// What a note says: of which round the log was, and how many pages it had.
fn noted(note: &File) -> Option<(Salts, u32)> {
    let note = read_at::<16>(note, 0).ok()?;
    let (round, pages) = note.split_at(8);
    let round: Salts = round.try_into().unwrap_or_default();
    let pages = pages.first_chunk().map_or(0, |it| u32::from_le_bytes(*it));
    (note == of_log(round, pages) && pages > 0).then_some((round, pages))
}

fn opened(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many pages at the beginning of the log are as they were written, of so many; `None` if it is of
/// another round, or empty.
fn whole_pages(mut log: &File, round: Salts, pages: u32) -> io::Result<Option<u32>> {
    log.rewind()?;
    let mut log = io::BufReader::with_capacity(64 * 1024, log);
    let mut header = [0; LOG_HEADER];
    match log.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let magic = word(&header, 0);
    let mut sum = Sum {
        is_big: magic == MAGIC | 1,
        sums: (0, 0),
    };
    sum.add(&header[..24]);
    if magic | 1 != MAGIC | 1 || !sum.is(&header[24..]) {
        return Ok(Some(0));
    }
    if header[LOG_SALTS] != round {
        return Ok(None);
    }
    let mut page = vec![0; PAGE_HEADER + word(&header, 8) as usize];
    for number in 0..pages {
        match log.read_exact(&mut page) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Some(number));
            }
            read => read?,
        }
        sum.add(&page[..8]);
        sum.add(&page[PAGE_HEADER..]);
        if page[PAGE_SALTS] != round || !sum.is(&page[PAGE_SALTS.end..PAGE_HEADER]) {
            return Ok(Some(number));
        }
    }
    Ok(Some(pages))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |word| u32::from_be_bytes(*word))
}

/// The checksum of SQLite's log, over all that was added.
struct Sum {
    /// Whether it takes words from their largest byte on.
    is_big: bool,
    sums: (u32, u32),
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let of = match self.is_big {
            true => u32::from_be_bytes,
            false => u32::from_le_bytes,
        };
        let (words, _) = bytes.as_chunks::<4>();
        let (pairs, _) = words.as_chunks::<2>();
        let (mut one, mut two) = self.sums;
        for [first, second] in pairs {
            one = one.wrapping_add(of(*first)).wrapping_add(two);
            two = two.wrapping_add(of(*second)).wrapping_add(one);
        }
        self.sums = (one, two);
    }

    fn is(&self, written: &[u8]) -> bool {
        (word(written, 0), word(written, 4)) == self.sums
    }
}
