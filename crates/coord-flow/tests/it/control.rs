//! Flows are paused, go on, and are replaced while they run.

use std::time::Duration;

use coord_bus::{BusError, BusExt, Failure, Overflow, Topic, time};
use coord_flow::{EventFlow, FlowError, FlowState, OnFailure, Window};
use proptest::prelude::*;

use crate::stage::{LONG, NUMBERS, Stage, TENFOLD, idle, publish, ready, run};

const SECOND: Duration = Duration::from_secs(1);

fn times(factor: u64) -> EventFlow {
    EventFlow::from(&NUMBERS)
        .map(move |n| n * factor)
        .to(&TENFOLD)
        .named("times")
}

#[tokio::test(start_paused = true)]
async fn a_paused_flow_takes_nothing_until_it_is_resumed() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(times(10)).unwrap();
    let mut products = stage.bus.subscribe(&TENFOLD).unwrap();
    stage.choreographer.pause_event_flow("times").unwrap();
    publish(&stage.publisher(), 1..=4).await;
    idle().await;
    assert!(ready(&mut products).is_empty());
    assert_eq!(
        (stage.flow().state, stage.flow().left),
        (FlowState::Paused, 4)
    );
    // Its publishers wait, as for any flow that is slow.
    assert!(stage.publisher().try_publish(5).is_err());
    stage.choreographer.resume_event_flow("times").unwrap();
    idle().await;
    assert_eq!(ready(&mut products), [10, 20, 30, 40]);
    assert_eq!(
        (stage.flow().state, stage.flow().left),
        (FlowState::Running, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_paused_flow_has_in_hand_goes_on() {
    let stage = Stage::new();
    let flow = EventFlow::from(&NUMBERS)
        .enrich(1, |n| async move {
            time::sleep(SECOND).await;
            Ok::<_, Failure>(*n)
        })
        .aggregate(Window::tumbling_time(SECOND), || 0, |sum, n| *sum += n)
        .to(&TENFOLD)
        .named("slow");
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut sums = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), [1, 2]).await;
    idle().await;
    stage.choreographer.pause_event_flow("slow").unwrap();
    assert_eq!(*sums.recv().await.unwrap(), 1);
    time::sleep(10 * SECOND).await;
    assert!(ready(&mut sums).is_empty());
    assert_eq!(stage.flow().left, 1);
}

#[tokio::test(start_paused = true)]
async fn a_paused_flow_that_is_stopped_handles_what_was_published_first() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(times(10)).unwrap();
    let mut products = stage.bus.subscribe(&TENFOLD).unwrap();
    stage.choreographer.pause_event_flow("times").unwrap();
    publish(&stage.publisher(), [1, 2]).await;
    let report = stage
        .choreographer
        .remove_event_flow("times", LONG)
        .await
        .unwrap();
    assert_eq!((report.state, report.left), (FlowState::Drained, 0));
    assert_eq!(ready(&mut products), [10, 20]);
}

#[tokio::test(start_paused = true)]
async fn only_what_runs_can_be_paused_resumed_or_replaced() {
    let stage = Stage::new();
    let unknown = |result| matches!(result, Err(FlowError::UnknownFlow { .. }));
    for _ in 0..2 {
        assert!(unknown(stage.choreographer.pause_event_flow("times")));
        assert!(unknown(stage.choreographer.resume_event_flow("times")));
        let replaced = stage.choreographer.replace_event_flow(times(2), LONG).await;
        assert!(unknown(replaced));
        // It ends with its source.
        let _ = stage.choreographer.add_event_flow(times(10));
        stage.bus.close_topic("numbers");
        idle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_definition_goes_on_with_the_next_event() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(times(10)).unwrap();
    let mut products = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), [1, 2]).await;
    idle().await;
    assert_eq!(ready(&mut products), [10, 20]);
    publish(&stage.publisher(), [3]).await;
    stage
        .choreographer
        .replace_event_flow(times(100), LONG)
        .await
        .unwrap();
    publish(&stage.publisher(), [4]).await;
    idle().await;
    let products = ready(&mut products);
    assert!(
        products == [30, 400] || products == [300, 400],
        "{products:?}"
    );
    // It is the same flow.
    let stats = stage.flow().stats;
    assert_eq!((stats.received, stats.published), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn what_a_window_holds_comes_out_before_the_change() {
    let stage = Stage::new();
    let sums = |size| {
        EventFlow::from(&NUMBERS)
            .aggregate(Window::tumbling(size), || 0, |sum, n| *sum += n)
            .to(&TENFOLD)
            .named("sums")
    };
    stage.choreographer.add_event_flow(sums(10)).unwrap();
    let mut read = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), [1, 2]).await;
    idle().await;
    assert_eq!(stage.flow().stats.held, 2);
    stage
        .choreographer
        .replace_event_flow(sums(2), LONG)
        .await
        .unwrap();
    publish(&stage.publisher(), [3, 4]).await;
    idle().await;
    assert_eq!(ready(&mut read), [3, 7]);
}

