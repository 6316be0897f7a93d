//! A bit of each byte of a small journal, flipped; every bit, where `COORD_JOURNAL_BITS` is `all`, as for
//! `cargo xtask bits`.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use coord_bus::{
    Durability, EventLog, ExpectedVersion, Lease, StoredRecord, StreamInfo, StreamQuery,
};
use coord_journal::{Damage, Journal, JournalError, JournalOptions};

use rustix::fs::{FlockOperation, flock};

use crate::stage::{Stage, append, numbers, read};

/// All that a journal says.
#[derive(Debug, PartialEq)]
struct Said {
    streams: Vec<StreamInfo>,
    open: Vec<StreamInfo>,
    records: Vec<Vec<StoredRecord>>,
    leases: Vec<Option<(String, u64)>>,
}

const STREAMS: [&str; 3] = ["one", "two", "three"];
const TTL: Duration = Duration::from_secs(1_000_000);

async fn make(dir: &Path) {
    let journal = Journal::open(dir).unwrap();
    for (stream, count) in [("one", 3), ("two", 1), ("three", 2)] {
        let begun = numbers(stream, ExpectedVersion::Empty, 1..=count);
        append(&journal, begun.needed_by("one")).await;
    }
    append(
        &journal,
        numbers("two", ExpectedVersion::Exactly(1), [2]).closing(),
    )
    .await;
    journal.acquire("held", "holder", TTL).await.unwrap();
    let released = journal.acquire("released", "holder", TTL).await.unwrap();
    journal.release(released).await.unwrap();
}

/// Makes the pages of a closed journal as small as they may be: the same tables, fewer bits.
fn shrink(file: &Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let sql = "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM;
               PRAGMA journal_mode = WAL;";
    connection.execute_batch(sql).unwrap();
}

/// What it says, where nothing that it says is an error. What is read is what was written, or nothing.
async fn said(journal: &Journal, written: Option<&Said>) -> Option<Said> {
    let mut records = Vec::new();
    for stream in STREAMS {
        records.push(journal.read(stream, 1, usize::MAX).await);
    }
    if let Some(written) = written {
        for (read, written) in records.iter().zip(&written.records) {
            assert!(
                read.as_ref()
                    .is_ok_and(|read| read == written || read.is_empty())
                    || read.is_err()
            );
        }
    }
    let mut leases = Vec::new();
    for lease in ["held", "released"] {
        let held = journal.current(lease).await.ok()?;
        leases.push(held.map(|held| (held.by, held.token)));
    }
    let newest = StreamQuery::newest_first().open();
    Some(Said {
        streams: journal.streams(&StreamQuery::by_name()).await.ok()?,
        open: journal.streams(&newest).await.ok()?,
        records: records.into_iter().collect::<Result<_, _>>().ok()?,
        leases,
    })
}

/// Stands for the journal that still holds the lease.
fn stay(stage: &Stage, handle: &str) -> File {
    let holders = stage.dir().join("holders");
    fs::create_dir_all(&holders).unwrap();
    let file = File::create(holders.join(handle)).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    file
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

/// Which bits of which bytes are flipped: all of them, or one of each so many bytes.
fn flips(bytes: usize, step: usize) -> Vec<(usize, u8)> {
    let all = std::env::var("COORD_JOURNAL_BITS").is_ok_and(|which| which == "all");
    let bits = |byte| (0..8).map(move |bit| (byte, bit));
    let one = |byte| (byte, fastrand::u8(0..8));
    match all {
        true => (0..bytes).flat_map(bits).collect(),
        false => (0..bytes).step_by(step).map(one).collect(),
    }
}

/// For how many flips this holds; half of them are tried on another thread.
fn count<F: Fn((usize, u8)) -> bool>(
    flips: &[(usize, u8)],
    try_on: impl Fn() -> F + Sync,
) -> usize {
    let count = |flips: &[(usize, u8)]| {
        let holds = try_on();
        let held = flips.iter().filter(|&&(byte, bit)| {
            let held = catch_unwind(AssertUnwindSafe(|| holds((byte, bit))));
            held.unwrap_or_else(|_| panic!("byte {byte}, bit {bit}"))
        });
        held.count()
    };
    let (first, second) = flips.split_at(flips.len() / 2);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| count(first));
        count(second) + first.join().unwrap()
    })
}

/// Whether a journal is known to be damaged once a bit of it has been flipped. If not, it says what
/// it has always said.
fn is_found(stage: &Stage, flipped: &[u8], wanted: &Said) -> bool {
    for left in ["journal.db-wal", "journal.db-shm"] {
        let _ = fs::remove_file(stage.dir().join(left));
    }
    fs::write(stage.file(), flipped).unwrap();
    let journal = match Journal::open(stage.dir()) {
        Ok(journal) => journal,
        Err(JournalError::Busy { .. }) => panic!("nobody else has it"),
        Err(_) => return true,
    };
    runtime().block_on(async {
        let said = said(&journal, Some(wanted)).await;
        let report = journal.check().await;
        let is_clean = report.is_ok_and(|report| report.is_clean());
        match said {
            Some(said) if is_clean => assert_eq!(said, *wanted),
            _ => return true,
        }
        false
    })
}

