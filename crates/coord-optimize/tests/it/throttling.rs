//! Throttled streams: one item a period, and with `trailing` always the last.

use std::pin::pin;

use coord_bus::time::Instant;
use coord_optimize::OptimizeExt;
use proptest::prelude::*;
use tokio_stream::{StreamExt, iter};

use crate::stage::{consume, gaps, least_distance, moods, ms, run, timetable};

proptest! {
    #[test]
    fn what_does_not_come_out_is_counted_and_no_two_come_within_a_period(
        gaps in gaps(), moods in moods(), period in 1..50_u64, trailing: bool,
    ) {
        let count = gaps.len();
        let (items, dropped) = run(async {
            let throttle = OptimizeExt::throttle(timetable(gaps), ms(period));
            let throttle = if trailing { throttle.trailing() } else { throttle };
            let mut throttle = pin!(throttle);
            let items = consume(throttle.as_mut(), moods).await;
            (items, throttle.ledger().dropped.superseded)
        });
        prop_assert_eq!(items.len() as u64 + dropped, count as u64);
        prop_assert_eq!(items[0].1, 0);
        prop_assert!(items.windows(2).all(|pair| pair[0].1 < pair[1].1));
        if let Some(distance) = least_distance(&items) {
            prop_assert!(distance >= ms(period));
        }
        if trailing {
            prop_assert_eq!(items.last().map(|item| item.1), Some(count - 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_of_each_period_comes_at_once() {
    let start = Instant::now();
    let mut items = pin!(OptimizeExt::throttle(
        timetable(vec![0, 10, 10, 90, 5]),
        ms(100)
    ));
    assert_eq!(items.next().await, Some(0));
    assert_eq!(start.elapsed(), ms(0));
    assert_eq!(items.next().await, Some(3));
    assert_eq!(start.elapsed(), ms(110));
    assert_eq!(items.next().await, None);
    assert_eq!(start.elapsed(), ms(115));
    assert_eq!(items.ledger().dropped.superseded, 3);
}

#[tokio::test(start_paused = true)]
async fn a_trailing_item_begins_a_new_period() {
    let start = Instant::now();
    // 0 at 0 ms, 1 at 10, 2 at 20, 3 at 130.
    let mut items =
        pin!(OptimizeExt::throttle(timetable(vec![0, 10, 10, 110]), ms(100)).trailing());
    assert_eq!(items.next().await, Some(0));
    assert_eq!(items.next().await, Some(2));
    assert_eq!(start.elapsed(), ms(100));
    assert_eq!(items.next().await, Some(3));
    assert_eq!(start.elapsed(), ms(200));
    assert_eq!(items.next().await, None);
    assert_eq!(start.elapsed(), ms(200));
    assert_eq!(items.ledger().dropped.superseded, 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_item_comes_at_the_end_of_its_period_also_when_the_source_has_ended() {
    let start = Instant::now();
    let mut items = OptimizeExt::throttle(iter([1, 2, 3]), ms(100)).trailing();
    assert_eq!(items.next().await, Some(1));
    assert_eq!(items.next().await, Some(3));
    assert_eq!(start.elapsed(), ms(100));
    assert_eq!(items.next().await, None);
    assert_eq!(items.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn without_trailing_the_end_of_the_source_is_the_end_at_once() {
    let start = Instant::now();
    let mut items = OptimizeExt::throttle(iter([1, 2, 3]), ms(100));
    assert_eq!(items.next().await, Some(1));
    assert_eq!(items.next().await, None);
    assert_eq!(
        (start.elapsed(), items.ledger().dropped.superseded),
        (ms(0), 2)
    );
}
