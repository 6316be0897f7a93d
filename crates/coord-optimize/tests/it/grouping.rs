//! Streams by key: what is in which, when they end, and how many there are.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use coord_bus::TaskScope;
use coord_bus::time::{self, Instant};
use coord_optimize::OptimizeExt;
use proptest::prelude::*;
use tokio_stream::{Stream, StreamExt, empty, iter, pending};

use crate::flat::flat;
use crate::marble::{Source, check};
use crate::stage::{cases, gaps, ms, run, timetable};

async fn all<S: Stream>(stream: S) -> Vec<S::Item> {
    stream.collect().await
}

#[tokio::test]
async fn each_key_has_its_items_in_their_order() {
    let mut groups = iter(0..9).group_by(|item| item % 3);
    let zero = groups.next().await.unwrap();
    let one = groups.next().await.unwrap();
    let two = groups.next().await.unwrap();
    assert!(groups.next().await.is_none());
    assert_eq!([*zero.key(), *one.key(), *two.key()], [0, 1, 2]);
    assert_eq!(all(two).await, [2, 5, 8]);
    assert_eq!(all(zero).await, [0, 3, 6]);
    assert_eq!(all(one).await, [1, 4, 7]);
    assert_eq!(groups.ledger().given_out, 9);
}

#[tokio::test]
async fn a_source_without_items_has_no_groups() {
    let mut groups = empty::<u8>().group_by(|item| *item);
    assert!(groups.next().await.is_none());
    assert!(groups.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_idle_ends_and_the_next_item_begins_another() {
    // At 0, 2, 12 and 13 ms.
    let mut groups = timetable(vec![0, 2, 10, 1]).group_by(|_| ()).idle(ms(5));
    let begin = Instant::now();
    let first = groups.next().await.unwrap();
    assert_eq!(all(first).await, [0, 1]);
    assert_eq!(begin.elapsed(), ms(7));
    let second = groups.next().await.unwrap();
    assert_eq!(begin.elapsed(), ms(12));
    assert_eq!(all(second).await, [2, 3]);
    // The source has ended, which is sooner.
    assert_eq!(begin.elapsed(), ms(13));
}

#[tokio::test]
async fn where_there_are_too_many_the_one_that_was_idle_longest_ends() {
    let mut groups = iter(["a", "b", "a", "c", "b"])
        .group_by(|item| *item)
        .at_most(2);
    let first = groups.next().await.unwrap();
    let second = groups.next().await.unwrap();
    let third = groups.next().await.unwrap();
    // `b` went for `c`, and then `a` for the second `b`: what they held still comes.
    let fourth = groups.next().await.unwrap();
    assert_eq!(all(second).await, ["b"]);
    assert_eq!(all(first).await, ["a", "a"]);
    assert_eq!(all(third).await, ["c"]);
    assert_eq!((*fourth.key(), all(fourth).await), ("b", vec!["b"]));
    assert!(groups.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_full_holds_up_the_others_until_it_is_read() {
    let items = ["a1", "a2", "b1", "a3", "b2"];
    let mut groups = iter(items)
        .group_by(|item| item.as_bytes()[0])
        .group_size(2);
    let mut a = groups.next().await.unwrap();
    let mut b = groups.next().await.unwrap();
    assert_eq!(b.next().await, Some("b1"));
    // `a3` is stuck.
    assert!(time::timeout(ms(100), b.next()).await.is_err());
    assert_eq!(groups.ledger().held, 3);
    let scope = TaskScope::new("reader");
    let (sender, receiver) = tokio::sync::oneshot::channel();
    scope.spawn("b", async move {
        let _ = sender.send(b.next().await);
    });
    tokio::task::yield_now().await;
    assert_eq!(a.next().await, Some("a1"));
    assert_eq!(receiver.await.unwrap(), Some("b2"));
    assert_eq!(all(a).await, ["a2", "a3"]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_for_a_group_that_was_dropped_is_dropped() {
    let mut groups = iter(["a", "b", "a", "b"]).group_by(|item| *item);
    drop(groups.next().await);
    let b = groups.next().await.unwrap();
    assert_eq!(all(b).await, ["b", "b"]);
    assert!(groups.next().await.is_none());
    let ledger = groups.ledger();
    assert_eq!((ledger.given_out, ledger.dropped.unread), (2, 2));
}

#[tokio::test]
async fn groups_outlive_the_stream_that_gave_them_out() {
    let mut groups = iter(["a", "b", "a", "c"]).group_by(|item| *item);
    let ledger = groups.ledger_handle();
    let a = groups.next().await.unwrap();
    drop(groups);
    assert_eq!(all(a).await, ["a", "a"]);
    // Nobody could have read the others.
    assert_eq!(ledger.ledger().dropped.unread, 2);
}

#[tokio::test(start_paused = true)]
async fn who_drives_may_go_and_the_others_still_get_their_items() {
    // One at once, and the next a long time later.
    let mut groups = timetable(vec![0, 0, 100]).group_by(|item| *item % 2);
    let even = groups.next().await.unwrap();
    let mut odd = groups.next().await.unwrap();
    odd.next().await.unwrap();
    let scope = TaskScope::new("reader");
    let (sender, receiver) = tokio::sync::oneshot::channel();
    scope.spawn("even", async move {
        let _ = sender.send(all(even).await);
    });
    tokio::task::yield_now().await;
    // The last to poll the source gives up, and never comes back.
    assert!(time::timeout(ms(1), odd.next()).await.is_err());
    assert_eq!(receiver.await.unwrap(), [0, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_group_ends_though_the_source_is_silent() {
    let source = iter([1]).chain(pending());
    let mut groups = source.group_by(|item| *item).idle(ms(5));
    let group = groups.next().await.unwrap();
    let begin = Instant::now();
    assert_eq!(all(group).await, [1]);
    assert_eq!(begin.elapsed(), ms(5));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_idle_while_nobody_polled_gets_nothing_more() {
    let mut groups = timetable(vec![0, 20]).group_by(|_| ()).idle(ms(5));
    let mut first = groups.next().await.unwrap();
    assert_eq!(first.next().await, Some(0));
    time::sleep(ms(30)).await;
    let second = groups.next().await.unwrap();
    assert_eq!(all(second).await, [1]);
    assert_eq!(first.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_an_item_waits_for_is_not_idle() {
    let source = iter(["a1", "a2"]).chain(pending());
    let groups = source.group_by(|item| item.as_bytes()[0]);
    let mut groups = groups.group_size(1).idle(ms(5));
    let mut a = groups.next().await.unwrap();
    assert!(time::timeout(ms(20), groups.next()).await.is_err());
    assert_eq!(a.next().await, Some("a1"));
    assert_eq!(a.next().await, Some("a2"));
    let begin = Instant::now();
    assert_eq!(a.next().await, None);
    assert_eq!(begin.elapsed(), ms(5));
}

/// An item with the number of its group, `[1a]`, or the end of that, `[1.]`.
fn numbered((group, item): (usize, Option<char>)) -> String {
    format!("[{group}{}]", item.unwrap_or('.'))
}

#[test]
fn groups_as_marbles() {
    let by_case = |s: Source| flat(s.group_by(char::is_ascii_uppercase));
    check("|", by_case, numbered, "|");
    check("---|", by_case, numbered, "---|");
    check("a-|", by_case, numbered, "[1a]-([1.]|)");
    check(
        "a-B-b-(cD)|",
        by_case,
        numbered,
        "[1a]-[2B]-[1b]-([1c][2D])([1.][2.]|)",
    );
    let two = |s: Source| flat(s.group_by(char::to_ascii_lowercase).at_most(2));
    check(
        "abc-a|",
        two,
        numbered,
        "[1a][2b]([1.][3c])-([2.][4a])([3.][4.]|)",
    );
}

#[test]
fn what_comes_in_the_moment_in_which_a_group_would_end_is_of_that_group() {
    let idle = |s: Source| flat(s.group_by(|_| ()).idle(ms(3)));
    check("a--b-----|", idle, numbered, "[1a]--[1b]--[1.]--|");
    check("a---b|", idle, numbered, "[1a]--[1.][2b]([2.]|)");
    check(
        "a--(bc)---d|",
        idle,
        numbered,
        "[1a]--([1b][1c])--[1.][2d]([2.]|)",
    );
    // One that ends then keeps no other from its item.
    let by_case = |s: Source| flat(s.group_by(char::is_ascii_uppercase).idle(ms(3)));
    check("aB-b--|", by_case, numbered, "[1a][2B]-[1b][2.]-([1.]|)");
}

/// The next item, by a wait that is given up each time its patience is at its end, and begun anew.
async fn patiently<S: Stream + Unpin>(stream: &mut S, patience: Duration) -> Option<S::Item> {
    loop {
        if let Ok(next) = time::timeout(patience, stream.next()).await {
            return next;
        }
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn every_item_is_in_a_group_of_its_key(
        gaps in gaps(), keys in 1..6_usize, at_most in 1..4_usize, size in 1..4_usize, idle in 1..30_u64,
        impatient: bool,
    ) {
        let count = gaps.len();
        let (read, ledger) = run(async {
            let source = timetable(gaps);
            let groups = source.group_by(move |item| item % keys);
            let mut groups = groups.at_most(at_most).group_size(size).idle(ms(idle));
            let ledger = groups.ledger_handle();
            let patience = if impatient { ms(1) } else { Duration::MAX };
            let scope = TaskScope::new("readers");
            let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
            while let Some(group) = patiently(&mut groups, patience).await {
                let sender = sender.clone();
                scope.spawn("reader", async move {
                    let key = *group.key();
                    let mut group = pin!(group);
                    while let Some(item) = patiently(&mut group, patience).await {
                        let _ = sender.send((key, item));
                    }
                });
            }
            drop(sender);
            let mut read = BTreeMap::<usize, Vec<usize>>::new();
            while let Some((key, item)) = receiver.recv().await {
                read.entry(key).or_default().push(item);
            }
            (read, ledger.ledger())
        });
        for (key, items) in &read {
            let expected: Vec<_> = (0..count).filter(|item| item % keys == *key).collect();
            let mut sorted = items.clone();
            sorted.sort_unstable();
            prop_assert_eq!(&sorted, &expected);
        }
        prop_assert_eq!(read.values().map(Vec::len).sum::<usize>(), count);
        prop_assert!(ledger.is_balanced());
        prop_assert_eq!((ledger.given_out, ledger.held), (count as u64, 0));
    }
}
