//! What an append adds, and when it adds nothing.

use std::sync::Arc;
use std::task::{Context, Waker};

use super::super::PATIENCE;
use super::{append, numbered, numbers, read, straight, streams, try_append};
use crate::ExpectedVersion::{Any, Empty, Exactly};
use crate::{AppendTo, Durability, EventLog, EventLogError, Record, StreamQuery, TaskScope};

/// Kind and bytes come back as they went in, whatever they are, in the order of their versions.
pub async fn records_are_numbered_from_one_and_come_back_as_they_were(log: Box<dyn EventLog>) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let records = [
        Record::new("", ""),
        Record::new("a kind: größe \n", every_byte),
        Record::new("long", vec![7; 100_000]),
    ];
    for (part, version) in [(&records[..2], 2), (&records[2..], 3)] {
        let append = AppendTo::stream("stream").records(part.to_vec());
        let appended = try_append(&*log, append).await;
        assert_eq!(appended.expect("it is appended"), version);
    }
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
        let appended = try_append(&*log, numbers("stream", expected, [number])).await;
        assert_eq!(appended.expect("it is appended"), number);
    }
    let appended = try_append(&*log, numbers("another", Exactly(0), [1, 2])).await;
    assert_eq!(appended.expect("0 is the version of an empty stream"), 2);
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
        let refused = try_append(&*log, numbers(name, wrongly, [8, 9]).closing()).await;
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
    assert_eq!(streams(&*log, StreamQuery::by_name()).await, ["stream"]);
}

/// Twenty writers decide on the same version: one of them is right, and its records are together.
pub async fn of_appends_that_expect_one_version_one_succeeds(log: Box<dyn EventLog>) {
    append(&*log, "stream", [1]).await;
    let log: Arc<dyn EventLog> = log.into();
    let (winners, mut won) = tokio::sync::mpsc::unbounded_channel();
    let writers = TaskScope::new("writers");
    for writer in 1..=20_u64 {
        let (log, winners) = (log.clone(), winners.clone());
        writers.spawn("writer", async move {
            let records = [10 * writer, 10 * writer + 1];
            match try_append(&*log, numbers("stream", Exactly(1), records)).await {
                Ok(_) => winners.send(writer).expect("somebody counts"),
                Err(EventLogError::WrongVersion { actual: 3, .. }) => {}
                Err(error) => panic!("{error}"),
            }
        });
    }
    let report = writers.shutdown(PATIENCE).await;
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
    assert_eq!(streams(&*log, StreamQuery::by_name()).await, [""; 0]);
    append(&*log, "stream", [1, 2]).await;
    let right = try_append(&*log, numbers("stream", Exactly(2), [])).await;
    assert_eq!(right.expect("it is there"), 2);
    let wrong = try_append(&*log, numbers("stream", Exactly(1), [])).await;
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
        let mut appending = log.append(numbers("stream", Any, [1, 2, 3]));
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

/// Whatever an append asks for, it is seen by who reads then, and by the next append.
pub async fn an_append_is_seen_whatever_it_is_to_survive(log: Box<dyn EventLog>) {
    use Durability::{Disk, Memory, Process};
    for (number, durability) in (1..).zip([Process, Disk, Memory, Process, Process, Disk]) {
        let append = numbers("stream", Exactly(number - 1), [number]).durably(durability);
        let appended = try_append(&*log, append).await;
        assert_eq!(appended.expect("it is appended"), number);
        let stored = read(&*log, "stream", 1, 10).await;
        assert_eq!(numbered(&stored), straight(1..=number));
    }
}
