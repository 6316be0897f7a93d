//! A source that always has more starves nobody.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use coord_bus::time::Instant;
use coord_optimize::OptimizeExt;
use tokio::task::{LocalSet, yield_now};
use tokio_stream::{Stream, StreamExt};

use crate::stage::ms;

/// The most items that one poll may take, as the documentation says.
const TAKEN_AT_ONCE_MAX: u64 = 128;

/// Always has one more item, for whoever asks, and counts them.
struct Endless(Rc<Cell<u64>>);

impl Stream for Endless {
    type Item = u64;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u64>> {
        self.0.set(self.0.get() + 1);
        Poll::Ready(Some(self.0.get()))
    }
}

fn endless() -> (Endless, Rc<Cell<u64>>) {
    let taken = Rc::new(Cell::new(0));
    (Endless(Rc::clone(&taken)), taken)
}

/// How many items are taken by one poll that finds no end.
async fn taken_by_one_poll<S: Stream + Unpin>(mut stream: S, taken: &Cell<u64>) -> u64 {
    let before = taken.get();
    poll_fn(|cx| {
        let _ = Pin::new(&mut stream).poll_next(cx);
        Poll::Ready(())
    })
    .await;
    taken.get() - before
}

#[tokio::test(start_paused = true)]
async fn one_poll_takes_only_so_many_items() {
    let (items, taken) = endless();
    let batches = items.batch(usize::MAX, ms(1000));
    assert_eq!(taken_by_one_poll(batches, &taken).await, TAKEN_AT_ONCE_MAX);

    let (items, taken) = endless();
    let mut throttled = OptimizeExt::throttle(items, ms(1000));
    throttled.next().await;
    assert_eq!(
        taken_by_one_poll(throttled, &taken).await,
        TAKEN_AT_ONCE_MAX
    );

    let (items, taken) = endless();
    let states = items.conflate(|item| item, |sum, item| *sum += item);
    assert_eq!(taken_by_one_poll(states, &taken).await, TAKEN_AT_ONCE_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_takes_several_polls_waits_for_nobody() {
    let start = Instant::now();
    let mut batches = endless().0.batch(1000, ms(60_000));
    let batch = batches.next().await.unwrap();
    assert_eq!((batch.len(), start.elapsed()), (1000, ms(0)));
}

#[tokio::test(start_paused = true)]
async fn an_unpaced_conflation_of_a_source_without_end_gives_states() {
    let (items, _) = endless();
    let mut states = items.conflate(|item| vec![item], Vec::push);
    let first = states.next().await.unwrap();
    let second = states.next().await.unwrap();
    assert_eq!((first[0], first.len() as u64), (1, TAKEN_AT_ONCE_MAX));
    assert_eq!(second[0], TAKEN_AT_ONCE_MAX + 1);
}

/// Runs a consumer that would go on for ever beside this task, which ends by itself.
async fn beside(consumer: impl Future<Output = ()> + 'static) {
    let set = LocalSet::new();
    set.spawn_local(consumer);
    set.run_until(yield_now()).await;
}

#[tokio::test(start_paused = true)]
async fn a_consumer_of_a_source_without_end_lets_its_neighbours_run() {
    // Had it never yielded, the neighbour would have had to wait for all of them.
    const ENOUGH: u64 = 100_000_000;
    let (items, taken) = endless();
    let enough = items.take_while(|item| *item < ENOUGH);
    beside(async move {
        let mut states = enough.conflate(|item| item, |sum, item| *sum += item);
        while states.next().await.is_some() {}
    })
    .await;
    assert!((1..ENOUGH).contains(&taken.get()), "{}", taken.get());

    let (items, taken) = endless();
    let enough = items.take_while(|item| *item < ENOUGH);
    beside(async move {
        let mut batches = enough.batch(2, ms(1000));
        while batches.next().await.is_some() {}
    })
    .await;
    assert!((1..ENOUGH).contains(&taken.get()), "{}", taken.get());
}
