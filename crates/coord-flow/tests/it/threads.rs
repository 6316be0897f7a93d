//! Flows on two threads, and a third that asks this and that of them: what comes out is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coord_bus::{BusExt, Topic};
use coord_flow::{EventFlow, FlowError, FlowState, Window};
use tokio::task::yield_now;

use crate::stage::{LONG, Stage, publish};

const LEFT: Topic<u64> = Topic::new("left").capacity(64);
const RIGHT: Topic<u64> = Topic::new("right").capacity(64);
const OUT: Topic<u64> = Topic::new("out").capacity(64);

/// How much is published to each of the topics.
const MANY: u64 = 20_000;

/// Asks this of the flow `watched` again and again, until all is published.
async fn meanwhile(publishing: impl Future<Output = ()>, ask: impl AsyncFn()) {
    let mut publishing = std::pin::pin!(publishing);
    loop {
        ask().await;
        tokio::select! {
            biased;
            () = &mut publishing => return,
            () = yield_now() => {}
        }
    }
}

fn pause_and_resume(stage: &Stage) {
    stage.choreographer.pause_event_flow("watched").unwrap();
    stage.choreographer.resume_event_flow("watched").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_pause_and_resume_ends_no_window_early() {
    let stage = Stage::new();
    let short = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&short);
    let flow = EventFlow::from(&LEFT)
        .aggregate(Window::tumbling(10), || 0, |sum, _| *sum += 1)
        .tap(move |items| {
            count.fetch_add(u64::from(*items < 10), Ordering::Relaxed);
        })
        .to(&OUT)
        .named("watched");
    stage.choreographer.add_event_flow(flow).unwrap();
    let publisher = stage.bus.publisher(&LEFT).unwrap();
    let publishing = publish(&publisher, 0..MANY);
    meanwhile(publishing, async || pause_and_resume(&stage)).await;
    let report = stage.choreographer.remove_event_flow("watched", LONG).await;
    assert_eq!(report.unwrap().stats.published, MANY / 10);
    assert_eq!(short.load(Ordering::Relaxed), 0);
}

fn merging() -> EventFlow {
    EventFlow::from(&LEFT)
        .cloned()
        .merge(EventFlow::from(&RIGHT).cloned())
        .to(&OUT)
        .named("watched")
}

