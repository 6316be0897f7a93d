//! Operators on a stream that always has one more item: ns an item.
//!
//! rxrust pushes items instead of being polled for them, so beside it a stream has the price of a
//! poll to make up for. Each contender checks what came out.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use coord_optimize::OptimizeExt;
use futures_core::Stream;
use futures_time::stream::StreamExt as _;
use rxrust::prelude::*;
use tokio::task::LocalSet;
use tokio_stream::StreamExt as _;

use crate::report::{Report, Row};
use crate::runtime;

const ITEMS: u64 = 1_000_000;
const ROUNDS: usize = 9;
const PERIOD: Duration = Duration::from_millis(10);
/// How many different keys there are.
const KEYS: u64 = 1000;

const OURS: &str = "coord-optimize";

fn hot() -> impl Stream<Item = u64> + Unpin {
    tokio_stream::iter(0..ITEMS)
}

pub(crate) fn run() {
    batch();
    throttle();
    debounce();
    distinct();
    conflate();
}

/// ns an item until the stream has ended, and how much came out by then.
fn drain<S: Stream>(stream: S) -> (f64, u64) {
    runtime(1).block_on(async {
        let begin = Instant::now();
        let mut stream = pin!(stream);
        let mut came = 0;
        while stream.next().await.is_some() {
            came += 1;
        }
        (nanoseconds(begin), came)
    })
}

/// ns an item until everything was pushed, and how much came out by then. rxrust starts its timers on
/// a `LocalSet`.
fn push(subscribe: impl FnOnce(Rc<Cell<u64>>)) -> (f64, u64) {
    let came = Rc::new(Cell::new(0));
    let took = runtime(1).block_on(LocalSet::new().run_until(async {
        let begin = Instant::now();
        subscribe(Rc::clone(&came));
        nanoseconds(begin)
    }));
    (took, came.get())
}

fn nanoseconds(begin: Instant) -> f64 {
    begin.elapsed().as_nanos() as f64 / ITEMS as f64
}

fn report(case: &str, contenders: &[&'static str], measure: impl Fn(usize) -> f64) {
    let report = Report::new(case, "ns an item", contenders.iter().copied());
    report.row(&Row::rounds(
        "a million items".to_owned(),
        contenders.len(),
        ROUNDS,
        measure,
    ));
}

fn batch() {
    let contenders = [
        OURS,
        "tokio-stream `chunks_timeout`",
        "rxrust `buffer_time_max`",
    ];
    report("batch(100, 10 ms)", &contenders, |contender| {
        let (took, came) = match contender {
            0 => drain(hot().batch(100, PERIOD)),
            1 => drain(hot().chunks_timeout(100, PERIOD)),
            _ => push(|came| {
                let items = Local::from_iter(0..ITEMS);
                items
                    .buffer_time_max(PERIOD, 100)
                    .subscribe(move |_| came.set(came.get() + 1));
            }),
        };
        assert_eq!(came, ITEMS / 100);
        took
    });
}

fn throttle() {
    let contenders = [OURS, "futures-time `throttle`", "rxrust `throttle_time`"];
    report("throttle(10 ms)", &contenders, |contender| {
        let (took, came) = match contender {
            0 => drain(OptimizeExt::throttle(hot(), PERIOD)),
            1 => drain(futures_time::stream::StreamExt::throttle(
                hot(),
                futures_time::stream::interval(PERIOD.into()),
            )),
            _ => push(|came| {
                let items = Local::from_iter(0..ITEMS);
                items
                    .throttle_time(PERIOD, ThrottleEdge::leading())
                    .subscribe(move |_| came.set(came.get() + 1));
            }),
        };
        assert!((1..ITEMS / 100).contains(&came), "{came}");
        took
    });
}

fn debounce() {
    // futures-time's takes one item a timer, so it has no hot stream.
    report(
        "debounce(10 ms)",
        &[OURS, "rxrust `debounce`"],
        |contender| match contender {
            0 => {
                let (took, came) = drain(OptimizeExt::debounce(hot(), PERIOD));
                assert_eq!(came, 1);
                took
            }
            _ => {
                let (took, _) = push(|_| {
                    let items = Local::from_iter(0..ITEMS);
                    items.debounce(PERIOD).subscribe(|_| {});
                });
                took
            }
        },
    );
}

fn distinct() {
    report(
        "distinct, 1000 keys",
        &[OURS, "rxrust `distinct`"],
        |contender| {
            let key = |item: u64| item % KEYS;
            let (took, came) = match contender {
                0 => drain(tokio_stream::iter((0..ITEMS).map(key)).distinct(KEYS as usize)),
                _ => push(|came| {
                    let items = Local::from_iter((0..ITEMS).map(key));
                    items
                        .distinct()
                        .subscribe(move |_| came.set(came.get() + 1));
                }),
            };
            assert_eq!(came, KEYS);
            took
        },
    );
    let contenders = [OURS, "rxrust `distinct_until_changed`"];
    report(
        "distinct_until_changed, all different",
        &contenders,
        |contender| {
            let (took, came) = match contender {
                0 => drain(hot().distinct_until_changed()),
                _ => push(|came| {
                    let items = Local::from_iter(0..ITEMS);
                    items
                        .distinct_until_changed()
                        .subscribe(move |_| came.set(came.get() + 1));
                }),
            };
            assert_eq!(came, ITEMS);
            took
        },
    );
}

fn conflate() {
    // Nobody else has it; beside what it adds to: the stream, read as it is.
    report(
        "conflate",
        &[OURS, "the bare stream"],
        |contender| match contender {
            0 => drain(hot().conflate(|item| item, |sum, item| *sum += item)).0,
            _ => drain(hot()).0,
        },
    );
    let contenders = [OURS, "futures-time `buffer`"];
    report(
        "conflate into a list, every 10 ms",
        &contenders,
        |contender| match contender {
            0 => drain(hot().conflate(|item| vec![item], Vec::push).every(PERIOD)).0,
            _ => drain(hot().buffer(futures_time::stream::interval(PERIOD.into()))).0,
        },
    );
}
