//! A bit of each byte of a small journal, flipped; every bit, where `COORD_JOURNAL_BITS` is `all`.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use coord_bus::{EventLog, ExpectedVersion, Lease, StoredRecord, StreamInfo, StreamQuery};
use coord_journal::{Journal, JournalError};

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
        append(&journal, numbers(stream, ExpectedVersion::Empty, 1..=count)).await;
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

/// Which bits of which bytes are flipped.
fn flips(bytes: usize) -> Vec<(usize, u8)> {
    let all = std::env::var("COORD_JOURNAL_BITS").is_ok_and(|which| which == "all");
    let bits = |byte| (0..8).map(move |bit| (byte, bit));
    match all {
        true => (0..bytes).flat_map(bits).collect(),
        false => (0..bytes).map(|byte| (byte, fastrand::u8(0..8))).collect(),
    }
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
    let flips = flips(pristine.len());
    let count = |flips: &[(usize, u8)]| {
        let stage = Stage::in_memory();
        drop(stage.open());
        let _held = stay(&stage, &handle);
        let found = flips.iter().filter(|(byte, bit)| {
            let mut flipped = pristine.clone();
            flipped[*byte] ^= 1 << bit;
            let found = catch_unwind(AssertUnwindSafe(|| is_found(&stage, &flipped, &wanted)));
            found.unwrap_or_else(|_| panic!("byte {byte}, bit {bit}"))
        });
        found.count()
    };
    let (first, second) = flips.split_at(flips.len() / 2);
    let found = std::thread::scope(|scope| {
        let first = scope.spawn(|| count(first));
        count(second) + first.join().unwrap()
    });
    let all = flips.len();
    println!("{found} of {all} flips were found, and the others changed nothing");
    assert!(found > all / 4 && found < all);
}

/// The end of the write-ahead log cannot be told from one that was never written, so an append that
/// stands there may be gone; but none is another than it was.
#[tokio::test]
async fn a_flipped_bit_in_the_write_ahead_log_takes_its_end_away_at_most() {
    let stage = Stage::new();
    let journal = stage.open();
    for version in 1..=6 {
        append(
            &journal,
            numbers("one", ExpectedVersion::Exactly(version - 1), [version]),
        )
        .await;
    }
    let wanted = read(&journal, "one").await;
    let file = fs::read(stage.file()).unwrap();
    let wal = fs::read(stage.dir().join("journal.db-wal")).unwrap();
    drop(journal);
    let damaged = Stage::new();
    drop(damaged.open());
    let mut lengths = std::collections::BTreeSet::new();
    // What comes after the last frame is room.
    let end = wal.iter().rposition(|byte| *byte != 0).unwrap();
    let room = (end + 1..wal.len()).step_by(4_999);
    assert!(room.len() > 10);
    for byte in (0..=end).step_by(97).chain(room) {
        let mut flipped = wal.clone();
        flipped[byte] ^= 1 << (byte % 8);
        let _ = fs::remove_file(damaged.dir().join("journal.db-shm"));
        fs::write(damaged.file(), &file).unwrap();
        fs::write(damaged.dir().join("journal.db-wal"), &flipped).unwrap();
        let journal = damaged.open();
        let there = read(&journal, "one").await;
        assert_eq!(there, wanted[..there.len()], "byte {byte}");
        assert!(journal.check().await.unwrap().is_clean(), "byte {byte}");
        match byte > end {
            true => assert_eq!(there.len(), wanted.len(), "byte {byte}"),
            false => _ = lengths.insert(there.len()),
        }
    }
    // Each frame is under the checksum of all before it: what follows the flip is gone.
    assert!(lengths.into_iter().eq(0..=5));
}
