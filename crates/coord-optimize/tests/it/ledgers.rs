//! The ledger of each operator, beside what the test has counted itself.

use std::pin::Pin;

use coord_bus::time;
use coord_optimize::{LedgerHandle, OptimizeExt, OverflowStrategy, Rate};
use proptest::prelude::*;
use tokio_stream::{Stream, StreamExt};

use crate::stage::{Mood, Timetable, cases, consume, gaps, moods, ms, run, timetable};

type Items = Pin<Box<dyn Stream<Item = Vec<usize>>>>;

/// Each operator, as a stream of the items that it gives out, and its ledger.
type Make = fn(Timetable) -> (Items, LedgerHandle);

macro_rules! operators {
    ($($name:literal: $make:expr => $show:expr;)*) => {
        const OPERATORS: &[(&str, Make)] = &[$(($name, |source| {
            let mut stream = ($make)(source);
            let ledger = stream.ledger_handle();
            (Box::pin(stream.map($show)), ledger)
        })),*];
    };
}

fn newest(held: &mut usize, item: usize) {
    *held = item;
}

operators! {
    "throttle": |s: Timetable| OptimizeExt::throttle(s, ms(7)) => |item| vec![item];
    "throttle, trailing": |s: Timetable| OptimizeExt::throttle(s, ms(7)).trailing() => |item| vec![item];
    "throttle, trailing only": |s: Timetable| OptimizeExt::throttle(s, ms(7)).trailing_only() => |item| vec![item];
    "debounce": |s: Timetable| s.debounce(ms(3)) => |item| vec![item];
    "debounce, leading": |s: Timetable| s.debounce(ms(3)).leading() => |item| vec![item];
    "debounce, longest wait": |s: Timetable| s.debounce(ms(3)).max_wait(ms(9)) => |item| vec![item];
    "audit": |s: Timetable| s.audit(ms(7)) => |item| vec![item];
    "sample": |s: Timetable| s.sample(ms(7)) => |item| vec![item];
    "batch": |s: Timetable| s.batch(4, ms(7)) => |items| items;
    "distinct": |s: Timetable| s.distinct_by(3, |item| item % 4) => |item| vec![item];
    "distinct within": |s: Timetable| s.distinct_within_by(ms(7), 3, |item| item % 4) => |item| vec![item];
    "until changed": |s: Timetable| s.distinct_until_changed_by(|item| item / 3) => |item| vec![item];
    "window, tumbling": |s: Timetable| s.window_time(ms(7), ms(7), 5) => |items| items;
    "window, count": |s: Timetable| s.window_count(4, 4) => |items| items;
    "conflate": |s: Timetable| s.conflate(|item| item, newest).every(ms(7)) => |item| vec![item];
    "coalesce": |s: Timetable| s.coalesce_by_key(|item| item % 5, newest).at_most(4).within(ms(7)) => |items| items;
    "priority": |s: Timetable| s.priority(4, |item| item % 3) => |item| vec![item];
    "expire": |s: Timetable| s.expire_after(ms(2), |item| ms(*item as u64 % 4)) => |item| vec![item];
    "rate limit": |s: Timetable| s.rate_limit(Rate::every(ms(3))).burst(2) => |item| vec![item];
    "rate limit, enforced": |s: Timetable| s.rate_limit(Rate::every(ms(3))).burst(2).enforce() => |item| vec![item];
    "overflow": |s: Timetable| s.on_overflow(3, OverflowStrategy::Backpressure) => |item| vec![item];
    "overflow, oldest": |s: Timetable| s.on_overflow(3, OverflowStrategy::DropOldest) => |item| vec![item];
    "overflow, newest": |s: Timetable| s.on_overflow(3, OverflowStrategy::DropNewest) => |item| vec![item];
    "overflow, buffer": |s: Timetable| s.on_overflow(3, OverflowStrategy::DropBuffer) => |item| vec![item];
    "overflow, latest": |s: Timetable| s.on_overflow(3, OverflowStrategy::Latest) => |item| vec![item];
    "overflow, fail": |s: Timetable| s.fail_on_overflow(3) => |item| item.into_iter().collect();
}

