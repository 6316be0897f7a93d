//! The event log in memory.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{Clock, ManualClock};
use coord_bus::{
    Durability, EventLog, EventLogError, ExpectedVersion, MemoryEventLog, Record, Timestamp,
};
use tokio_stream::StreamExt;

mod conformance {
    coord_bus::conformance_event_log!(coord_bus::MemoryEventLog::new());
}

fn records(count: usize) -> Vec<Record> {
    vec![Record::new("kind", "content"); count]
}

#[tokio::test(start_paused = true)]
async fn a_full_log_refuses_the_whole_append_and_keeps_what_it_has() {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let log = MemoryEventLog::with(clock, 5);
    let append = |stream, count| log.append(stream, ExpectedVersion::Any, records(count));
    append("one", 2).await.unwrap();
    append("two", 1).await.unwrap();
    for (stream, count) in [("one", 3), ("two", 100), ("three", 3)] {
        let refused = append(stream, count).await.unwrap_err();
        assert!(
            matches!(refused, EventLogError::Full { limit: 5 }),
            "{refused}"
        );
    }
    assert_eq!(log.streams(None, 10).await.unwrap(), ["one", "two"]);
    assert_eq!(append("one", 2).await.unwrap().version, 4);
    assert_eq!(append("one", 0).await.unwrap().version, 4);
    assert!(append("one", 1).await.is_err());
    assert_eq!(log.read("one", 1, 10).await.unwrap().len(), 4);
    // To know that somebody else was there is worth more than to know that the log is full.
    let refused = log.append("one", ExpectedVersion::Empty, records(9)).await;
    assert!(matches!(refused, Err(EventLogError::WrongVersion { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_record_has_the_time_of_its_append_by_the_clock_of_the_log() {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let log = MemoryEventLog::with(Arc::clone(&clock) as Arc<dyn Clock>, 10);
    for _ in 0..2 {
        clock.advance(Duration::from_secs(1));
        let appended = log.append("stream", ExpectedVersion::Any, records(2));
        appended.await.unwrap();
    }
    let stored = log.read("stream", 1, 10).await.unwrap();
    let seconds: Vec<_> = stored.iter().map(|each| each.at.as_second()).collect();
    assert_eq!(seconds, [1, 1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_always_finds_more_lets_others_run() {
    let log = MemoryEventLog::new();
    let appended = log.append("stream", ExpectedVersion::Empty, records(10_000));
    appended.await.unwrap();
    let tail = log.tail("stream", 1).unwrap();
    let reader = tokio::spawn(tail.take(10_000).fold(0, |count, _| count + 1));
    let neighbour = tokio::spawn(async {});
    neighbour.await.unwrap();
    assert!(!reader.is_finished());
    assert_eq!(reader.await.unwrap(), 10_000);
}

#[test]
fn it_does_not_outlive_its_process_and_says_so() {
    assert_eq!(MemoryEventLog::new().durability(), Durability::Process);
    assert!(Durability::Process < Durability::Disk);
}

#[tokio::test(start_paused = true)]
async fn refusals_say_what_is_wrong_and_what_to_do() {
    let log = MemoryEventLog::new();
    let appended = log.append("run-1", ExpectedVersion::Empty, records(3));
    appended.await.unwrap();
    for (stream, expected, text) in [
        (
            "run-1",
            ExpectedVersion::Exactly(2),
            "stream `run-1` is at version 3, and version 2 was expected: read what has been \
             appended since, and decide anew",
        ),
        (
            "run-1",
            ExpectedVersion::Empty,
            "stream `run-1` is at version 3, and no record yet was expected: read what has been \
             appended since, and decide anew",
        ),
        (
            "../run",
            ExpectedVersion::Any,
            "`../run` cannot be a stream's name: it has another character in it (names are \
             letters, digits, `-`, `_` and `.`, such as `build-2024.1`)",
        ),
    ] {
        let refused = log.append(stream, expected, records(1)).await;
        assert_eq!(refused.unwrap_err().to_string(), text);
    }
}
