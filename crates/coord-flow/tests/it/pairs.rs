//! What waits for its partner when its flow is replaced is neither lost nor doubled.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use coord_bus::{BusExt, Failure, Publisher, Topic, time};
use coord_flow::{EventFlow, FlowError, FlowState, FlowStats};
use proptest::prelude::*;

use crate::stage::{LONG, Stage, idle, ready, run};

const LEFT: Topic<u64> = Topic::new("left").capacity(256);
const RIGHT: Topic<u64> = Topic::new("right").capacity(256);
const PAIRS: Topic<(u64, u64)> = Topic::new("pairs").capacity(256);

/// Pairs, of which the left ones have come through a stage that takes its time.
fn pairs(number: u64) -> EventFlow {
    let rest = Duration::from_millis(number % 3);
    EventFlow::from(&LEFT)
        .enrich(1 + number as usize % 3, move |n| async move {
            time::sleep(rest).await;
            Ok::<_, Failure>(*n)
        })
        .zip(EventFlow::from(&RIGHT).cloned())
        .to(&PAIRS)
        .named("pairs")
}

struct Sides {
    stage: Stage,
    left: Publisher<u64>,
    right: Publisher<u64>,
}

impl Sides {
    fn new() -> Self {
        let stage = Stage::new();
        stage.choreographer.add_event_flow(pairs(0)).unwrap();
        Self {
            left: stage.bus.publisher(&LEFT).unwrap(),
            right: stage.bus.publisher(&RIGHT).unwrap(),
            stage,
        }
    }

    async fn replace(&self, flow: EventFlow) {
        let replacing = self.stage.choreographer.replace_event_flow(flow, LONG);
        replacing.await.unwrap();
    }

    fn stats(&self) -> FlowStats {
        self.stage.flow().stats
    }
}

