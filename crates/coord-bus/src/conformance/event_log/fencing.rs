//! Who may append, by the tokens of leases.

use super::{numbered, numbers, read, straight, streams, try_append};
use crate::ExpectedVersion::{Any, Exactly};
use crate::{AppendTo, EventLog, EventLogError, Grant, StreamQuery};

fn grant(name: &str, token: u64) -> Grant {
    Grant {
        name: name.to_owned(),
        holder: format!("holder of {token}"),
        token,
    }
}

/// Refused, with both tokens.
async fn assert_fenced(log: &dyn EventLog, append: AppendTo, newest: u64) {
    let grant = append.fence.clone().expect("it is fenced");
    let to = append.stream.clone();
    let refused = try_append(log, append).await;
    let Err(EventLogError::Fenced {
        stream,
        lease,
        source,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((stream, lease), (to, grant.name));
    assert_eq!((source.token, source.newest), (grant.token, newest));
}

/// To whatever stream, with or without records; and then nothing has changed.
pub async fn an_append_fenced_by_an_older_grant_is_refused(log: Box<dyn EventLog>) {
    let (older, newer) = (grant("lease", 1_000), grant("lease", 1_007));
    let append = |stream, number| numbers(stream, Any, [number]);
    let appended = try_append(&*log, append("stream", 1).fenced_by(&older)).await;
    assert_eq!(appended.expect("it is the first"), 1);
    for version in 2..=3 {
        let appended = try_append(&*log, append("stream", version).fenced_by(&newer)).await;
        assert_eq!(appended.expect("it is the newest"), version);
    }
    for refused in [
        append("stream", 9),
        append("another", 9),
        numbers("stream", Exactly(3), [9]).closing(),
        // The token says more than the version: who is fenced has nothing to decide anew.
        numbers("stream", Exactly(1), [9]),
        numbers("stream", Any, []),
    ] {
        assert_fenced(&*log, refused.fenced_by(&older), 1_007).await;
    }
    assert_eq!(
        numbered(&read(&*log, "stream", 1, 10).await),
        straight(1..=3)
    );
    assert_eq!(
        streams(&*log, StreamQuery::by_name().open()).await,
        ["stream"]
    );
}

/// Tokens of different leases say nothing about each other, and who shows none is not asked.
pub async fn fences_do_not_know_each_other(log: Box<dyn EventLog>) {
    let shown = [
        Some(grant("one", 1_009)),
        Some(grant("two", 1_000)),
        None,
        Some(grant("one", 1_009)),
        Some(grant("two", 1_001)),
    ];
    for (version, grant) in (1..).zip(shown) {
        let mut append = numbers("stream", Any, [version]);
        append.fence = grant;
        let appended = try_append(&*log, append).await;
        assert_eq!(appended.expect("it is admitted"), version);
    }
    let older = numbers("stream", Any, [9]).fenced_by(&grant("two", 1_000));
    assert_fenced(&*log, older, 1_001).await;
}

/// What is not appended admits nobody.
pub async fn an_append_that_changes_nothing_leaves_the_fence_as_it_was(log: Box<dyn EventLog>) {
    let (older, newer) = (grant("lease", 1_000), grant("lease", 1_007));
    let appended = try_append(&*log, numbers("stream", Any, [1]).fenced_by(&older)).await;
    assert_eq!(appended.expect("it is the first"), 1);
    let wrong = try_append(&*log, numbers("stream", Exactly(9), [9]).fenced_by(&newer)).await;
    assert!(matches!(wrong, Err(EventLogError::WrongVersion { .. })));
    let compared = try_append(&*log, numbers("stream", Any, []).fenced_by(&newer)).await;
    assert_eq!(compared.expect("it compares"), 1);
    let appended = try_append(&*log, numbers("stream", Any, [2]).fenced_by(&older)).await;
    assert_eq!(appended.expect("nobody else has appended"), 2);
}
