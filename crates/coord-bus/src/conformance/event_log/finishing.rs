//! How a stream is finished, and then forgotten.

use super::super::in_time;
use super::{append, numbered, numbers, read, straight, streams, try_append};
use crate::ExpectedVersion::{Any, Empty, Exactly};
use crate::{EventLog, EventLogError, StreamQuery};

async fn close(log: &dyn EventLog, stream: &str, add: &[u64]) {
    let append = numbers(stream, Any, add.iter().copied()).closing();
    try_append(log, append).await.expect("it is appended");
}

async fn forget(log: &dyn EventLog, stream: &str) -> bool {
    let forgotten = in_time(log.forget(stream)).await;
    forgotten.expect("it is not open")
}

/// Closed by an append, it is read as before, and is not among the open ones, in either order.
pub async fn a_closed_stream_is_read_and_is_not_among_the_open_ones(log: Box<dyn EventLog>) {
    append(&*log, "goes-on", [1]).await;
    append(&*log, "ends", 1..=2).await;
    close(&*log, "ends", &[3]).await;
    close(&*log, "ends-at-once", &[1]).await;
    append(&*log, "another", [1]).await;
    assert_eq!(numbered(&read(&*log, "ends", 1, 10).await), straight(1..=3));
    let by_name = StreamQuery::by_name;
    let all = ["another", "ends", "ends-at-once", "goes-on"];
    assert_eq!(streams(&*log, by_name()).await, all);
    assert_eq!(
        streams(&*log, by_name().open()).await,
        ["another", "goes-on"]
    );
    let newest = StreamQuery::newest_first;
    let all = ["another", "ends-at-once", "ends", "goes-on"];
    assert_eq!(streams(&*log, newest()).await, all);
    assert_eq!(
        streams(&*log, newest().open()).await,
        ["another", "goes-on"]
    );
    let first = in_time(log.streams(&newest().open().limit(1))).await;
    let first = first.expect("they are listed").remove(0);
    let rest = newest().open().after(&first).limit(1);
    assert_eq!(streams(&*log, rest).await, ["goes-on"]);
    let listed = in_time(log.streams(&by_name()))
        .await
        .expect("they are listed");
    let closed: Vec<bool> = listed.iter().map(|stream| stream.is_closed).collect();
    assert_eq!(closed, [false, true, true, false]);
}

/// By an append that does not say that it closes; one without records says nothing.
pub async fn a_closed_stream_is_opened_again_by_an_append(log: Box<dyn EventLog>) {
    let open = || StreamQuery::by_name().open();
    append(&*log, "stream", [1]).await;
    for appends_nothing in [
        numbers("stream", Any, []),
        numbers("stream", Any, []).closing(),
    ] {
        try_append(&*log, appends_nothing)
            .await
            .expect("it compares");
        assert_eq!(streams(&*log, open()).await, ["stream"]);
    }
    close(&*log, "stream", &[2]).await;
    append(&*log, "stream", []).await;
    let refused = try_append(&*log, numbers("stream", Exactly(1), [3])).await;
    assert!(matches!(
        refused,
        Err(EventLogError::WrongVersion { actual: 2, .. })
    ));
    assert_eq!(streams(&*log, open()).await, [""; 0]);
    assert_eq!(append(&*log, "stream", [3]).await, 3);
    assert_eq!(streams(&*log, open()).await, ["stream"]);
    close(&*log, "stream", &[4]).await;
    assert_eq!(streams(&*log, open()).await, [""; 0]);
    assert_eq!(
        numbered(&read(&*log, "stream", 1, 10).await),
        straight(1..=4)
    );
}

/// Its records are gone, its name is free, and its neighbours are as they were.
pub async fn a_forgotten_stream_has_not_begun(log: Box<dyn EventLog>) {
    append(&*log, "before", 1..=3).await;
    append(&*log, "stream", 1..=4).await;
    close(&*log, "stream", &[5]).await;
    close(&*log, "stream-2", &[1]).await;
    assert!(forget(&*log, "stream").await);
    assert!(!forget(&*log, "stream").await);
    assert!(!forget(&*log, "absent").await);
    assert_eq!(read(&*log, "stream", 1, 10).await, []);
    assert_eq!(
        streams(&*log, StreamQuery::by_name()).await,
        ["before", "stream-2"]
    );
    assert_eq!(
        numbered(&read(&*log, "before", 1, 10).await),
        straight(1..=3)
    );

    let begun = try_append(&*log, numbers("stream", Empty, [1, 2])).await;
    assert_eq!(begun.expect("the name is free"), 2);
    assert_eq!(
        numbered(&read(&*log, "stream", 1, 10).await),
        straight(1..=2)
    );
    let newest = StreamQuery::newest_first().limit(1);
    assert_eq!(streams(&*log, newest).await, ["stream"]);
}

