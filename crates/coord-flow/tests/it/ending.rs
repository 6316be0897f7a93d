//! How flows end: drained, by a deadline, with their topics, with their choreographer.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::vocabulary::ERROR_DETECTED;
use coord_bus::{BusExt, Topic};
use coord_flow::{EventFlow, FlowError, FlowState};
use tokio::task::yield_now;

use crate::stage::{LONG, NUMBERS, Stage, TENFOLD, WORDS, idle, publish, ready, run};

const SECOND: Duration = Duration::from_secs(1);

fn copying() -> EventFlow {
    EventFlow::from(&NUMBERS).to(&TENFOLD).named("copy")
}

#[tokio::test(start_paused = true)]
async fn a_removed_flow_first_handles_what_had_been_published() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(copying()).unwrap();
    let mut copies = stage.bus.subscribe(&TENFOLD).unwrap();
    let publisher = stage.publisher();
    publish(&publisher, 1..=4).await;
    let report = stage
        .choreographer
        .remove_event_flow("copy", LONG)
        .await
        .unwrap();
    assert_eq!(
        (report.state, report.left, report.stats.published),
        (FlowState::Drained, 0, 4)
    );
    publish(&publisher, [5]).await;
    idle().await;
    assert_eq!(ready(&mut copies), [1, 2, 3, 4]);
    assert!(!publisher.is_heard());
    assert!(stage.choreographer.event_flows().is_empty());
    // Its name is free.
    stage.choreographer.add_event_flow(copying()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_has_nothing_to_do_ends_at_once() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(copying()).unwrap();
    publish(&stage.publisher(), [1]).await;
    idle().await;
    let start = Instant::now();
    let report = stage
        .choreographer
        .remove_event_flow("copy", LONG)
        .await
        .unwrap();
    assert_eq!((report.state, report.left), (FlowState::Drained, 0));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn publishers_that_go_on_keep_no_flow_from_draining() {
    const ENDLESS: u64 = 100_000;
    let stage = Stage::new();
    let publisher = stage.publisher();
    // For each event that is handled there is another: the source is never empty.
    let another = stage.publisher();
    let flow = EventFlow::from(&NUMBERS)
        .map(move |n| {
            if *n < ENDLESS {
                another.try_publish(n + 1).unwrap();
            }
            *n
        })
        .to(&TENFOLD)
        .named("copy");
    stage.choreographer.add_event_flow(flow).unwrap();
    publish(&publisher, [0]).await;
    yield_now().await;
    let report = stage
        .choreographer
        .remove_event_flow("copy", LONG)
        .await
        .unwrap();
    assert_eq!((report.state, report.left), (FlowState::Drained, 0));
    assert!((1..ENDLESS).contains(&report.stats.received));
}

#[tokio::test(start_paused = true)]
async fn what_a_flow_has_not_handled_by_the_deadline_is_reported() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(copying()).unwrap();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), 0..7).await;
    let start = Instant::now();
    let report = stage
        .choreographer
        .remove_event_flow("copy", SECOND)
        .await
        .unwrap();
    assert_eq!(start.elapsed(), SECOND);
    // Four were published, one was in hand, two in the source.
    assert_eq!((report.state, report.left), (FlowState::Aborted, 3));
    assert_eq!((report.stats.received, report.stats.published), (5, 4));
    assert_eq!(ready(&mut sleeper), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_aborted_leaves_what_it_has_not_handled_and_its_name_is_free_at_once() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(copying()).unwrap();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    let publisher = stage.publisher();
    publish(&publisher, 0..7).await;
    idle().await;
    let report = stage.choreographer.abort_event_flow("copy").unwrap();
    assert_eq!((report.left, report.stats.published), (3, 4));
    stage.choreographer.add_event_flow(copying()).unwrap();
    idle().await;
    assert_eq!(ready(&mut sleeper), [0, 1, 2, 3]);
    publish(&publisher, [9]).await;
    idle().await;
    assert_eq!(ready(&mut sleeper), [9]);
    stage.choreographer.abort_event_flow("copy").unwrap();
    let unknown = stage.choreographer.abort_event_flow("copy");
    assert!(matches!(unknown, Err(FlowError::UnknownFlow { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_dropped_can_be_taken_up_again() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(copying()).unwrap();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    let publisher = stage.publisher();
    publish(&publisher, 0..7).await;
    let removing = stage.choreographer.remove_event_flow("copy", LONG);
    assert!(time::timeout(SECOND, removing).await.is_err());
    assert_eq!(
        (stage.flow().state, stage.flow().left),
        (FlowState::Draining, 3)
    );
    // It is too late for this one.
    publish(&publisher, [7]).await;
    let (report, copies) =
        tokio::join!(stage.choreographer.remove_event_flow("copy", LONG), async {
            let mut copies = Vec::new();
            while copies.len() < 7 {
                copies.push(*sleeper.recv().await.unwrap());
            }
            copies
        });
    let report = report.unwrap();
    assert_eq!((report.state, report.left), (FlowState::Drained, 0));
    assert_eq!(copies, [0, 1, 2, 3, 4, 5, 6]);
    idle().await;
    assert!(ready(&mut sleeper).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_cannot_be_removed() {
    let stage = Stage::new();
    let error = stage
        .choreographer
        .remove_event_flow("copy", LONG)
        .await
        .unwrap_err();
    assert!(matches!(error, FlowError::UnknownFlow { .. }));
    assert!(error.to_string().contains("no flow `copy`"), "{error}");
}

#[test]
fn a_shutdown_drains_in_the_order_of_the_arrows() {
    // By their names, or in the order in which they were added, they would lose something.
    for names in [["1", "2", "3"], ["3", "2", "1"], ["2", "3", "1"]] {
        run(async {
            let stage = Stage::new();
            let topics = ["a", "b", "c", "d"].map(|name| NUMBERS.with_name(name));
            for (arrow, name) in topics.windows(2).zip(names) {
                let flow = EventFlow::from(&arrow[0]).to(&arrow[1]).named(name);
                stage.choreographer.add_event_flow(flow).unwrap();
            }
            let mut end = stage.bus.subscribe(&topics[3]).unwrap();
            // All that has room, before anything flows.
            publish(&stage.bus.publisher(&topics[0]).unwrap(), 0..4).await;
            let report = stage.choreographer.shutdown(LONG).await;
            assert!(report.is_complete(), "{report}");
            assert_eq!(report.to_string(), "every flow has handled everything");
            assert_eq!(ready(&mut end), [0, 1, 2, 3]);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_held_up_holds_up_no_other_and_is_reported() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(copying()).unwrap();
    let letters = Topic::<u64>::new("letters");
    let flow = EventFlow::from(&letters)
        .map(u64::to_string)
        .to(&WORDS)
        .named("spell");
    stage.choreographer.add_event_flow(flow).unwrap();
    let _sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    let mut words = stage.bus.subscribe(&WORDS).unwrap();
    publish(&stage.publisher(), 0..8).await;
    publish(&stage.bus.publisher(&letters).unwrap(), 0..3).await;
    let start = Instant::now();
    let report = stage.choreographer.shutdown(SECOND).await;
    assert_eq!(start.elapsed(), SECOND);
    assert!(!report.is_complete());
    assert_eq!(report.to_string(), "`copy` left 4 events");
    let states: Vec<_> = report
        .flows
        .iter()
        .map(|flow| (&*flow.name, flow.state))
        .collect();
    let expected = [("copy", FlowState::Aborted), ("spell", FlowState::Drained)];
    assert_eq!(states, expected);
    assert_eq!(ready(&mut words), ["0", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_no_flow_is_added_and_the_counts_stay() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(copying()).unwrap();
    publish(&stage.publisher(), [1]).await;
    let report = stage.choreographer.shutdown(LONG).await;
    let error = stage.choreographer.add_event_flow(copying()).unwrap_err();
    assert!(matches!(error, FlowError::ShutDown { .. }), "{error}");
    let error = stage
        .choreographer
        .replace_event_flow(copying(), LONG)
        .await;
    let error = error.unwrap_err();
    assert!(matches!(error, FlowError::ShutDown { .. }), "{error}");
    assert_eq!(stage.choreographer.event_flows(), report.flows);
    assert_eq!(stage.choreographer.shutdown(LONG).await, report);
    assert_eq!(stage.flow().stats.published, 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_is_dropped_can_be_taken_up_again() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(copying()).unwrap();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), 0..6).await;
    assert!(
        time::timeout(SECOND, stage.choreographer.shutdown(LONG))
            .await
            .is_err()
    );
    let reading = async {
        for n in 0..6 {
            assert_eq!(*sleeper.recv().await.unwrap(), n);
        }
    };
    let (report, ()) = tokio::join!(stage.choreographer.shutdown(LONG), reading);
    assert!(report.is_complete(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_flow_whose_source_is_closed_handles_all_that_was_accepted_and_ends() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(copying()).unwrap();
    let mut copies = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), 0..4).await;
    stage.bus.close_topic("numbers");
    idle().await;
    assert_eq!(ready(&mut copies), [0, 1, 2, 3]);
    assert_eq!(
        (stage.flow().state, stage.flow().left),
        (FlowState::SourceClosed, 0)
    );
    // It is listed until it is removed.
    let report = stage
        .choreographer
        .remove_event_flow("copy", LONG)
        .await
        .unwrap();
    assert_eq!(
        (report.state, report.stats.published),
        (FlowState::SourceClosed, 4)
    );
}

#[tokio::test(start_paused = true)]
async fn a_flow_whose_sink_is_closed_fails_what_it_has_in_hand_and_ends() {
    let stage = Stage::new();
    let mut errors = stage.bus.subscribe(&ERROR_DETECTED).unwrap();
    stage.choreographer.add_event_flow(copying()).unwrap();
    let publisher = stage.publisher();
    stage.bus.close_topic("tenfold");
    publish(&publisher, 0..3).await;
    idle().await;
    let flow = stage.flow();
    assert_eq!((flow.state, flow.left), (FlowState::SinkClosed, 2));
    assert_eq!(
        (flow.stats.received, flow.stats.published, flow.stats.failed),
        (1, 0, 1)
    );
    // What comes later is not its business any more.
    assert!(!publisher.is_heard());
    publish(&publisher, 3..9).await;
    assert_eq!(stage.flow().left, 2);
    let error = errors.try_recv().unwrap().event().clone();
    assert_eq!((&*error.source, &*error.kind), ("flow/copy", "unpublished"));
    assert_eq!(
        error.message,
        "the event was not published to `tenfold`: the topic is closed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_closed_while_a_flow_waits_for_it_ends_the_flow() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(copying()).unwrap();
    let _sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), 0..6).await;
    idle().await;
    stage.bus.close_topic("tenfold");
    idle().await;
    let flow = stage.flow();
    assert_eq!((flow.state, flow.left), (FlowState::SinkClosed, 1));
    assert_eq!(
        (flow.stats.received, flow.stats.published, flow.stats.failed),
        (5, 4, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn flows_end_with_their_choreographer() {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(copying()).unwrap();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    let publisher = stage.publisher();
    publish(&publisher, 0..6).await;
    idle().await;
    drop(stage.choreographer);
    idle().await;
    assert!(!publisher.is_heard());
    // What waited for room was not published.
    assert_eq!(ready(&mut sleeper), [0, 1, 2, 3]);
    idle().await;
    assert!(ready(&mut sleeper).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_holds_also_where_a_flow_holds_its_thread() {
    let stage = Stage::new();
    let (go_on, wait) = mpsc::channel::<()>();
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let wait = Mutex::new(wait);
    let flow = EventFlow::from(&NUMBERS).map(move |n: &u64| {
        begun.send(()).unwrap();
        let _ = wait.lock().unwrap().recv();
        *n
    });
    let flow = flow.to(&TENFOLD).named("holds");
    stage.choreographer.add_event_flow(flow).unwrap();
    publish(&stage.publisher(), [1]).await;
    has_begun.recv().await.unwrap();
    let moment = Duration::from_millis(1);
    let shutdown = time::timeout(20 * SECOND, stage.choreographer.shutdown(moment)).await;
    let report = shutdown.expect("it does not wait for the thread");
    assert!(!report.is_complete());
    assert_eq!(
        report.to_string(),
        "`holds` is still running, and left 1 events"
    );
    let removed = stage.choreographer.remove_event_flow("holds", moment);
    let removed = time::timeout(20 * SECOND, removed).await;
    let report = removed.expect("it does not either").unwrap();
    assert_eq!((report.state, report.left), (FlowState::Draining, 1));
    drop(go_on);
}
