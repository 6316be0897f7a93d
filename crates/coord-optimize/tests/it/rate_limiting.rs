//! Rate limited streams on a machine that is late.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use coord_bus::time::{Instant, sleep};
use coord_optimize::{OptimizeExt, Rate};
use tokio_stream::{Stream, StreamExt, iter};

use crate::stage::ms;

/// What comes out now, and in how many milliseconds from the beginning that is.
async fn now<S: Stream>(mut stream: Pin<&mut S>, begin: Instant) -> Option<u128> {
    let item = poll_fn(|cx| Poll::Ready(stream.as_mut().poll_next(cx))).await;
    item.is_ready().then(|| begin.elapsed().as_millis())
}

/// When what is next comes out, where everything stands still until `late` after that, in milliseconds.
async fn late<S: Stream>(mut stream: Pin<&mut S>, begin: Instant, due: u64, late: Duration) {
    assert_eq!(now(stream.as_mut(), begin).await, None);
    tokio::time::advance(begin + ms(due) - Instant::now() + late).await;
    let at = u128::from(due) + late.as_millis();
    assert_eq!(now(stream, begin).await, Some(at));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_comes_out_late_does_not_delay_those_after_it() {
    let begin = Instant::now();
    let mut items = pin!(iter(0..5).rate_limit(Rate::every(ms(10))));
    assert_eq!(now(items.as_mut(), begin).await, Some(0));
    late(items.as_mut(), begin, 10, ms(3)).await;
    late(items.as_mut(), begin, 20, ms(0)).await;
    late(items.as_mut(), begin, 30, ms(4)).await;
    late(items.as_mut(), begin, 40, ms(4)).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_long_delay_ten_milliseconds_are_made_up_for() {
    let begin = Instant::now();
    let mut items = pin!(iter(0..10).rate_limit(Rate::every(ms(4))));
    assert_eq!(now(items.as_mut(), begin).await, Some(0));
    late(items.as_mut(), begin, 4, ms(100)).await;
    // As if that had come out at 94.
    assert_eq!(now(items.as_mut(), begin).await, Some(104));
    assert_eq!(now(items.as_mut(), begin).await, Some(104));
    late(items.as_mut(), begin, 106, ms(0)).await;
    late(items.as_mut(), begin, 110, ms(0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_slower_than_the_rate_has_nothing_made_up_for() {
    let begin = Instant::now();
    let slow = iter([0, 0, 27, 0]).then(async |wait| sleep(ms(wait)).await);
    let mut items = pin!(slow.rate_limit(Rate::every(ms(10))));
    assert_eq!(now(items.as_mut(), begin).await, Some(0));
    late(items.as_mut(), begin, 10, ms(3)).await;
    items.as_mut().next().await;
    assert_eq!(begin.elapsed(), ms(40));
    late(items.as_mut(), begin, 50, ms(0)).await;
}