/// Asks this of a merge of which one side is closed, which goes on with the other.
async fn half_a_merge(ask: impl AsyncFn(&Stage)) {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(merging()).unwrap();
    stage.bus.close_topic("right");
    let publisher = stage.bus.publisher(&LEFT).unwrap();
    let publishing = async {
        for n in 0..MANY {
            assert!(publisher.is_heard(), "{:?}", stage.flow());
            publisher.publish(n).await.unwrap();
        }
    };
    meanwhile(publishing, async || ask(&stage).await).await;
    let report = stage.choreographer.remove_event_flow("watched", LONG).await;
    let report = report.unwrap();
    assert_eq!(
        (report.state, report.stats.published),
        (FlowState::Drained, MANY)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_pause_and_resume_ends_no_merge_of_which_one_side_is_open() {
    half_a_merge(async |stage| pause_and_resume(stage)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_give_a_replacement_up_ends_no_merge_of_which_one_side_is_open() {
    half_a_merge(async |stage| {
        for _ in 0..100 {
            // Given up at once, unless it is done by then.
            tokio::select! {
                biased;
                _ = stage.choreographer.replace_event_flow(merging(), LONG) => {}
                () = std::future::ready(()) => {}
            }
        }
    })
    .await;
}

/// Asks all that may be asked of a flow, while there are events, then stops it. What came out.
async fn everything_at_once(generation: fn(u64) -> EventFlow) -> Vec<u64> {
    let stage = Stage::new();
    let add = stage
        .choreographer
        .add_event_flow(generation(0).named("watched"));
    add.unwrap();
    let mut reader = stage.bus.subscribe(&OUT).unwrap();
    let (left, right) = (
        stage.bus.publisher(&LEFT).unwrap(),
        stage.bus.publisher(&RIGHT).unwrap(),
    );
    let publishing = async {
        tokio::join!(publish(&left, 0..MANY), publish(&right, 0..MANY));
    };
    let asking = async {
        let mut publishing = std::pin::pin!(publishing);
        for number in 1.. {
            let choreographer = &stage.choreographer;
            choreographer.pause_event_flow("watched").unwrap();
            yield_now().await;
            choreographer.resume_event_flow("watched").unwrap();
            let replace = |number, millis| {
                let next = generation(number).named("watched");
                choreographer.replace_event_flow(next, Duration::from_millis(millis))
            };
            // One that may be given up, two of which the first makes way, one that is dropped.
            let _ = replace(number, number % 2).await;
            let (first, second) =
                tokio::join!(replace(number, 60_000), replace(number + 1, 60_000));
            assert!(matches!(first, Ok(()) | Err(FlowError::Superseded { .. })));
            second.unwrap();
            tokio::select! {
                biased;
                _ = replace(number, 60_000) => {}
                () = yield_now() => {}
            }
            tokio::select! {
                biased;
                () = &mut publishing => break,
                () = yield_now() => {}
            }
        }
        let report = stage.choreographer.remove_event_flow("watched", LONG).await;
        let report = report.unwrap();
        assert_eq!((report.state, report.left), (FlowState::Drained, 0));
        assert_eq!(report.stats.received, 2 * MANY);
        assert!(report.stats.is_balanced(), "{:?}", report.stats);
        stage.bus.close_topic("out");
    };
    let reading = async {
        let mut read = Vec::new();
        while let Some(n) = reader.recv().await {
            read.push(*n);
        }
        read
    };
    let ((), read) = tokio::join!(asking, reading);
    read
}

/// Each side is there once, and in its order; those of the right are odd.
fn assert_both_sides(read: &[u64]) {
    for side in [0, 1] {
        let one: Vec<_> = read.iter().filter(|n| **n % 2 == side).collect();
        assert_eq!(one.len() as u64, MANY);
        assert!(one.is_sorted_by(|a, b| a < b));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_loses_and_doubles_nothing_whatever_is_asked_of_it() {
    let read = everything_at_once(|_| {
        EventFlow::from(&LEFT)
            .map(|n| n * 2)
            .merge(EventFlow::from(&RIGHT).map(|n| n * 2 + 1))
            .to(&OUT)
    });
    assert_both_sides(&read.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zip_pairs_the_first_with_the_first_whatever_is_asked_of_it() {
    let read = everything_at_once(|_| {
        EventFlow::from(&LEFT)
            .cloned()
            .zip(EventFlow::from(&RIGHT).cloned())
            .map(|(left, right)| if left == right { left } else { u64::MAX })
            .to(&OUT)
    });
    assert_eq!(read.await, (0..MANY).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_lose_and_double_nothing_whatever_is_asked_of_their_flow() {
    let read = everything_at_once(|number| {
        EventFlow::from(&LEFT)
            .map(|n| n * 2)
            .merge(EventFlow::from(&RIGHT).map(|n| n * 2 + 1))
            .aggregate(
                Window::tumbling(1 + number % 7),
                Vec::new,
                |all: &mut Vec<u64>, n| all.push(*n),
            )
            .flat_map(|all| all)
            .to(&OUT)
    });
    assert_both_sides(&read.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_takes_a_replacement_away_leaves_nothing_behind() {
    const PAIRS: u64 = 32;
    let pairs = || {
        EventFlow::from(&LEFT)
            .cloned()
            .zip(EventFlow::from(&RIGHT).cloned())
            .map(|(left, right)| if left == right { left } else { u64::MAX })
            .to(&OUT)
            .named("watched")
    };
    for _ in 0..500 {
        let stage = Arc::new(Stage::new());
        let mut reader = stage.bus.subscribe(&OUT).unwrap();
        stage.choreographer.add_event_flow(pairs()).unwrap();
        for topic in [&LEFT, &RIGHT] {
            publish(&stage.bus.publisher(topic).unwrap(), 0..PAIRS).await;
        }
        let replacing = tokio::spawn({
            let stage = Arc::clone(&stage);
            async move {
                let _ = stage.choreographer.replace_event_flow(pairs(), LONG).await;
            }
        });
        let report = stage.choreographer.remove_event_flow("watched", LONG).await;
        let report = report.unwrap();
        replacing.await.unwrap();
        assert_eq!((report.state, report.left), (FlowState::Drained, 0));
        assert!(report.stats.is_balanced(), "{:?}", report.stats);
        let mut read = 0..;
        while let Ok(pair) = reader.try_recv() {
            assert_eq!(Some(*pair), read.next());
        }
        assert_eq!(read.start, PAIRS, "{:?}", report.stats);
    }
}
