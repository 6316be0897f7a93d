//! What an append does to the write-ahead log: how much it writes, and whether it makes it longer.

use std::fs;

use coord_bus::{AppendTo, Durability, EventLog, ExpectedVersion, Record, StreamQuery};
use coord_journal::Journal;

use crate::stage::{Stage, append, contents, numbers};

/// A page in the log, with its header.
const FRAME: u64 = 4_096 + 24;

fn length(stage: &Stage) -> u64 {
    let log = stage.dir().join("journal.db-wal");
    fs::metadata(log).unwrap().len()
}

#[tokio::test]
async fn an_append_to_a_stream_that_goes_on_writes_three_pages() {
    let stage = Stage::new();
    let journal = stage.open();
    let next = |version: u64| {
        numbers("one", ExpectedVersion::Exactly(version - 1), [version])
            .durably(Durability::Process)
    };
    append(&journal, next(1)).await;
    let before = length(&stage);
    append(&journal, next(2)).await;
    // The record, its place in the index, and the entry of its stream.
    assert_eq!(length(&stage) - before, 3 * FRAME);
}

#[tokio::test]
async fn a_stream_that_is_closed_and_goes_on_after_all_is_listed_as_it_is() {
    let stage = Stage::new();
    let journal = stage.open();
    let is_open = async |journal: &Journal| {
        let streams = journal.streams(&StreamQuery::by_name().open()).await;
        !streams.unwrap().is_empty()
    };
    let next = |version: u64| numbers("one", ExpectedVersion::Exactly(version - 1), [version]);
    append(&journal, next(1)).await;
    assert!(is_open(&journal).await);
    append(&journal, next(2).closing()).await;
    assert!(!is_open(&journal).await);
    append(&journal, next(3).closing()).await;
    assert!(!is_open(&journal).await);
    append(&journal, next(4)).await;
    assert!(is_open(&journal).await);
    assert!(journal.check().await.unwrap().is_clean());
}

#[tokio::test]
async fn appends_that_are_synced_find_room_in_the_log_whoever_made_it() {
    let stage = Stage::new();
    let (journal, other) = (stage.open(), stage.open());
    append(&journal, numbers("one", ExpectedVersion::Empty, [1])).await;
    append(&other, numbers("two", ExpectedVersion::Empty, [1])).await;
    let before = length(&stage);
    for version in 2..=6 {
        let expected = ExpectedVersion::Exactly(version - 1);
        append(&journal, numbers("one", expected, [version])).await;
        append(&other, numbers("two", expected, [version])).await;
    }
    assert_eq!(length(&stage), before);
    // Who opens it while the room is there, after a kill for example, takes it for nothing.
    let copy = Stage::new();
    fs::create_dir(copy.dir()).unwrap();
    for name in ["journal.db", "journal.db-wal"] {
        fs::copy(stage.dir().join(name), copy.dir().join(name)).unwrap();
    }
    let copied = copy.open();
    for stream in ["one", "two"] {
        let wanted: Vec<_> = (1..=6).map(|version: u64| version.to_string()).collect();
        assert_eq!(contents(&copied, stream).await, wanted);
    }
    assert!(copied.check().await.unwrap().is_clean());
}

#[tokio::test]
async fn room_is_made_up_to_what_the_log_needs_before_it_begins_anew() {
    let stage = Stage::new();
    let journal = stage.open();
    let record = vec![7; 64 * 1024];
    for version in 0..200 {
        let expected = ExpectedVersion::Exactly(version);
        let large = AppendTo::stream("large").expecting(expected);
        append(&journal, large.record(Record::new("bytes", record.clone()))).await;
    }
    // 2,000 pages, those of one more append, and a step.
    let most = 2_050 * FRAME + 256 * 1024;
    assert!(length(&stage) <= most, "{}", length(&stage));
}

/// As one is that was killed before SQLite had written a header into the room that was made for it.
#[tokio::test]
async fn a_log_that_was_emptied_and_has_room_is_not_taken_for_a_damaged_one() {
    let stage = Stage::new();
    let journal = stage.open();
    for version in 1..=20 {
        let expected = ExpectedVersion::Exactly(version - 1);
        append(&journal, numbers("one", expected, [version])).await;
    }
    assert!(journal.compact().await.unwrap().is_whole);
    let refused = numbers("one", ExpectedVersion::Empty, [1]);
    journal.append(refused).await.unwrap_err();
    let log = fs::read(stage.dir().join("journal.db-wal")).unwrap();
    assert!(!log.is_empty() && log.iter().all(|byte| *byte == 0));
    let copy = Stage::new();
    fs::create_dir(copy.dir()).unwrap();
    for name in ["journal.db", "journal.db-wal", "journal.synced"] {
        fs::copy(stage.dir().join(name), copy.dir().join(name)).unwrap();
    }
    for journal in [copy.open(), stage.open()] {
        assert_eq!(contents(&journal, "one").await.len(), 20);
        assert!(journal.check().await.unwrap().is_clean());
    }
    append(&journal, numbers("one", ExpectedVersion::Exactly(20), [21])).await;
    assert_eq!(contents(&stage.open(), "one").await.len(), 21);
}