#[tokio::test(start_paused = true)]
async fn it_finds_its_partner_in_the_flow_that_replaces_its_own() {
    for is_left in [true, false] {
        let sides = Sides::new();
        let mut pairs_read = sides.stage.bus.subscribe(&PAIRS).unwrap();
        let (fast, slow) = match is_left {
            true => (&sides.left, &sides.right),
            false => (&sides.right, &sides.left),
        };
        fast.publish(1).await.unwrap();
        fast.publish(2).await.unwrap();
        idle().await;
        assert_eq!((sides.stats().received, sides.stats().held), (1, 1));
        sides.replace(pairs(1)).await;
        sides.replace(pairs(0)).await;
        assert_eq!((sides.stats().received, sides.stats().held), (1, 1));
        slow.publish(1).await.unwrap();
        slow.publish(2).await.unwrap();
        idle().await;
        assert_eq!(ready(&mut pairs_read), [(1, 1), (2, 2)]);
        let stats = sides.stats();
        assert!(stats.is_balanced(), "{stats:?}");
        assert_eq!((stats.received, stats.filtered, stats.held), (4, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn it_says_what_it_came_from_when_it_fails_in_another_flow() {
    let sides = Sides::new();
    let letters = LEFT.dead_letters();
    let mut letters = sides.stage.bus.subscribe(&letters).unwrap();
    sides.left.publish(7).await.unwrap();
    idle().await;
    let failing = EventFlow::from(&LEFT)
        .cloned()
        .zip(EventFlow::from(&RIGHT).cloned())
        .try_map(|_| Err::<(u64, u64), _>(Failure::message("no")))
        .to(&PAIRS)
        .named("pairs");
    sides.replace(failing).await;
    sides.right.publish(8).await.unwrap();
    assert_eq!(*letters.recv().await.unwrap().event, 7);
}

#[tokio::test(start_paused = true)]
async fn where_no_pair_is_made_of_it_any_more_it_is_filtered_out() {
    let swapped = EventFlow::from(&RIGHT)
        .cloned()
        .zip(EventFlow::from(&LEFT).cloned());
    let others: [EventFlow; 3] = [
        EventFlow::from(&LEFT).map(|n| (*n, 0)).to(&PAIRS),
        swapped.to(&PAIRS),
        EventFlow::from(&LEFT)
            .map(ToString::to_string)
            .zip(EventFlow::from(&RIGHT).cloned())
            .map(|_| (0, 0))
            .to(&PAIRS),
    ];
    for other in others {
        let sides = Sides::new();
        sides.left.publish(1).await.unwrap();
        idle().await;
        sides.replace(other.named("pairs")).await;
        let stats = sides.stats();
        assert!(stats.is_balanced(), "{stats:?}");
        assert_eq!((stats.filtered, stats.held), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn stopped_a_flow_filters_out_what_waits() {
    let sides = Sides::new();
    sides.left.publish(1).await.unwrap();
    idle().await;
    let report = sides.stage.choreographer.shutdown(LONG).await;
    assert!(report.is_complete(), "{report}");
    let stats = report.flows[0].stats;
    assert_eq!((stats.received, stats.filtered, stats.held), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn once_a_side_is_closed_it_filters_out_what_the_other_has_under_way() {
    let sides = Sides::new();
    sides.replace(pairs(2)).await;
    for n in 0..5 {
        sides.left.publish(n).await.unwrap();
    }
    idle().await;
    sides.stage.bus.close_topic("right");
    time::sleep(LONG).await;
    let report = sides.stage.flow();
    assert_eq!(report.state, FlowState::SourceClosed);
    let stats = report.stats;
    assert!(stats.is_balanced(), "{stats:?}");
    assert!(stats.received > 1, "none is under way: {stats:?}");
    assert_eq!((stats.filtered, stats.held), (stats.received, 0));
}

#[tokio::test(start_paused = true)]
async fn stopped_in_the_middle_of_a_change_a_flow_pairs_all_there_is() {
    const ELSEWHERE: Topic<u64> = Topic::new("elsewhere");
    let stage = Arc::new(Stage::new());
    let mut pairs_read = stage.bus.subscribe(&PAIRS).unwrap();
    let (choreographer, is_asked) = (Arc::downgrade(&stage), AtomicBool::new(false));
    let pairs = EventFlow::from(&LEFT)
        .cloned()
        .zip(EventFlow::from(&RIGHT).map(move |n| {
            // The left side has come to its end by now, as the flow is to be replaced.
            if !is_asked.swap(true, Ordering::Relaxed) {
                let stage = choreographer.upgrade().unwrap();
                let removing = stage.choreographer.remove_event_flow("pairs", LONG);
                let mut cx = Context::from_waker(Waker::noop());
                assert!(pin!(removing).poll(&mut cx).is_pending());
            }
            *n
        }))
        .to(&PAIRS)
        .named("pairs");
    stage.choreographer.add_event_flow(pairs).unwrap();
    for topic in [&LEFT, &RIGHT] {
        let publisher = stage.bus.publisher(topic).unwrap();
        for number in 0..3 {
            publisher.try_publish(number).unwrap();
        }
    }
    let other = EventFlow::from(&LEFT)
        .cloned()
        .zip(EventFlow::from(&ELSEWHERE).cloned())
        .to(&PAIRS)
        .named("pairs");
    let replaced = stage.choreographer.replace_event_flow(other, LONG).await;
    assert!(matches!(replaced, Err(FlowError::UnknownFlow { .. })));
    let report = stage.choreographer.remove_event_flow("pairs", LONG).await;
    let report = report.unwrap();
    assert_eq!((report.state, report.left), (FlowState::Drained, 0));
    assert_eq!((report.stats.merged, report.stats.filtered), (3, 0));
    assert_eq!(ready(&mut pairs_read), [(0, 0), (1, 1), (2, 2)]);
}

/// An item that is counted for as long as it is there.
struct Counted(Arc<()>);

#[tokio::test(start_paused = true)]
async fn what_will_have_no_partner_is_not_gathered_where_a_flow_stops() {
    let stage = Stage::new();
    let (all, most) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
    let (items, seen) = (Arc::clone(&all), Arc::clone(&most));
    let flow = EventFlow::from(&LEFT)
        .cloned()
        .zip(EventFlow::from(&RIGHT).flat_map(move |_| {
            let (items, seen) = (Arc::clone(&items), Arc::clone(&seen));
            (0..10_000).map(move |_| {
                seen.fetch_max(Arc::strong_count(&items), Ordering::Relaxed);
                Counted(Arc::clone(&items))
            })
        }))
        .map(|(left, counted)| (left, Arc::strong_count(&counted.0) as u64))
        .to(&PAIRS)
        .named("pairs");
    stage.choreographer.add_event_flow(flow).unwrap();
    let right = stage.bus.publisher(&RIGHT).unwrap();
    right.publish(1).await.unwrap();
    idle().await;
    let report = stage.choreographer.remove_event_flow("pairs", LONG).await;
    let report = report.unwrap();
    assert_eq!((report.state, report.left), (FlowState::Drained, 0));
    assert_eq!(report.stats.filtered, 10_000);
    let most = most.load(Ordering::Relaxed);
    assert!(most < 100, "{most} items at once");
}

#[derive(Debug, Clone)]
enum Step {
    Left(u64),
    Right(u64),
    Replace,
    /// Given up after so many milliseconds.
    ReplaceFor(u64),
    Pause,
    Resume,
    Rest(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..6_u64).prop_map(Step::Left),
        3 => (1..6_u64).prop_map(Step::Right),
        2 => Just(Step::Replace),
        2 => (0..4_u64).prop_map(Step::ReplaceFor),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        2 => (0..4_u64).prop_map(Step::Rest),
    ];
    prop::collection::vec(step, 0..30)
}

proptest! {
    #[test]
    fn whenever_a_flow_is_replaced_the_first_goes_with_the_first(steps in steps()) {
        run(async {
            let sides = Sides::new();
            let mut pairs_read = sides.stage.bus.subscribe(&PAIRS).unwrap();
            let (mut left, mut right, mut generations) = (0, 0, 0);
            let choreographer = &sides.stage.choreographer;
            for step in steps {
                match step {
                    Step::Left(more) => {
                        for n in left..left + more {
                            sides.left.try_publish(n).unwrap();
                        }
                        left += more;
                    }
                    Step::Right(more) => {
                        for n in right..right + more {
                            sides.right.try_publish(n).unwrap();
                        }
                        right += more;
                    }
                    Step::Replace => {
                        generations += 1;
                        sides.replace(pairs(generations)).await;
                    }
                    Step::ReplaceFor(millis) => {
                        generations += 1;
                        let replacing = choreographer.replace_event_flow(pairs(generations), LONG);
                        let _ = time::timeout(Duration::from_millis(millis), replacing).await;
                    }
                    Step::Pause => choreographer.pause_event_flow("pairs").unwrap(),
                    Step::Resume => choreographer.resume_event_flow("pairs").unwrap(),
                    Step::Rest(millis) => time::sleep(Duration::from_millis(millis)).await,
                }
            }
            let report = choreographer.shutdown(LONG).await;
            let stats = report.flows[0].stats;
            assert!(stats.is_balanced() && stats.held == 0, "{stats:?}");
            let expected: Vec<_> = (0..left.min(right)).map(|n| (n, n)).collect();
            assert_eq!((stats.published, stats.merged), (left.min(right), left.min(right)));
            assert_eq!(ready(&mut pairs_read), expected);
        });
    }
}
