//! Batches: everything, in order, in time.

use std::pin::pin;

use coord_bus::time::Instant;
use coord_optimize::OptimizeExt;
use proptest::prelude::*;
use tokio_stream::{Stream, StreamExt, iter, pending};

use crate::stage::{consume, gaps, moods, ms, run, timetable};

proptest! {
    #[test]
    fn nothing_is_lost_or_reordered_whatever_the_timing(
        gaps in gaps(), moods in moods(), size in 1..8_usize, within in 1..50_u64,
    ) {
        let count = gaps.len();
        let batches = run(async {
            let stream = pin!(timetable(gaps).batch(size, ms(within)));
            consume(stream, moods).await
        });
        let (mut items, mut last) = (Vec::new(), 0);
        for (_, batch) in batches {
            prop_assert!((1..=size).contains(&batch.len()));
            last = batch.len();
            items.extend(batch);
        }
        prop_assert!(last > 0);
        prop_assert_eq!(items, (0..count).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_comes_at_once() {
    let start = Instant::now();
    let mut batches = pin!(timetable(vec![0, 5, 5, 5]).batch(3, ms(1000)));
    assert_eq!(batches.next().await, Some(vec![0, 1, 2]));
    assert_eq!(start.elapsed(), ms(10));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_does_not_fill_up_comes_in_time_after_its_first_item() {
    let start = Instant::now();
    let mut batches = pin!(timetable(vec![30, 15, 15, 200, 1]).batch(100, ms(20)));
    assert_eq!(batches.next().await, Some(vec![0, 1]));
    assert_eq!(start.elapsed(), ms(50));
    // The second begins when its first item comes, not when the first was over.
    assert_eq!(batches.next().await, Some(vec![2]));
    assert_eq!(start.elapsed(), ms(80));
    assert_eq!(batches.next().await, Some(vec![3, 4]));
    assert_eq!(batches.next().await, None);
    assert_eq!(start.elapsed(), ms(261));
}

#[tokio::test(start_paused = true)]
async fn what_is_held_comes_at_once_when_the_source_ends() {
    let start = Instant::now();
    let mut batches = iter([1, 2]).batch(3, ms(1000));
    assert_eq!(batches.next().await, Some(vec![1, 2]));
    assert_eq!(start.elapsed(), ms(0));
    assert_eq!(batches.next().await, None);
    assert_eq!(batches.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn an_idle_source_gives_no_batch() {
    let mut batches = pending::<u8>().batch(3, ms(1));
    let waited = coord_bus::time::timeout(ms(10_000), batches.next()).await;
    assert!(waited.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_longest_time_is_as_good_as_never() {
    let mut batches = iter([1, 2]).batch(2, std::time::Duration::MAX);
    assert_eq!(batches.next().await, Some(vec![1, 2]));
}

#[tokio::test(start_paused = true)]
async fn the_number_of_batches_is_within_its_hint() {
    let mut batches = iter(0..5).batch(2, ms(1));
    assert_eq!(batches.size_hint(), (3, Some(5)));
    batches.next().await;
    assert_eq!(batches.size_hint(), (2, Some(3)));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_always_something_is_in_time_too() {
    let (sender, source) = tokio::sync::mpsc::channel(1_000_000);
    for item in 0..1_000_000 {
        sender.try_send(item).unwrap();
    }
    drop(sender);
    let first = tokio::spawn(async move {
        let source = tokio_stream::wrappers::ReceiverStream::new(source);
        let mut batches = pin!(source.batch(usize::MAX, ms(50)));
        batches.next().await.unwrap().len()
    });
    // Time does not go on by itself while somebody is busy.
    for _ in 0..10 {
        tokio::time::advance(ms(10)).await;
    }
    assert!(first.await.unwrap() < 1_000_000);
}