/// Operators that drop and merge nothing, however slow the consumer.
const LOSSLESS: [&str; 6] = [
    "batch",
    "window, tumbling",
    "window, count",
    "priority",
    "rate limit",
    "overflow",
];

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn what_came_out_is_what_the_ledger_says_and_nothing_came_twice(
        gaps in gaps(), moods in moods(),
    ) {
        for (name, make) in OPERATORS {
            let count = gaps.len() as u64;
            let (given, ledger) = run(async {
                let (mut items, ledger) = make(timetable(gaps.clone()));
                let given = consume(items.as_mut(), moods.clone()).await;
                (given, ledger.ledger())
            });
            let items: Vec<_> = given.into_iter().flat_map(|(_, items)| items).collect();
            prop_assert!(ledger.is_balanced(), "{}: {:?}", name, ledger);
            prop_assert_eq!(ledger.given_out, items.len() as u64, "{}", name);
            prop_assert_eq!(ledger.held, 0, "{}", name);
            if *name == "overflow, fail" {
                prop_assert!(ledger.received <= count);
            } else {
                prop_assert_eq!(ledger.received, count, "{}", name);
            }
            if LOSSLESS.contains(name) {
                prop_assert_eq!(items.len() as u64, count, "{}", name);
            }
            let mut sorted = items.clone();
            sorted.sort_unstable();
            if *name != "priority" && *name != "coalesce" {
                prop_assert_eq!(&sorted, &items, "{}: out of order", name);
            }
            sorted.dedup();
            prop_assert_eq!(sorted.len(), items.len(), "{}: something came twice", name);
        }
    }

    #[test]
    fn an_item_of_several_windows_is_given_out_once(
        gaps in gaps(), moods in moods(), by_time: bool, size in 1..9_usize, every in 1..5_usize,
    ) {
        let count = gaps.len();
        let (given, ledger) = run(async {
            let source = timetable(gaps);
            let (mut windows, ledger): (Items, _) = if by_time {
                let (span, every) = (ms(size as u64), ms(every as u64));
                let mut windows = source.window_time(span, every, 1000);
                let ledger = windows.ledger_handle();
                (Box::pin(windows), ledger)
            } else {
                let mut windows = source.window_count(size, every);
                let ledger = windows.ledger_handle();
                (Box::pin(windows), ledger)
            };
            let given = consume(windows.as_mut(), moods).await;
            (given, ledger.ledger())
        });
        let mut seen = vec![0; count];
        let items = given.iter().flat_map(|(_, items)| items);
        items.for_each(|item| seen[*item] += 1);
        let most = size.div_ceil(every.min(size));
        prop_assert!(seen.iter().all(|times| (1..=most).contains(times)), "{:?}", seen);
        prop_assert_eq!((ledger.received, ledger.given_out), (count as u64, count as u64));
        prop_assert_eq!((ledger.held, ledger.dropped.total(), ledger.merged), (0, 0, 0));
    }

    #[test]
    fn what_a_stream_held_as_it_was_dropped_was_discarded(
        gaps in gaps(), moods in prop::collection::vec((0..20_u64).prop_map(Mood::GivesUp), 0..8),
    ) {
        for (name, make) in OPERATORS {
            let (before, after, given) = run(async {
                let (mut items, ledger) = make(timetable(gaps.clone()));
                let mut given = 0;
                for mood in &moods {
                    let Mood::GivesUp(patience) = mood else { continue };
                    if let Ok(Some(items)) = time::timeout(ms(*patience), items.next()).await {
                        given += items.len() as u64;
                    }
                }
                let before = ledger.ledger();
                drop(items);
                (before, ledger.ledger(), given)
            });
            prop_assert!(before.is_balanced(), "{}: {:?}", name, before);
            prop_assert_eq!(before.given_out, given, "{}", name);
            prop_assert_eq!(before.dropped.discarded, 0, "{}", name);
            let mut expected = before;
            expected.dropped.discarded = std::mem::take(&mut expected.held);
            prop_assert_eq!(after, expected, "{}", name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_is_held_until_it_has_been_in_its_last_window() {
    let mut windows = tokio_stream::iter([1, 2, 3, 4]).window_count(3, 1);
    for (window, given_out, held) in [
        (vec![1, 2, 3], 1, 2),
        (vec![2, 3, 4], 2, 2),
        (vec![3, 4], 3, 1),
        (vec![4], 4, 0),
    ] {
        assert_eq!(windows.next().await, Some(window));
        let ledger = windows.ledger();
        assert_eq!((ledger.given_out, ledger.held), (given_out, held));
    }
    // At 1 and at 3 ms, and the end with one at 12: from 0 to 6, 2 to 8, and then 6, 8 and 10 on.
    let mut windows = std::pin::pin!(timetable(vec![1, 2, 9]).window_time(ms(6), ms(2), 1000));
    for (window, given_out, held) in [
        (vec![0, 1], 1, 1),
        (vec![1], 2, 0),
        (vec![2], 2, 1),
        (vec![2], 2, 1),
        (vec![2], 3, 0),
    ] {
        assert_eq!(windows.next().await, Some(window));
        let ledger = windows.ledger();
        assert_eq!((ledger.given_out, ledger.held), (given_out, held));
    }
    assert_eq!(windows.next().await, None);
}

#[tokio::test]
async fn a_buffer_of_the_latest_has_dropped_all_before_it() {
    let mut latest = tokio_stream::iter(1..=9).on_overflow(3, OverflowStrategy::Latest);
    assert_eq!(latest.next().await, Some(9));
    let ledger = latest.ledger();
    assert_eq!((ledger.received, ledger.given_out), (9, 1));
    assert_eq!((ledger.dropped.overflowed, ledger.held), (8, 0));
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_is_made_late_knows_what_was_before() {
    let mut items = tokio_stream::iter([1, 1, 2]).distinct_until_changed();
    items.next().await;
    items.next().await;
    let handle = items.ledger_handle();
    assert_eq!(handle.ledger(), items.ledger());
    assert_eq!(handle.ledger().dropped.repeated, 1);
    let same = items.ledger_handle();
    assert_eq!(items.next().await, None);
    assert_eq!(same.ledger().received, handle.ledger().received);
}
