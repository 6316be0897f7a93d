//! What every event log must do, wherever it keeps its records.
//!
//! Each behaviour gets a log of its own, without records.

use std::pin::pin;
use std::task::{Context, Waker};

use super::in_time;
use crate::event_log::MAX_STREAM_NAME_LENGTH;
use crate::{EventLog, EventLogError, ExpectedVersion, Record, StoredRecord, Tail, TaskScope};
use ExpectedVersion::{Any, Empty, Exactly};

fn record(number: u64) -> Record {
    Record::new("number", number.to_string())
}

fn records(numbers: impl IntoIterator<Item = u64>) -> Vec<Record> {
    numbers.into_iter().map(record).collect()
}

/// Appends records of these numbers, wherever the stream is. Its version then.
async fn append(log: &dyn EventLog, stream: &str, numbers: impl IntoIterator<Item = u64>) -> u64 {
    let appended = in_time(log.append(stream, Any, records(numbers))).await;
    appended.expect("it is appended").version
}

async fn read(log: &dyn EventLog, stream: &str, from: u64, limit: usize) -> Vec<StoredRecord> {
    let read = in_time(log.read(stream, from, limit)).await;
    read.expect("it is read")
}

async fn streams(log: &dyn EventLog, after: Option<&str>, limit: usize) -> Vec<String> {
    let names = in_time(log.streams(after, limit)).await;
    names.expect("they are listed")
}

/// Version and content of each record.
fn numbered(stored: &[StoredRecord]) -> Vec<(u64, String)> {
    let content = |stored: &StoredRecord| String::from_utf8_lossy(&stored.record.payload).into();
    stored
        .iter()
        .map(|each| (each.version, content(each)))
        .collect()
}

/// What [`numbered`] gives for records that each contain their own version.
fn straight(versions: impl Iterator<Item = u64>) -> Vec<(u64, String)> {
    versions
        .map(|version| (version, version.to_string()))
        .collect()
}

async fn next(tail: &mut Tail) -> Option<StoredRecord> {
    let next = std::future::poll_fn(|cx| tail.as_mut().poll_next(cx));
    let next = in_time(next).await;
    next.map(|stored| stored.expect("it is read"))
}

async fn follow(tail: &mut Tail, count: usize) -> Vec<StoredRecord> {
    let mut stored = Vec::new();
    while stored.len() < count {
        stored.push(next(tail).await.expect("the log is open"));
    }
    stored
}

fn has_nothing_now(tail: &mut Tail) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    tail.as_mut().poll_next(&mut cx).is_pending()
}

/// Kind and bytes come back as they went in, whatever they are, in the order of their versions.
pub async fn records_are_numbered_from_one_and_come_back_as_they_were(log: Box<dyn EventLog>) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let records = [
        Record::new("", ""),
        Record::new("a kind: größe \n", every_byte),
        Record::new("long", vec![7; 100_000]),
    ];
    let appended = in_time(log.append("stream", Any, records[..2].to_vec())).await;
    assert_eq!(appended.expect("it is appended").version, 2);
    let appended = in_time(log.append("stream", Any, records[2..].to_vec())).await;
    assert_eq!(appended.expect("it is appended").version, 3);
    let stored = read(&*log, "stream", 1, 10).await;
    assert!(stored.iter().map(|each| each.version).eq(1..=3));
    assert!(stored.into_iter().map(|each| each.record).eq(records));
}

/// Each stream has its own numbers and its own records.
pub async fn streams_do_not_know_each_other(log: Box<dyn EventLog>) {
    for version in 1..=3 {
        assert_eq!(append(&*log, "one", [version]).await, version);
        assert_eq!(append(&*log, "one.more", [version]).await, version);
    }
    for stream in ["one", "one.more"] {
        let stored = read(&*log, stream, 1, 10).await;
        assert_eq!(numbered(&stored), straight(1..=3));
    }
    assert_eq!(read(&*log, "on", 1, 10).await, []);
}

