//! What each stage makes of what comes through it, and that it is counted.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::{Backoff, BusExt, Failure, Overflow, Topic, time};
use coord_flow::{EventFlow, FlowStats, Route, Window};

use crate::stage::{LONG, NUMBERS, Stage, TENFOLD, WORDS, idle, publish, ready};

/// Where there is room for all that a test makes.
const ROOMY: Topic<u64> = Topic::new("roomy").capacity(64);
const PAIRS: Topic<(u64, String)> = Topic::new("pairs").capacity(64);
const SUMS: Topic<u64> = Topic::new("sums").capacity(64);

/// What comes out for these numbers, and what was counted.
async fn through(flow: EventFlow, numbers: impl IntoIterator<Item = u64>) -> (Vec<u64>, FlowStats) {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut sums = stage.bus.subscribe(&SUMS).unwrap();
    publish(&stage.publisher(), numbers).await;
    let report = stage.choreographer.shutdown(LONG).await;
    assert!(report.is_complete(), "{report}");
    let stats = report.flows[0].stats;
    assert!(stats.is_balanced() && stats.held == 0, "{stats:?}");
    (ready(&mut sums), stats)
}

#[tokio::test(start_paused = true)]
async fn tap_sees_what_goes_by() {
    let seen = Arc::new(AtomicUsize::new(0));
    let (before, after) = (Arc::clone(&seen), Arc::clone(&seen));
    let flow = EventFlow::from(&NUMBERS)
        .tap(move |_| {
            before.fetch_add(1, Ordering::Relaxed);
        })
        .filter(|n| n % 2 == 0)
        .map(|n| *n)
        .tap(move |_| {
            after.fetch_add(10, Ordering::Relaxed);
        })
        .to(&SUMS);
    assert_eq!(through(flow, [1, 2, 3, 4]).await.0, [2, 4]);
    assert_eq!(seen.load(Ordering::Relaxed), 24);
}

#[tokio::test(start_paused = true)]
async fn flat_map_gives_each_in_order_and_counts_none_as_filtered_out() {
    let flow = EventFlow::from(&NUMBERS).flat_map(|n| 0..*n).to(&SUMS);
    let (sums, stats) = through(flow, [2, 0, 3, 1]).await;
    assert_eq!(sums, [0, 1, 0, 1, 2, 0]);
    assert_eq!((stats.received, stats.filtered), (4, 1));
    assert_eq!((stats.added, stats.published), (3, 6));
}

#[tokio::test(start_paused = true)]
async fn what_flat_map_makes_is_made_when_there_is_room() {
    let stage = Stage::new();
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let endless = EventFlow::from(&NUMBERS)
        .flat_map(move |n| {
            let (n, count) = (*n, Arc::clone(&count));
            std::iter::repeat_with(move || {
                count.fetch_add(1, Ordering::Relaxed);
                n
            })
        })
        .to(&TENFOLD);
    stage.choreographer.add_event_flow(endless).unwrap();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), [7]).await;
    idle().await;
    // Four are in the sink, one in hand.
    assert_eq!(made.load(Ordering::Relaxed), 5);
    assert_eq!(ready(&mut sleeper), [7; 4]);
    idle().await;
    assert_eq!(made.load(Ordering::Relaxed), 9);
}

#[tokio::test(start_paused = true)]
async fn scan_remembers() {
    let flow = EventFlow::from(&NUMBERS)
        .scan(0, |sum, n| {
            *sum += n;
            *sum
        })
        .scan(1, |product, sum| {
            *product *= sum;
            *product
        })
        .to(&SUMS);
    assert_eq!(through(flow, [1, 2, 3]).await.0, [1, 3, 18]);
}

/// Waits for 10 ms times the number.
async fn slowly(n: u64) -> Result<u64, Failure> {
    time::sleep(Duration::from_millis(10 * n)).await;
    Ok(n)
}

