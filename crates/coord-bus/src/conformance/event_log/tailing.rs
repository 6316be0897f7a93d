//! How a tail follows its stream, and how it ends.

use std::task::{Context, Waker};

use super::super::in_time;
use super::{append, numbered, read, straight, streams};
use crate::{EventLog, StoredRecord, StreamQuery, Tail};

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
        streams(&*log, StreamQuery::by_name()).await,
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