#[tokio::test(start_paused = true)]
async fn another_source_is_taken_from_the_change_on_and_the_old_one_up_to_it() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(times(10)).unwrap();
    stage.choreographer.pause_event_flow("times").unwrap();
    let mut products = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), [1, 2]).await;
    let more = Topic::<u64>::new("more");
    let flow = EventFlow::from(&more).to(&TENFOLD).named("times");
    stage
        .choreographer
        .replace_event_flow(flow, LONG)
        .await
        .unwrap();
    publish(&stage.publisher(), [3]).await;
    publish(&stage.bus.publisher(&more).unwrap(), [4]).await;
    idle().await;
    // It is paused still.
    assert_eq!(ready(&mut products), [10, 20]);
    stage.choreographer.resume_event_flow("times").unwrap();
    idle().await;
    assert_eq!(ready(&mut products), [4]);
    assert_eq!(stage.flow().from, ["more"]);
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_cannot_come_to_an_end_in_time_goes_on_as_it_was() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(times(10)).unwrap();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), 1..=8).await;
    idle().await;
    let start = time::Instant::now();
    let error = stage
        .choreographer
        .replace_event_flow(times(100), SECOND)
        .await
        .unwrap_err();
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(
        error.to_string(),
        "flow `times` was not replaced: it still has something in hand after 1s, and goes on as it \
         was; perhaps nobody reads what it publishes"
    );
    for n in 1..=8 {
        assert_eq!(*sleeper.recv().await.unwrap(), n * 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_definition_of_another_type_of_event_takes_no_flows_place() {
    let stage = Stage::new();
    let flow = times(2).on_failure(OnFailure::Skip);
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut results = stage.bus.subscribe(&TENFOLD).unwrap();
    const OTHERWISE: Topic<String> = Topic::new("numbers").capacity(4);
    let other = EventFlow::from(&OTHERWISE)
        .map(|text| text.len() as u64)
        .to(&TENFOLD)
        .named("times")
        .on_failure(OnFailure::Skip);
    let replaced = stage.choreographer.replace_event_flow(other, LONG).await;
    assert!(
        matches!(
            &replaced,
            Err(FlowError::Bus(BusError::TypeConflict { .. }))
        ),
        "{replaced:?}"
    );
    publish(&stage.publisher(), [7]).await;
    idle().await;
    assert_eq!(ready(&mut results), [14]);
}

#[tokio::test(start_paused = true)]
async fn the_newest_that_a_full_source_drops_are_lost_also_where_nothing_comes_after_them() {
    let stage = Stage::new();
    let flow = EventFlow::from(&NUMBERS)
        .overflow(Overflow::DropNewest)
        .map(|n| n * 10)
        .to(&TENFOLD)
        .named("times");
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut results = stage.bus.subscribe(&TENFOLD).unwrap();
    stage.choreographer.pause_event_flow("times").unwrap();
    publish(&stage.publisher(), 0..10).await;
    let report = stage.choreographer.remove_event_flow("times", LONG).await;
    let report = report.unwrap();
    let came = ready(&mut results).len() as u64;
    assert!(came < 10, "{came}");
    assert_eq!(
        (report.stats.published, report.stats.lost),
        (came, 10 - came)
    );
    assert_eq!((report.state, report.left), (FlowState::Drained, 0));
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_would_close_a_loop_takes_no_flows_place() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(times(10)).unwrap();
    let back = EventFlow::from(&TENFOLD).to(&NUMBERS).named("times");
    // Alone it closes none.
    stage
        .choreographer
        .replace_event_flow(back, LONG)
        .await
        .unwrap();
    let itself = EventFlow::from(&NUMBERS).to(&NUMBERS).named("times");
    let refused = stage.choreographer.replace_event_flow(itself, LONG).await;
    assert!(matches!(refused, Err(FlowError::Loop { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_another_takes_the_place_of_is_told_at_once_and_calls_off_nothing() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(times(10)).unwrap();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), 1..=8).await;
    idle().await;
    let start = time::Instant::now();
    let second = async {
        let second = stage.choreographer.replace_event_flow(times(100), SECOND);
        (second.await, start.elapsed())
    };
    let third = stage
        .choreographer
        .replace_event_flow(times(1000), 60 * SECOND);
    let reading = async {
        time::sleep(2 * SECOND).await;
        let mut read = Vec::new();
        while read.len() < 8 {
            read.push(*sleeper.recv().await.unwrap());
        }
        read
    };
    let ((second, told_after), third, read) = tokio::join!(second, third, reading);
    assert_eq!(
        second.unwrap_err().to_string(),
        "flow `times` was not replaced: it was asked to go on as yet another definition before it \
         came to this one"
    );
    assert_eq!(told_after, Duration::ZERO);
    third.unwrap();
    assert_eq!(read[..5], [10, 20, 30, 40, 50]);
    assert_eq!(read[5..], [6000, 7000, 8000]);
}

#[tokio::test(start_paused = true)]
async fn a_replacement_of_a_flow_that_is_asked_to_stop_is_told_at_once() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(times(10)).unwrap();
    let _sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), 1..=8).await;
    idle().await;
    let start = time::Instant::now();
    let replacing = async {
        let replaced = stage.choreographer.replace_event_flow(times(100), LONG);
        (replaced.await, start.elapsed())
    };
    let stopping = stage.choreographer.remove_event_flow("times", SECOND);
    let ((replaced, told_after), stopped) = tokio::join!(replacing, stopping);
    assert!(matches!(replaced, Err(FlowError::UnknownFlow { .. })));
    assert_eq!(told_after, Duration::ZERO);
    assert_eq!(stopped.unwrap().state, FlowState::Aborted);
}

#[tokio::test(start_paused = true)]
async fn a_definition_on_its_way_counts_where_a_loop_is_looked_for() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(times(10)).unwrap();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), 1..=8).await;
    idle().await;
    let elsewhere = NUMBERS.with_name("elsewhere");
    let next = EventFlow::from(&NUMBERS).to(&elsewhere).named("times");
    let replacing = stage.choreographer.replace_event_flow(next, LONG);
    let meanwhile = async {
        idle().await;
        for from in [&elsewhere, &TENFOLD] {
            let back = EventFlow::from(from).to(&NUMBERS).named("back");
            let refused = stage.choreographer.add_event_flow(back);
            let Err(FlowError::Loop { path, .. }) = refused else {
                panic!("{refused:?}");
            };
            assert_eq!(path, [from.name(), "numbers", from.name()]);
        }
        while sleeper.recv().await.is_some_and(|product| *product != 50) {}
    };
    let (replaced, ()) = tokio::join!(replacing, meanwhile);
    replaced.unwrap();
    let back = EventFlow::from(&TENFOLD).to(&NUMBERS).named("back");
    stage.choreographer.add_event_flow(back).unwrap();
}