#[tokio::test(start_paused = true)]
async fn enrich_keeps_the_order_unless_it_is_told_not_to() {
    let ordered = EventFlow::from(&NUMBERS)
        .enrich(3, |n| slowly(*n))
        .to(&SUMS);
    assert_eq!(through(ordered, [3, 1, 2]).await.0, [3, 1, 2]);
    let unordered = EventFlow::from(&NUMBERS)
        .enrich(3, |n| slowly(*n))
        .unordered()
        .to(&SUMS);
    assert_eq!(through(unordered, [3, 1, 2]).await.0, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn enrich_has_no_more_under_way_than_it_may_and_the_source_waits() {
    let stage = Stage::new();
    let flow = EventFlow::from(&NUMBERS)
        .enrich(2, |n| slowly(*n))
        .to(&TENFOLD);
    stage.choreographer.add_event_flow(flow).unwrap();
    let _sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    let publisher = stage.publisher();
    let mut accepted = 0;
    while publisher.try_publish(1000).is_ok() {
        accepted += 1;
        idle().await;
    }
    // Two under way, four in the source.
    assert_eq!(accepted, 6);
    assert_eq!((stage.flow().stats.held, stage.flow().left), (2, 6));
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_goes_on_while_the_sink_is_full() {
    let stage = Stage::new();
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    let flow = EventFlow::from(&NUMBERS)
        .map(|n| *n)
        .enrich(4, move |n| {
            let count = Arc::clone(&count);
            async move {
                slowly(n).await?;
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Failure>(n)
            }
        })
        .to(&TENFOLD.with_name("narrow").capacity(1));
    stage.choreographer.add_event_flow(flow).unwrap();
    let _sleeper = stage
        .bus
        .subscribe(&TENFOLD.with_name("narrow").capacity(1));
    publish(&stage.publisher(), [0, 0, 5, 5]).await;
    time::sleep(Duration::from_secs(1)).await;
    assert_eq!(done.load(Ordering::Relaxed), 4);
    assert_eq!(stage.flow().stats.published, 1);
}

/// Takes as many seconds as its number says, and is counted then.
async fn counted(n: u64, count: Arc<AtomicUsize>) -> Result<u64, Failure> {
    time::sleep(Duration::from_secs(n)).await;
    count.fetch_add(1, Ordering::Relaxed);
    Ok(n)
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_goes_on_while_a_later_stage_waits() {
    let none = NUMBERS.with_name("none");
    for later in ["enrich", "try_map", "zip", "zip in a zip"] {
        let stage = Stage::new();
        let done = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&done);
        let flow = EventFlow::from(&NUMBERS)
            .map(|n| *n)
            .enrich(4, move |n| counted(n, Arc::clone(&count)));
        let flow = match later {
            "enrich" => flow
                .enrich(1, |_| pending::<Result<u64, Failure>>())
                .to(&TENFOLD),
            "try_map" => {
                let fails = |_: &u64| Err::<u64, _>(Failure::message("not yet"));
                let flow = flow.try_map(fails).to(&TENFOLD);
                flow.retry(2, Backoff::constant(LONG))
            }
            "zip" => {
                let pairs = flow.zip(EventFlow::from(&none).cloned());
                pairs.map(|(n, _)| n).to(&TENFOLD)
            }
            _ => {
                let none = EventFlow::from(&none).cloned();
                let pairs = EventFlow::from(&WORDS).cloned().zip(flow.zip(none));
                pairs.map(|(_, (n, _))| n).to(&TENFOLD)
            }
        };
        stage.choreographer.add_event_flow(flow).unwrap();
        publish(&stage.publisher(), [1, 2, 3, 4]).await;
        time::sleep(Duration::from_secs(5)).await;
        assert_eq!(done.load(Ordering::Relaxed), 4, "{later}");
    }
}

#[tokio::test(start_paused = true)]
async fn merge_takes_from_either() {
    let stage = Stage::new();
    let more = ROOMY.with_name("more");
    let flow = EventFlow::from(&NUMBERS)
        .map(|n| *n)
        .merge(EventFlow::from(&more).filter(|n| *n > 10).map(|n| n * 10))
        .to(&SUMS);
    assert_eq!(flow.name(), "numbers + more → sums");
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut sums = stage.bus.subscribe(&SUMS).unwrap();
    publish(&stage.publisher(), [1, 2]).await;
    publish(&stage.bus.publisher(&more).unwrap(), [1, 11, 12]).await;
    let report = stage.choreographer.shutdown(LONG).await;
    assert!(report.is_complete() && report.flows[0].stats.is_balanced());
    // By turns, and each in its order.
    assert_eq!(ready(&mut sums), [1, 110, 2, 120]);
    assert_eq!(report.flows[0].stats.filtered, 1);
}

#[tokio::test(start_paused = true)]
async fn zip_makes_pairs_and_the_faster_waits() {
    let stage = Stage::new();
    let flow = EventFlow::from(&NUMBERS)
        .map(|n| *n)
        .zip(EventFlow::from(&WORDS).cloned())
        .to(&PAIRS);
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut pairs = stage.bus.subscribe(&PAIRS).unwrap();
    let (numbers, words) = (stage.publisher(), stage.bus.publisher(&WORDS).unwrap());
    let mut accepted = 0;
    while numbers.try_publish(accepted).is_ok() {
        accepted += 1;
        idle().await;
    }
    // One waits for its partner, four in the source.
    assert_eq!(accepted, 5);
    for word in ["a", "b", "c"] {
        words.publish(word.to_owned()).await.unwrap();
    }
    idle().await;
    let expected = [(0, "a"), (1, "b"), (2, "c")].map(|(n, word)| (n, word.to_owned()));
    assert_eq!(ready(&mut pairs), expected);
    // What is without a partner when the other ends is filtered out.
    stage.bus.close_topic("words");
    idle().await;
    let flow = stage.flow();
    assert!(flow.stats.is_balanced(), "{:?}", flow.stats);
    assert_eq!((flow.stats.published, flow.stats.merged), (3, 3));
    assert_eq!((flow.stats.filtered, flow.left), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn windows_by_number_tumble_or_slide_and_the_last_comes_out_at_the_end() {
    let sums = |window| {
        EventFlow::from(&NUMBERS)
            .aggregate(window, || 0, |sum, n| *sum += n)
            .to(&SUMS)
    };
    let (tumbling, stats) = through(sums(Window::tumbling(2)), 1..=5).await;
    assert_eq!(tumbling, [3, 7, 5]);
    assert_eq!((stats.merged, stats.added, stats.published), (5, 3, 3));
    let (sliding, _) = through(sums(Window::sliding(3, 1)), 1..=4).await;
    assert_eq!(sliding, [6, 9, 7, 4]);
    let (spaced, stats) = through(sums(Window::sliding(1, 3)), 1..=7).await;
    assert_eq!(spaced, [1, 4, 7]);
    assert_eq!(stats.filtered, 4);
    assert_eq!(through(sums(Window::tumbling(9)), []).await.0, [0; 0]);
}

/// The sums of windows of numbers that come at these milliseconds.
async fn in_time(window: Window, numbers: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let stage = Stage::new();
    let flow = EventFlow::from(&NUMBERS)
        .aggregate(window, || 0, |sum, n| *sum += n)
        .to(&SUMS);
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut sums = stage.bus.subscribe(&SUMS).unwrap();
    let (publisher, start) = (stage.publisher(), time::Instant::now());
    let at = |millis| start + Duration::from_millis(millis);
    let publishing = async {
        for (millis, n) in numbers {
            time::sleep_until(at(*millis)).await;
            publisher.publish(*n).await.unwrap();
        }
        time::sleep_until(at(995)).await;
        let report = stage.choreographer.shutdown(LONG).await;
        assert!(report.flows[0].stats.is_balanced());
        stage.bus.close_topic("sums");
    };
    let reading = async {
        let mut read = Vec::new();
        while let Some(sum) = sums.recv().await {
            read.push((start.elapsed().as_millis() as u64, *sum));
        }
        read
    };
    tokio::join!(publishing, reading).1
}

#[tokio::test(start_paused = true)]
async fn windows_of_time_come_out_when_their_time_is_over() {
    let millis = Duration::from_millis;
    let numbers = [(10, 1), (50, 2), (109, 4), (110, 8), (700, 16), (990, 32)];
    // They begin with the first, at 10; the one from 910 on is not over at the end.
    assert_eq!(
        in_time(Window::tumbling_time(millis(100)), &numbers).await,
        [(110, 7), (210, 8), (710, 16), (995, 32)]
    );
    // One each 50 ms: from 10, 60, 110, 660, 960 and so on.
    assert_eq!(
        in_time(Window::sliding_time(millis(100), millis(50)), &numbers).await,
        [
            (110, 7),
            (160, 12),
            (210, 8),
            (710, 16),
            (760, 16),
            (995, 32),
            (995, 32)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn each_goes_to_every_topic_or_to_the_one_that_is_its_own() {
    let stage = Stage::new();
    let topics = ["a", "b", "c"].map(|name| ROOMY.with_name(name));
    let [a, b, c] = &topics;
    let route = || Route::when(|n| *n > 100, a).or_when(|n| *n > 10, b);
    let many = EventFlow::from(&NUMBERS).to_many(&topics).named("many");
    let some = EventFlow::from(&NUMBERS).route(route()).named("some");
    let all = EventFlow::from(&NUMBERS)
        .route(route().otherwise(c))
        .named("all");
    let by = Route::by(|n| n % 10, [(1, a), (2, b)]);
    let by = EventFlow::from(&NUMBERS).route(by).named("by key");
    for (flow, expected, stats) in [
        (many, std::array::from_fn(|_| vec![111, 21, 2]), (6, 9, 0)),
        (some, [vec![111], vec![21], vec![]], (0, 2, 1)),
        (all, [vec![111], vec![21], vec![2]], (0, 3, 0)),
        (by, [vec![111, 21], vec![2], vec![]], (0, 3, 0)),
    ] {
        let name = flow.name().to_owned();
        stage.choreographer.add_event_flow(flow).unwrap();
        let mut readers = [a, b, c].map(|topic| stage.bus.subscribe(topic).unwrap());
        publish(&stage.publisher(), [111, 21, 2]).await;
        let report = stage
            .choreographer
            .remove_event_flow(&name, LONG)
            .await
            .unwrap();
        let counted = report.stats;
        assert!(counted.is_balanced(), "{name}: {counted:?}");
        assert_eq!(
            (counted.added, counted.published, counted.filtered),
            stats,
            "{name}"
        );
        for (reader, expected) in readers.iter_mut().zip(expected) {
            assert_eq!(ready(reader), expected, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_overflow_of_a_source_is_what_its_flow_says() {
    let stage = Stage::new();
    let flow = EventFlow::from(&NUMBERS)
        .overflow(Overflow::DropOldest)
        .to(&TENFOLD);
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    for n in 0..100 {
        stage.publisher().try_publish(n).unwrap();
        idle().await;
    }
    assert_eq!(ready(&mut sleeper), [0, 1, 2, 3]);
    idle().await;
    let graph = stage.choreographer.graph().to_string();
    let came = ready(&mut sleeper);
    idle().await;
    let report = stage.choreographer.shutdown(LONG).await;
    let stats = report.flows[0].stats;
    let came = 4 + came.len() as u64 + ready(&mut sleeper).len() as u64;
    assert_eq!((stats.published, stats.lost), (came, 100 - came));
    assert!(graph.contains(&format!("{} lost", stats.lost)), "{graph}");
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_timed_says_how_long_events_take() {
    let flow = EventFlow::from(&NUMBERS)
        .enrich(1, |n| slowly(*n))
        .to(&SUMS)
        .timed();
    let stage = Stage::new();
    stage.choreographer.add_event_flow(flow).unwrap();
    publish(&stage.publisher(), [1, 1, 1, 100]).await;
    let report = stage.choreographer.shutdown(LONG).await;
    let latency = report.flows[0].latency.unwrap();
    let about = |latency: Duration, millis: u64| {
        let off = latency.as_secs_f64() / Duration::from_millis(millis).as_secs_f64();
        assert!(
            (0.98..1.02).contains(&off),
            "{latency:?} is not {millis} ms"
        );
    };
    assert_eq!(latency.count, 4);
    about(latency.p50, 10);
    about(latency.max, 1000);
}

#[test]
fn windows_and_lookups_of_zero_are_refused() {
    let refused: [(fn(), &str); 7] = [
        (|| _ = Window::tumbling(0), "zero items"),
        (|| _ = Window::sliding(0, 1), "zero items"),
        (|| _ = Window::sliding(1, 0), "zero items"),
        (|| _ = Window::tumbling_time(Duration::ZERO), "zero time"),
        (
            || _ = Window::sliding_time(Duration::ZERO, Duration::from_millis(1)),
            "zero time",
        ),
        (
            || _ = Window::sliding_time(Duration::from_millis(1), Duration::ZERO),
            "zero time",
        ),
        (
            || _ = EventFlow::from(&NUMBERS).enrich(0, async |n| Ok::<_, Failure>(*n)),
            "zero at once",
        ),
    ];
    for (make, message) in refused {
        let panic = std::panic::catch_unwind(make).unwrap_err();
        let told = panic.downcast_ref::<&str>().unwrap();
        assert!(told.contains(message), "{told}");
    }
}