#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    let stage = Stage::new();
    let runtime = runtime();
    runtime.block_on(make(&stage.dir()));
    shrink(&stage.file());
    let handle = "SELECT lower(hex(handle)) FROM leases WHERE name = 'held'";
    let handle: String = stage
        .connect()
        .query_row(handle, (), |row| row.get(0))
        .unwrap();
    let _held = stay(&stage, &handle);
    let said = runtime.block_on(async { said(&stage.open(), None).await });
    let (wanted, pristine) = (said.unwrap(), fs::read(stage.file()).unwrap());
    assert!(matches!(wanted.leases[..], [Some(_), None]));
    let flips = flips(pristine.len(), 1);
    let found = count(&flips, || {
        let stage = Stage::in_memory();
        drop(stage.open());
        let held = stay(&stage, &handle);
        let (pristine, wanted) = (&pristine, &wanted);
        move |(byte, bit)| {
            let _held = &held;
            is_found(&stage, &flipped(pristine, byte, bit), wanted)
        }
    });
    let all = flips.len();
    println!("{found} of {all} flips were found, and the others changed nothing");
    assert!(found > all / 4 && found < all);
}

/// Some appends, as a process that is killed leaves them: the files, and what they say.
struct Left {
    file: Vec<u8>,
    log: Vec<u8>,
    note: Vec<u8>,
    records: Vec<StoredRecord>,
}

async fn left(durability: impl Fn(u64) -> Durability) -> Left {
    left_after(&Stage::new(), 6, durability).await
}

async fn left_after(stage: &Stage, last: u64, durability: impl Fn(u64) -> Durability) -> Left {
    let journal = stage.open();
    for version in 1..=last {
        let next = numbers("one", ExpectedVersion::Exactly(version - 1), [version]);
        append(&journal, next.durably(durability(version))).await;
    }
    let of = |name: &str| fs::read(stage.dir().join(name)).unwrap();
    Left {
        file: of("journal.db"),
        log: of("journal.db-wal"),
        note: of("journal.synced"),
        records: read(&journal, "one").await,
    }
}

impl Left {
    /// Where the last page of the log ends. What comes after it is room.
    fn end(&self) -> usize {
        self.log.iter().rposition(|byte| *byte != 0).unwrap()
    }

    /// Puts it into the place of a journal, with other bytes in the log.
    fn put(&self, stage: &Stage, log: &[u8], note: &[u8]) {
        let _ = fs::remove_file(stage.dir().join("journal.db-shm"));
        fs::write(stage.file(), &self.file).unwrap();
        fs::write(stage.dir().join("journal.db-wal"), log).unwrap();
        fs::write(stage.dir().join("journal.synced"), note).unwrap();
    }
}

fn flipped(bytes: &[u8], byte: usize, bit: u8) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[byte] ^= 1 << bit;
    flipped
}

fn any_bit(byte: usize) -> u8 {
    (byte % 8) as u8
}

#[tokio::test]
async fn a_flipped_bit_in_the_write_ahead_log_is_found_and_what_is_whole_is_saved() {
    let left = left(|_| Durability::Disk).await;
    let (stage, end) = (Stage::in_memory(), left.end());
    drop(stage.open());
    let mut saved = std::collections::BTreeSet::new();
    let room = (end + 1..left.log.len()).step_by(4_999);
    assert!(room.len() > 10);
    for byte in (0..=end).step_by(97).chain(0..32).chain(room) {
        left.put(&stage, &flipped(&left.log, byte, any_bit(byte)), &left.note);
        if byte > end {
            assert_eq!(
                read(&stage.open(), "one").await,
                left.records,
                "byte {byte}"
            );
            continue;
        }
        // Twice: that it was opened takes nothing away.
        for _ in 0..2 {
            let error = Journal::open(stage.dir()).map(drop).unwrap_err();
            let damage = match error {
                JournalError::Damaged { source, .. } => source,
                error => panic!("byte {byte}: {error}"),
            };
            assert!(
                matches!(damage, Damage::Log { .. }),
                "byte {byte}: {damage}"
            );
            let Ok(journal) = JournalOptions::new().salvaging().open(stage.dir()) else {
                // Not even the tables are whole.
                continue;
            };
            let report = journal.check().await.unwrap();
            assert!(report.faults.contains(&damage), "byte {byte}: {report:?}");
            let there = read(&journal, "one").await;
            assert_eq!(there, left.records[..there.len()], "byte {byte}");
            saved.insert(there.len());
            let exported = journal.export_stream("one", std::io::sink());
            assert!(matches!(exported, Err(JournalError::Damaged { .. })));
            let next = numbers("two", ExpectedVersion::Empty, [1]);
            journal.append(next).await.unwrap_err();
        }
    }
    assert!(saved.into_iter().eq(0..=5));
}

