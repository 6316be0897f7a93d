//! What a read finds, and under which names.

use super::super::in_time;
use super::{append, numbered, read, records, straight, streams};
use crate::ExpectedVersion::{Any, Exactly};
use crate::{EventLog, EventLogError, MAX_STREAM_NAME_LENGTH};

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
    for _ in 0..sorted.len() {
        paged.extend(streams(&*log, paged.last().map(String::as_str), 2).await);
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
