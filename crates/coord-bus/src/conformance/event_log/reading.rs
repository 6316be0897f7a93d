//! What a read finds, and under which names.

use super::super::in_time;
use super::{append, numbered, numbers, read, straight, streams, try_append};
use crate::ExpectedVersion::{Any, Exactly};
use crate::{
    EventLog, EventLogError, MAX_STREAM_NAME_LENGTH, StreamInfo, StreamOrder, StreamQuery,
};

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
    let all = StreamQuery::by_name;
    assert_eq!(streams(&*log, all()).await, [""; 0]);
    let sorted = [
        "B", "a", "a-b", "a.b", "aa", "b", "run-1", "run-10", "run-2",
    ];
    for name in [
        "run-2", "b", "aa", "a.b", "B", "run-10", "a", "run-1", "a-b",
    ] {
        append(&*log, name, [1, 2]).await;
    }
    assert_eq!(streams(&*log, all()).await, sorted);
    assert_eq!(streams(&*log, all().limit(0)).await, [""; 0]);
    assert_eq!(paged(&*log, all()).await, sorted);
    // The name to go on from need not be there.
    let mut query = all().limit(2);
    query.order = StreamOrder::Name {
        after: Some("az".to_owned()),
    };
    assert_eq!(streams(&*log, query).await, ["b", "run-1"]);
}

/// By when they began, whatever has been appended to them since.
pub async fn streams_are_listed_in_pages_the_newest_first(log: Box<dyn EventLog>) {
    let newest = StreamQuery::newest_first;
    assert_eq!(streams(&*log, newest()).await, [""; 0]);
    let begun = ["run-2", "b", "aa", "run-10", "a"];
    for name in begun {
        append(&*log, name, [1]).await;
    }
    append(&*log, "run-2", [2]).await;
    let newest_first = ["a", "run-10", "aa", "b", "run-2"];
    assert_eq!(streams(&*log, newest()).await, newest_first);
    assert_eq!(streams(&*log, newest().limit(0)).await, [""; 0]);
    assert_eq!(paged(&*log, newest()).await, newest_first);
    append(&*log, "later", [1]).await;
    assert_eq!(streams(&*log, newest().limit(2)).await, ["later", "a"]);
}

/// All that a query gives, in pages of two.
async fn paged(log: &dyn EventLog, query: StreamQuery) -> Vec<String> {
    let mut query = query.limit(2);
    let mut names = Vec::new();
    loop {
        let page = in_time(log.streams(&query)).await;
        let page = page.expect("they are listed");
        let Some(last) = page.last() else {
            return names;
        };
        query = query.after(last);
        names.extend(page.into_iter().map(|stream| stream.name));
    }
}

/// Its version and its time are those of its last record; numbers rise as streams begin; who needs it is
/// said as it began.
pub async fn a_stream_is_listed_as_it_is(log: Box<dyn EventLog>) {
    append(&*log, "one", 1..=2).await;
    let needed = numbers("two", Any, [1]).needed_by("one");
    try_append(&*log, needed).await.expect("it is appended");
    append(&*log, "one", [3]).await;
    let listed = in_time(log.streams(&StreamQuery::by_name())).await;
    let listed = listed.expect("they are listed");
    assert!(listed[0].number < listed[1].number);
    for (info, name, version, needed_by) in [
        (&listed[0], "one", 3, None),
        (&listed[1], "two", 1, Some("one".to_owned())),
    ] {
        let last = read(&*log, name, version, 1).await;
        let there = StreamInfo {
            name: name.to_owned(),
            number: info.number,
            version,
            at: last[0].at,
            is_closed: false,
            needed_by,
        };
        assert_eq!(*info, there);
    }
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
            try_append(&*log, numbers(bad, Any, [1])).await.err(),
            try_append(&*log, numbers(bad, Exactly(9), [])).await.err(),
            in_time(log.forget(bad)).await.err(),
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
    assert_eq!(streams(&*log, StreamQuery::by_name()).await.len(), 4);
}