/// Each bit of it, where every bit is asked for.
#[test]
fn a_flipped_bit_in_a_small_write_ahead_log_is_found_and_nothing_else_is_said() {
    let stage = Stage::new();
    drop(stage.open());
    shrink(&stage.file());
    let left = runtime().block_on(left_after(&stage, 3, |_| Durability::Disk));
    let flips = flips(left.end() + 1, 61);
    let found = count(&flips, || {
        let (left, stage) = (&left, Stage::in_memory());
        drop(stage.open());
        move |(byte, bit)| {
            left.put(&stage, &flipped(&left.log, byte, bit), &left.note);
            let refused = Journal::open(stage.dir()).map(drop);
            assert!(
                matches!(
                    refused,
                    Err(JournalError::Damaged {
                        source: Damage::Log { .. },
                        ..
                    })
                ),
                "{refused:?}"
            );
            let journal = JournalOptions::new().salvaging().open(stage.dir()).unwrap();
            let there = runtime().block_on(read(&journal, "one"));
            assert_eq!(there, left.records[..there.len()]);
            there.len() < left.records.len()
        }
    });
    assert_eq!(found, flips.len());
    println!("{found} flips in the log were found");
}

#[tokio::test]
async fn a_flipped_bit_in_the_note_of_what_is_synced_changes_nothing() {
    let left = left(|_| Durability::Disk).await;
    let stage = Stage::in_memory();
    drop(stage.open());
    assert_eq!(left.note.len(), 28);
    for byte in 0..left.note.len() {
        left.put(&stage, &left.log, &flipped(&left.note, byte, any_bit(byte)));
        assert_eq!(read(&stage.open(), "one").await, left.records);
    }
}

/// A loss of power may take away what was not synced, and that is no damage.
#[tokio::test]
async fn an_append_that_was_not_synced_may_be_gone_without_a_word() {
    let left = left(|version| match version {
        1..=4 => Durability::Disk,
        _ => Durability::Process,
    })
    .await;
    let stage = Stage::in_memory();
    drop(stage.open());
    let mut log = left.log.clone();
    log[left.end() - 4_095..].fill(0);
    left.put(&stage, &log, &left.note);
    assert_eq!(read(&stage.open(), "one").await, left.records[..5]);
}

/// SQLite begins the log anew once it is in the file; the note of the round before says nothing of it.
#[tokio::test]
async fn a_log_that_was_begun_anew_is_not_measured_by_the_round_before() {
    let stage = Stage::new();
    let journal = stage.open();
    append(&journal, numbers("one", ExpectedVersion::Empty, 1..=50)).await;
    append(&journal, numbers("one", ExpectedVersion::Exactly(50), [51])).await;
    let before = fs::read(stage.dir().join("journal.synced")).unwrap();
    journal.compact().await.unwrap();
    append(&journal, numbers("one", ExpectedVersion::Exactly(51), [52])).await;
    let of = |name: &str| fs::read(stage.dir().join(name)).unwrap();
    let left = Left {
        file: of("journal.db"),
        log: of("journal.db-wal"),
        note: before,
        records: read(&journal, "one").await,
    };
    let other = Stage::in_memory();
    drop(other.open());
    left.put(&other, &left.log, &left.note);
    assert_eq!(read(&other.open(), "one").await, left.records);
}

/// Two that have the journal open write by turns, and one of them empties the log in between.
#[tokio::test]
async fn what_another_one_has_written_after_the_log_was_begun_anew_is_noted_too() {
    let stage = Stage::new();
    let (one, other) = (stage.open(), stage.open());
    for version in 1..=3 {
        append(
            &one,
            numbers("one", ExpectedVersion::Exactly(version - 1), [version]),
        )
        .await;
    }
    other.compact().await.unwrap();
    for version in 1..=20 {
        append(
            &other,
            numbers("two", ExpectedVersion::Exactly(version - 1), [version]),
        )
        .await;
    }
    for version in 4..=6 {
        append(
            &one,
            numbers("one", ExpectedVersion::Exactly(version - 1), [version]),
        )
        .await;
    }
    let of = |name: &str| fs::read(stage.dir().join(name)).unwrap();
    let left = Left {
        file: of("journal.db"),
        log: of("journal.db-wal"),
        note: of("journal.synced"),
        records: read(&one, "one").await,
    };
    let damaged = Stage::in_memory();
    drop(damaged.open());
    left.put(&damaged, &left.log, &left.note);
    assert_eq!(read(&damaged.open(), "one").await, left.records);
    left.put(
        &damaged,
        &flipped(&left.log, left.end() - 100, 0),
        &left.note,
    );
    let error = Journal::open(damaged.dir()).map(drop).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
}
