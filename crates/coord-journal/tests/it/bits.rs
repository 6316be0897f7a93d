//! Every bit of a small journal, flipped.

use std::fs;
use std::path::Path;
use std::time::Duration;

use coord_bus::{EventLog, ExpectedVersion, Lease, StoredRecord, StreamInfo, StreamQuery};
use coord_journal::{Journal, JournalError};

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

/// What it says, where it says something, and does not know itself that it is damaged.
async fn said(journal: &Journal) -> Option<Said> {
    let mut records = Vec::new();
    for stream in STREAMS {
        records.push(journal.read(stream, 1, usize::MAX).await.ok()?);
    }
    let mut leases = Vec::new();
    for lease in ["held", "released"] {
        let held = journal.current(lease).await.ok()?;
        leases.push(held.map(|held| (held.by, held.token)));
    }
    Some(Said {
        streams: journal.streams(&StreamQuery::by_name()).await.ok()?,
        open: journal
            .streams(&StreamQuery::newest_first().open())
            .await
            .ok()?,
        records,
        leases,
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

/// Flips each bit of some bytes in turn. How many flips were found.
fn flip(pristine: &[u8], wanted: &Said, bytes: impl Iterator<Item = usize>) -> usize {
    let stage = Stage::new();
    drop(stage.open());
    let runtime = runtime();
    let mut found = 0;
    for byte in bytes {
        for bit in 0..8 {
            let mut flipped = pristine.to_vec();
            flipped[byte] ^= 1 << bit;
            for left in ["journal.db-wal", "journal.db-shm"] {
                let _ = fs::remove_file(stage.dir().join(left));
            }
            fs::write(stage.file(), &flipped).unwrap();
            let journal = match Journal::open(stage.dir()) {
                Ok(journal) => journal,
                Err(error) => {
                    assert!(!matches!(error, JournalError::Busy { .. }), "{error}");
                    found += 1;
                    continue;
                }
            };
            let (said, report) = runtime.block_on(async {
                let said = said(&journal).await;
                (said, journal.check().await)
            });
            let is_clean = report.is_ok_and(|report| report.is_clean());
            match said {
                Some(said) if is_clean => assert_eq!(said, *wanted, "byte {byte}, bit {bit}"),
                _ => found += 1,
            }
            // What is read is read as it was written, or not at all.
            for (stream, written) in STREAMS.iter().zip(&wanted.records) {
                if let Ok(read) = runtime.block_on(journal.read(stream, 1, usize::MAX)) {
                    assert!(
                        read == *written || read.is_empty(),
                        "byte {byte}, bit {bit}"
                    );
                }
            }
        }
    }
    found
}

#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    let stage = Stage::new();
    let runtime = runtime();
    runtime.block_on(make(&stage.dir()));
    shrink(&stage.file());
    let wanted = runtime
        .block_on(async { said(&stage.open()).await })
        .unwrap();
    let pristine = fs::read(stage.file()).unwrap();
    let half = pristine.len() / 2;
    let found = std::thread::scope(|scope| {
        let flip = |bytes: std::ops::Range<usize>| flip(&pristine, &wanted, bytes);
        let first = scope.spawn(move || flip(0..half));
        let second = flip(half..pristine.len());
        first.join().unwrap() + second
    });
    let bits = 8 * pristine.len();
    println!("{found} of {bits} flips were found, and the others changed nothing");
    assert!(found > bits / 10, "{found} of {bits}");
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
    for byte in (0..wal.len()).step_by(97) {
        let mut flipped = wal.clone();
        flipped[byte] ^= 1 << (byte % 8);
        let _ = fs::remove_file(damaged.dir().join("journal.db-shm"));
        fs::write(damaged.file(), &file).unwrap();
        fs::write(damaged.dir().join("journal.db-wal"), &flipped).unwrap();
        let journal = damaged.open();
        let there = read(&journal, "one").await;
        assert_eq!(there, wanted[..there.len()], "byte {byte}");
        assert!(journal.check().await.unwrap().is_clean(), "byte {byte}");
        lengths.insert(there.len());
    }
    assert!(lengths.contains(&6) && lengths.len() > 3, "{lengths:?}");
}
