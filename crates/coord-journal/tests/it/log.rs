//! The journal as an event log.

mod conformance {
    coord_bus::conformance_event_log!(crate::off_runtime::OffRuntime::new());

    mod in_place {
        coord_bus::conformance_event_log!(crate::off_runtime::OffRuntime::in_place());
    }
}

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use coord_bus::time::ManualClock;
use coord_bus::{AppendTo, Durability, EventLog, ExpectedVersion, Record, Timestamp};
use coord_journal::JournalOptions;
use tokio_stream::StreamExt;

use crate::stage::{Stage, append, contents, numbers, read};

#[tokio::test]
async fn what_is_appended_is_there_when_the_journal_is_opened_again() {
    let stage = Stage::new();
    let every_byte: Vec<u8> = (0..=255).collect();
    let long = Record::new("long", vec![7; 1_000_000]);
    let records = [Record::new("größe", every_byte), Record::new("", ""), long];
    let journal = stage.open();
    append(
        &journal,
        AppendTo::stream("stream").records(records.clone()),
    )
    .await;
    let before = read(&journal, "stream").await;
    drop(journal);
    let journal = stage.open();
    assert_eq!(read(&journal, "stream").await, before);
    assert!(before.into_iter().map(|stored| stored.record).eq(records));
    let next = numbers("stream", ExpectedVersion::Exactly(3), [4]);
    assert_eq!(append(&journal, next).await, 4);
}

#[tokio::test]
async fn a_record_has_the_time_of_its_append_by_the_clock_of_the_journal() {
    let stage = Stage::new();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let journal = stage.open_with(JournalOptions::new().clock(clock.clone()));
    for version in [1, 3] {
        clock.advance(Duration::from_secs(1));
        let add = numbers("stream", ExpectedVersion::Any, version..version + 2);
        append(&journal, add).await;
    }
    let stored = read(&journal, "stream").await;
    let seconds: Vec<_> = stored.iter().map(|each| each.at.as_second()).collect();
    assert_eq!(seconds, [1, 1, 2, 2]);
}

#[tokio::test]
async fn what_was_accepted_is_written_when_the_journal_is_dropped() {
    let stage = Stage::new();
    let journal = stage.open();
    let mut cx = Context::from_waker(Waker::noop());
    for version in 1..=100 {
        let mut appending = journal.append(numbers("stream", ExpectedVersion::Any, [version]));
        // It is in the queue then, and nobody waits for it.
        let _ = appending.as_mut().poll(&mut cx);
    }
    drop(journal);
    let there = contents(&stage.open(), "stream").await;
    assert!(
        there
            .into_iter()
            .eq((1..=100).map(|version| version.to_string()))
    );
}

#[tokio::test]
async fn a_full_queue_makes_appends_wait_and_loses_none() {
    let stage = Stage::new();
    let journal = Arc::new(stage.open_with(JournalOptions::new().queue(1)));
    let appends: Vec<_> = (0..200)
        .map(|_| {
            let journal = Arc::clone(&journal);
            tokio::spawn(async move {
                let record = Record::new("kind", "content");
                append(&*journal, AppendTo::stream("stream").record(record)).await
            })
        })
        .collect();
    let mut versions = Vec::new();
    for appended in appends {
        versions.push(appended.await.unwrap());
    }
    versions.sort_unstable();
    assert!(versions.into_iter().eq(1..=200));
}

#[tokio::test]
async fn a_tail_that_always_finds_more_lets_others_run() {
    let stage = Stage::new();
    let journal = stage.open();
    append(
        &journal,
        numbers("stream", ExpectedVersion::Any, 1..=10_000),
    )
    .await;
    let mut tail = journal.tail("stream", 1).unwrap();
    tail.next().await.unwrap().unwrap();
    let reader = tokio::spawn(tail.take(9_999).fold(0, |count, _| count + 1));
    let neighbour = tokio::spawn(async {});
    neighbour.await.unwrap();
    assert!(!reader.is_finished());
    assert_eq!(reader.await.unwrap(), 9_999);
}

#[test]
fn it_says_what_it_gives() {
    let stage = Stage::new();
    assert_eq!(stage.open().durability(), Durability::Disk);
    for asked in [Durability::Process, Durability::Memory] {
        let options = JournalOptions::new().durability(asked);
        assert_eq!(stage.open_with(options).durability(), Durability::Process);
    }
}