/// Nothing that goes on is lost by it.
pub async fn an_open_stream_is_not_forgotten(log: Box<dyn EventLog>) {
    append(&*log, "stream", [1]).await;
    let refused = in_time(log.forget("stream")).await;
    assert!(matches!(refused, Err(EventLogError::StillOpen { stream }) if stream == "stream"));
    close(&*log, "stream", &[2]).await;
    append(&*log, "stream", [3]).await;
    assert!(in_time(log.forget("stream")).await.is_err());
    assert_eq!(
        numbered(&read(&*log, "stream", 1, 10).await),
        straight(1..=3)
    );
}

/// What needs it is closed first, or is not there; what is said of it later changes nothing.
pub async fn a_stream_that_an_open_one_needs_is_not_forgotten(log: Box<dyn EventLog>) {
    let part = |stream, by: &str| numbers(stream, Any, [1]).needed_by(by).closing();
    append(&*log, "whole", [1]).await;
    for (stream, by) in [("part", "whole"), ("stray", "absent"), ("part-2", "part")] {
        let begun = try_append(&*log, part(stream, by)).await;
        begun.expect("it is appended");
    }
    for _ in 0..2 {
        let refused = in_time(log.forget("part")).await;
        assert!(
            matches!(&refused, Err(EventLogError::StillNeeded { stream, by })
                if stream == "part" && by == "whole"),
            "{refused:?}"
        );
        // It goes on, and ends again.
        try_append(&*log, part("part", "absent"))
            .await
            .expect("it is appended");
    }
    assert_eq!(read(&*log, "part", 1, 10).await.len(), 3);
    // What needs these is closed, or not there.
    assert!(forget(&*log, "part-2").await);
    assert!(forget(&*log, "stray").await);
    close(&*log, "whole", &[2]).await;
    assert!(forget(&*log, "part").await);

    let invalid = in_time(log.append(part("part", "no name"))).await;
    assert!(
        matches!(&invalid, Err(EventLogError::InvalidStreamName { name, .. }) if name == "no name"),
        "{invalid:?}"
    );
    assert_eq!(streams(&*log, StreamQuery::by_name()).await, ["whole"]);
}

/// What was there is gone as the other begins, or stays as it is.
pub async fn a_stream_that_begins_replaces_a_closed_one_and_no_open_one(log: Box<dyn EventLog>) {
    let replacing = |stream, expected| numbers(stream, expected, [7, 8]).replacing();
    append(&*log, "whole", [1]).await;
    append(&*log, "stream", 1..=3).await;
    let refused = try_append(&*log, replacing("stream", Empty)).await;
    assert!(matches!(
        refused,
        Err(EventLogError::WrongVersion { actual: 3, .. })
    ));
    close(&*log, "stream", &[4]).await;
    // What was expected is what there is without it; and without records nothing begins.
    assert!(
        try_append(&*log, replacing("stream", Exactly(4)))
            .await
            .is_err()
    );
    let compared = try_append(&*log, numbers("stream", Exactly(4), []).replacing()).await;
    assert_eq!(compared.expect("it is there"), 4);
    for expected in [Empty, Any] {
        let begun = try_append(&*log, replacing("stream", expected)).await;
        assert_eq!(begun.expect("the closed one is replaced"), 2);
        let found = numbered(&read(&*log, "stream", 1, 10).await);
        assert_eq!(found, [(1, "7".to_owned()), (2, "8".to_owned())]);
        close(&*log, "stream", &[9]).await;
    }
    let newest = StreamQuery::newest_first().limit(1);
    assert_eq!(streams(&*log, newest).await, ["stream"]);

    let part = numbers("part", Any, [1]).needed_by("whole").closing();
    try_append(&*log, part).await.expect("it is appended");
    let refused = try_append(&*log, replacing("part", Empty)).await;
    assert!(matches!(refused, Err(EventLogError::StillNeeded { by, .. }) if by == "whole"));
    assert_eq!(read(&*log, "part", 1, 10).await.len(), 1);
    close(&*log, "whole", &[2]).await;
    let begun = try_append(&*log, replacing("part", Empty)).await;
    assert_eq!(begun.expect("nobody needs it"), 2);
}

/// It is another one, of the same name.
pub async fn what_a_stream_that_was_replaced_needed_its_successor_does_not(log: Box<dyn EventLog>) {
    append(&*log, "whole", [1]).await;
    let part = |stream| numbers(stream, Any, [1]).needed_by("whole").closing();
    try_append(&*log, part("old"))
        .await
        .expect("it is appended");
    close(&*log, "whole", &[2]).await;
    let anew = numbers("whole", Empty, [1]).replacing();
    try_append(&*log, anew).await.expect("it is replaced");
    try_append(&*log, part("new"))
        .await
        .expect("it is appended");
    assert!(in_time(log.forget("new")).await.is_err());
    assert!(forget(&*log, "old").await);
}