/// What may happen to a flow while events come.
#[derive(Debug, Clone)]
enum Step {
    Publish(u64),
    Pause,
    Resume,
    Replace,
    /// Given up after so many milliseconds.
    ReplaceFor(u64),
    Rest(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..6_u64).prop_map(Step::Publish),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        2 => Just(Step::Replace),
        2 => (0..8_u64).prop_map(Step::ReplaceFor),
        2 => (0..5_u64).prop_map(Step::Rest),
    ];
    prop::collection::vec(step, 0..30)
}

/// A flow that holds items, of this generation.
fn generation(number: u64) -> EventFlow {
    let rest = Duration::from_millis(number % 3);
    EventFlow::from(&NUMBERS)
        .enrich(1 + number as usize % 3, move |n| async move {
            time::sleep(rest).await;
            Ok::<_, Failure>(*n)
        })
        .aggregate(
            Window::tumbling(1 + number % 2),
            Vec::new,
            |all: &mut Vec<u64>, n| all.push(*n),
        )
        .flat_map(|all| all)
        .to(&TENFOLD)
        .named("generations")
}

proptest! {
    #[test]
    fn pausing_and_replacing_under_load_loses_and_doubles_nothing(steps in steps(), rest in 0..3_u64) {
        run(async {
            let stage = Stage::new();
            stage.choreographer.add_event_flow(generation(0)).unwrap();
            let mut reader = stage.bus.subscribe(&TENFOLD).unwrap();
            let (mut generations, mut count) = (0, 0);
            let publisher = stage.publisher();
            let acting = async {
                for step in steps {
                    match step {
                        Step::Publish(more) => {
                            for n in count..count + more {
                                // A flow that is paused would never make room.
                                if publisher.try_publish(n).is_err() {
                                    stage.choreographer.resume_event_flow("generations").unwrap();
                                    publisher.publish(n).await.unwrap();
                                }
                            }
                            count += more;
                        }
                        Step::Pause => stage.choreographer.pause_event_flow("generations").unwrap(),
                        Step::Resume => stage.choreographer.resume_event_flow("generations").unwrap(),
                        Step::Replace => {
                            generations += 1;
                            let next = generation(generations);
                            stage.choreographer.replace_event_flow(next, LONG).await.unwrap();
                        }
                        Step::ReplaceFor(millis) => {
                            generations += 1;
                            let next = generation(generations);
                            let replacing = stage.choreographer.replace_event_flow(next, LONG);
                            let _ = time::timeout(Duration::from_millis(millis), replacing).await;
                        }
                        Step::Rest(millis) => time::sleep(Duration::from_millis(millis)).await,
                    }
                }
                let report = stage.choreographer.shutdown(LONG).await;
                stage.bus.close_topic("tenfold");
                report
            };
            let reading = async {
                let mut read = Vec::new();
                while let Some(n) = reader.recv().await {
                    read.push(*n);
                    time::sleep(Duration::from_millis(rest)).await;
                }
                read
            };
            let (report, read) = tokio::join!(acting, reading);
            assert!(report.is_complete(), "{report}");
            let stats = report.flows[0].stats;
            assert!(stats.is_balanced() && stats.held == 0, "{stats:?}");
            assert_eq!(stats.received, count);
            assert_eq!(read, (0..count).collect::<Vec<_>>());
        });
    }
}