/// `Any`, `Empty`, `Exactly`: each succeeds where it says.
pub async fn an_append_goes_where_it_is_expected(log: Box<dyn EventLog>) {
    for (expected, number) in [(Empty, 1), (Exactly(1), 2), (Any, 3), (Exactly(3), 4)] {
        let appended = in_time(log.append("stream", expected, records([number]))).await;
        assert_eq!(appended.expect("it is appended").version, number);
    }
    let appended = in_time(log.append("another", Exactly(0), records([1, 2]))).await;
    assert_eq!(
        appended
            .expect("0 is the version of an empty stream")
            .version,
        2
    );
    assert_eq!(
        numbered(&read(&*log, "stream", 1, 10).await),
        straight(1..=4)
    );
}

/// The error says what was expected and what there is; no record is there, and no stream begun.
pub async fn an_append_that_expects_another_version_changes_nothing(log: Box<dyn EventLog>) {
    append(&*log, "stream", [1, 2]).await;
    let wrong = [
        ("stream", Empty, 2),
        ("stream", Exactly(0), 2),
        ("stream", Exactly(1), 2),
        ("stream", Exactly(3), 2),
        ("stream", Exactly(u64::MAX), 2),
        ("absent", Exactly(1), 0),
    ];
    for (name, wrongly, is_at) in wrong {
        let refused = in_time(log.append(name, wrongly, records([8, 9]))).await;
        let Err(EventLogError::WrongVersion {
            stream,
            expected,
            actual,
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!((&*stream, expected, actual), (name, wrongly, is_at));
    }
    assert_eq!(
        numbered(&read(&*log, "stream", 1, 10).await),
        straight(1..=2)
    );
    assert_eq!(streams(&*log, None, 10).await, ["stream"]);
}

/// Twenty writers decide on the same version: one of them is right, and its records are together.
pub async fn of_appends_that_expect_one_version_one_succeeds(log: Box<dyn EventLog>) {
    append(&*log, "stream", [1]).await;
    let log: std::sync::Arc<dyn EventLog> = log.into();
    let (winners, mut won) = tokio::sync::mpsc::unbounded_channel();
    let writers = TaskScope::new("writers");
    for writer in 1..=20_u64 {
        let (log, winners) = (log.clone(), winners.clone());
        writers.spawn("writer", async move {
            let records = records([10 * writer, 10 * writer + 1]);
            match log.append("stream", Exactly(1), records).await {
                Ok(_) => winners.send(writer).expect("somebody counts"),
                Err(EventLogError::WrongVersion { actual: 3, .. }) => {}
                Err(error) => panic!("{error}"),
            }
        });
    }
    let report = writers.shutdown(super::PATIENCE).await;
    assert!(
        report.aborted.is_empty() && report.panicked == 0,
        "{report:?}"
    );
    drop(winners);
    let winner = won.recv().await.expect("one succeeds");
    assert_eq!(won.recv().await, None, "only one succeeds");
    let stored = numbered(&read(&*log, "stream", 2, 10).await);
    let (first, second) = (10 * winner, 10 * winner + 1);
    assert_eq!(stored, [(2, first.to_string()), (3, second.to_string())]);
}

/// It begins no stream, and its answer is the stream's version.
pub async fn an_append_of_nothing_only_compares_versions(log: Box<dyn EventLog>) {
    assert_eq!(append(&*log, "absent", []).await, 0);
    assert_eq!(streams(&*log, None, 10).await, [""; 0]);
    append(&*log, "stream", [1, 2]).await;
    let right = in_time(log.append("stream", Exactly(2), Vec::new())).await;
    assert_eq!(right.expect("it is there").version, 2);
    let wrong = in_time(log.append("stream", Exactly(1), Vec::new())).await;
    assert!(matches!(
        wrong,
        Err(EventLogError::WrongVersion { actual: 2, .. })
    ));
    assert_eq!(
        numbered(&read(&*log, "stream", 1, 10).await),
        straight(1..=2)
    );
}

/// Dropped before or after it has begun, an append has happened as a whole or not at all.
pub async fn an_append_given_up_is_whole_or_not_there(log: Box<dyn EventLog>) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut expected = 0;
    for polls in [0, 1, 1, 1] {
        let mut appending = pin!(log.append("stream", Any, records([1, 2, 3])));
        for _ in 0..polls {
            if appending.as_mut().poll(&mut cx).is_ready() {
                break;
            }
        }
        drop(appending);
        // Begins after it, so it ends after it.
        let version = append(&*log, "stream", [4]).await;
        assert!([expected + 1, expected + 4].contains(&version), "{version}");
        expected = version;
    }
    let contents = read(&*log, "stream", 1, 100).await;
    let contents: String = numbered(&contents)
        .into_iter()
        .map(|(_, number)| number)
        .collect();
    assert_eq!(contents.replace("1234", "4"), "4444");
}

/// From any version, up to any number of records; past the end there are none.
pub async fn a_stream_is_read_in_pages(log: Box<dyn EventLog>) {
    append(&*log, "stream", 1..=7).await;
    for (from, limit, there) in [
        (1, 3, 1..4),
        (4, 3, 4..7),
        (7, 3, 7..8),
        (8, 3, 8..8),
        (u64::MAX, 3, 8..8),
        (1, usize::MAX, 1..8),
        (0, 2, 1..3),
        (1, 0, 1..1),
    ] {
        let stored = read(&*log, "stream", from, limit).await;
        assert_eq!(numbered(&stored), straight(there), "{limit} from {from}");
    }
    assert_eq!(read(&*log, "absent", 1, 3).await, []);
}

/// Every stream is listed once, in an order that does not depend on when it began.
pub async fn streams_are_listed_in_pages_in_the_order_of_their_bytes(log: Box<dyn EventLog>) {
    assert_eq!(streams(&*log, None, 10).await, [""; 0]);
    let sorted = [
        "B", "a", "a-b", "a.b", "aa", "b", "run-1", "run-10", "run-2",
    ];
    for name in [
        "run-2", "b", "aa", "a.b", "B", "run-10", "a", "run-1", "a-b",
    ] {
        append(&*log, name, [1, 2]).await;
    }
    assert_eq!(streams(&*log, None, 100).await, sorted);
    assert_eq!(streams(&*log, None, 0).await, [""; 0]);
    let mut paged: Vec<String> = Vec::new();
    loop {
        let page = streams(&*log, paged.last().map(String::as_str), 2).await;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, sorted);
    // The name to go on from need not be there.
    assert_eq!(streams(&*log, Some("az"), 2).await, ["b", "run-1"]);
}

/// Refused wherever it is named, before it can do harm.
pub async fn a_name_that_cannot_be_one_is_refused(log: Box<dyn EventLog>) {
    let longest = "n".repeat(MAX_STREAM_NAME_LENGTH);
    for good in ["a", "7", "Build_2024.1-x", &longest] {
        append(&*log, good, [1]).await;
    }
    let too_long = "n".repeat(MAX_STREAM_NAME_LENGTH + 1);
    let bad = [
        "", ".", "..", "../a", "a/b", "a\\b", "-a", "_a", "a b", "a\0", "größe", "a:b",
    ];
    for bad in bad.into_iter().chain([&*too_long]) {
        let refusals = [
            in_time(log.append(bad, Any, records([1]))).await.err(),
            in_time(log.append(bad, Exactly(9), Vec::new())).await.err(),
            in_time(log.read(bad, 1, 1)).await.err(),
            log.tail(bad, 1).err(),
        ];
        for refused in refusals {
            let Some(EventLogError::InvalidStreamName { name, .. }) = refused else {
                panic!("{bad:?} was not refused: {refused:?}");
            };
            assert_eq!(name, bad);
        }
    }
    assert_eq!(streams(&*log, None, 10).await.len(), 4);
}

/// From any version on: what is there at once, and then each record as it comes.
pub async fn a_tail_gives_what_is_there_and_then_follows(log: Box<dyn EventLog>) {
    append(&*log, "stream", 1..=3).await;
    for from in [0, 1, 3, 4, 6] {
        let mut tail = log.tail("stream", from).expect("it opens");
        let there = read(&*log, "stream", from, 10).await;
        assert_eq!(follow(&mut tail, there.len()).await, there);
        assert!(has_nothing_now(&mut tail));
    }
    let mut tail = log.tail("stream", 2).expect("it opens");
    let mut from_later = log.tail("stream", 5).expect("it opens");
    assert_eq!(numbered(&follow(&mut tail, 2).await), straight(2..=3));
    for version in 4..=6 {
        let (stored, ()) = tokio::join!(next(&mut tail), async {
            append(&*log, "stream", [version]).await;
        });
        let stored = stored.expect("the log is open");
        assert_eq!(numbered(&[stored]), straight(version..=version));
    }
    assert_eq!(numbered(&follow(&mut from_later, 2).await), straight(5..=6));
}

/// Whoever waits for a run may come before it.
pub async fn a_tail_follows_a_stream_that_has_not_begun(log: Box<dyn EventLog>) {
    let mut tail = log.tail("stream", 1).expect("it opens");
    assert!(has_nothing_now(&mut tail));
    append(&*log, "another", 1..=3).await;
    assert!(has_nothing_now(&mut tail));
    assert_eq!(
        streams(&*log, None, 10).await,
        ["another"],
        "a tail begins nothing"
    );
    let (stored, _) = tokio::join!(follow(&mut tail, 2), append(&*log, "stream", 1..=2));
    assert_eq!(numbered(&stored), straight(1..=2));
}

/// Reading what is there and following what comes meet without a seam.
pub async fn a_tail_has_no_gap_and_no_double_while_others_append(log: Box<dyn EventLog>) {
    let write = async {
        for version in (1..=200).step_by(2) {
            append(&*log, "stream", version..version + 2).await;
            tokio::task::yield_now().await;
        }
    };
    let tails = async {
        for from in 1..=20 {
            let mut tail = log.tail("stream", from).expect("it opens");
            let count = from as usize * 5;
            let followed = numbered(&follow(&mut tail, count).await);
            assert_eq!(followed, straight(from..from + count as u64));
        }
    };
    tokio::join!(write, tails);
}

/// A record goes to every tail of its stream, and to no other.
pub async fn every_tail_gets_every_record_of_its_stream(log: Box<dyn EventLog>) {
    let tail = |stream| log.tail(stream, 1).expect("it opens");
    let (mut first, mut second, mut other) = (tail("stream"), tail("stream"), tail("other"));
    let write = async {
        for version in 1..=20 {
            append(&*log, "stream", [version]).await;
            tokio::task::yield_now().await;
        }
        append(&*log, "other", [1]).await;
    };
    let (first, second, other, ()) = tokio::join!(
        follow(&mut first, 20),
        follow(&mut second, 20),
        next(&mut other),
        write,
    );
    assert_eq!(numbered(&first), straight(1..=20));
    assert_eq!(first, second);
    assert_eq!(other.map(|stored| stored.version), Some(1));
}

/// A tail dropped while it waits, or never polled, holds nobody up.
pub async fn a_tail_given_up_disturbs_nobody(log: Box<dyn EventLog>) {
    let mut kept = log.tail("stream", 1).expect("it opens");
    let never_polled = log.tail("stream", 1).expect("it opens");
    let mut given_up = log.tail("stream", 1).expect("it opens");
    assert!(has_nothing_now(&mut given_up) && has_nothing_now(&mut kept));
    drop(given_up);
    let (stored, _) = tokio::join!(next(&mut kept), append(&*log, "stream", [1]));
    drop(never_polled);
    assert_eq!(stored.map(|stored| stored.version), Some(1));
    append(&*log, "stream", [2]).await;
    assert_eq!(next(&mut kept).await.map(|stored| stored.version), Some(2));
}

/// A tail outlives its log for what the log had got, and then ends; one that waits is woken.
pub async fn a_tail_ends_when_the_log_is_dropped(log: Box<dyn EventLog>) {
    append(&*log, "stream", 1..=3).await;
    let mut behind = log.tail("stream", 1).expect("it opens");
    let mut waiting = log.tail("stream", 4).expect("it opens");
    let (ended, ()) = tokio::join!(next(&mut waiting), async { drop(log) });
    assert_eq!(ended, None);
    assert_eq!(numbered(&follow(&mut behind, 3).await), straight(1..=3));
    assert_eq!(next(&mut behind).await, None);
}
