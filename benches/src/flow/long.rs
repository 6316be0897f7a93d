//! `filter → map → map → filter → to`: as a flow, and as the loop that somebody writes by hand.

use coord_bus::{Publisher, Subscriber, Topic};
use coord_flow::EventFlow;

pub(crate) const NUMBERS: Topic<u64> = Topic::new("numbers");
pub(crate) const RESULTS: Topic<u64> = Topic::new("results");

fn keeps(n: u64) -> bool {
    !n.is_multiple_of(7)
}

fn is_wanted(n: u64) -> bool {
    !n.is_multiple_of(5)
}

pub(crate) fn long_flow() -> EventFlow {
    EventFlow::from(&NUMBERS)
        .filter(|n| keeps(*n))
        .map(|n| n.wrapping_mul(3))
        .map(|n| n + 1)
        .filter(|n| is_wanted(*n))
        .to(&RESULTS)
}

pub(crate) async fn long_loop(mut numbers: Subscriber<u64>, results: Publisher<u64>) {
    while let Some(n) = numbers.recv().await {
        if !keeps(*n) {
            continue;
        }
        let n = n.wrapping_mul(3) + 1;
        if is_wanted(n) {
            results.publish(n).await.expect("the topic is open");
        }
    }
}

/// The sum of what comes of so many numbers.
pub(crate) fn expected(numbers: u64) -> u64 {
    let came = (0..numbers).filter(|n| keeps(*n) && is_wanted(n * 3 + 1));
    came.map(|n| n * 3 + 1).sum()
}
