//! The event log in memory.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{Clock, ManualClock};
use coord_bus::{
    AppendTo, Durability, EventLog, EventLogError, ExpectedVersion, Grant, MemoryEventLog, Record,
    StreamQuery, Timestamp,
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
    let append = |stream, count| log.append(AppendTo::stream(stream).records(records(count)));
    append("one", 2).await.unwrap();
    append("two", 1).await.unwrap();
    for (stream, count) in [("one", 3), ("two", 100), ("three", 3)] {
        let refused = append(stream, count).await.unwrap_err();
        assert!(
            matches!(refused, EventLogError::Full { limit: 5 }),
            "{refused}"
        );
    }
    let streams = log.streams(&StreamQuery::by_name()).await.unwrap();
    assert!(
        streams
            .iter()
            .map(|stream| &*stream.name)
            .eq(["one", "two"])
    );
    assert_eq!(append("one", 2).await.unwrap().version, 4);
    assert_eq!(append("one", 0).await.unwrap().version, 4);
    assert!(append("one", 1).await.is_err());
    assert_eq!(log.read("one", 1, 10).await.unwrap().len(), 4);
    // To know that somebody else was there is worth more than to know that the log is full.
    let begin = AppendTo::stream("one").expecting(ExpectedVersion::Empty);
    let refused = log.append(begin.records(records(9))).await;
    assert!(matches!(refused, Err(EventLogError::WrongVersion { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_record_has_the_time_of_its_append_by_the_clock_of_the_log() {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let log = MemoryEventLog::with(Arc::clone(&clock) as Arc<dyn Clock>, 10);
    for _ in 0..2 {
        clock.advance(Duration::from_secs(1));
        let append = AppendTo::stream("stream").records(records(2));
        log.append(append).await.unwrap();
    }
    let stored = log.read("stream", 1, 10).await.unwrap();
    let seconds: Vec<_> = stored.iter().map(|each| each.at.as_second()).collect();
    assert_eq!(seconds, [1, 1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_always_finds_more_lets_others_run() {
    let log = MemoryEventLog::new();
    let append = AppendTo::stream("stream").records(records(10_000));
    log.append(append).await.unwrap();
    let tail = log.tail("stream", 1).unwrap();
    let reader = tokio::spawn(tail.take(10_000).fold(0, |count, _| count + 1));
    let neighbour = tokio::spawn(async {});
    neighbour.await.unwrap();
    assert!(!reader.is_finished());
    assert_eq!(reader.await.unwrap(), 10_000);
}

#[test]
fn it_does_not_outlive_its_process_and_says_so() {
    assert_eq!(MemoryEventLog::new().durability(), Durability::Memory);
    assert!(Durability::Memory < Durability::Process);
    assert!(Durability::Process < Durability::Disk);
}

#[tokio::test(start_paused = true)]
async fn refusals_say_what_is_wrong_and_what_to_do() {
    let log = MemoryEventLog::new();
    let append = AppendTo::stream("run-1").records(records(3));
    log.append(append).await.unwrap();
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
        let append = AppendTo::stream(stream).expecting(expected);
        let refused = log.append(append.records(records(1))).await;
        assert_eq!(refused.unwrap_err().to_string(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn it_remembers_as_many_fences_as_records() {
    let log = MemoryEventLog::with(Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)), 3);
    let fenced = |token: u64| {
        let grant = Grant {
            name: format!("lease-{token}"),
            holder: "holder".to_owned(),
            token,
        };
        let append = AppendTo::stream("stream").records(records(1));
        log.append(append.fenced_by(&grant).closing())
    };
    for token in 1..=3 {
        fenced(token).await.unwrap();
        assert!(log.forget("stream").await.unwrap());
    }
    let refused = fenced(4).await.unwrap_err();
    assert!(
        matches!(refused, EventLogError::Full { limit: 3 }),
        "{refused}"
    );
}
