//! Topics that retain their last events, and flows that begin with the next.

use std::sync::Arc;

use coord_bus::{BusExt, ByteBus, Failure, Topic};
use coord_flow::{EventChoreographer, EventFlow, FlowState};

use crate::stage::{LONG, NUMBERS, Stage, TENFOLD, WORDS, idle, publish, ready};

const KEPT: Topic<u64> = Topic::new("kept").retain(3);

fn copying() -> EventFlow {
    EventFlow::from(&KEPT).to(&TENFOLD).named("copy")
}

#[tokio::test(start_paused = true)]
async fn a_flow_takes_nothing_that_was_published_before_it_was_added() {
    let stage = Stage::new();
    let publisher = stage.bus.publisher(&KEPT).unwrap();
    publish(&publisher, 1..=4).await;
    let mut copies = stage.bus.subscribe(&TENFOLD).unwrap();
    for n in [5, 6] {
        stage.choreographer.add_event_flow(copying()).unwrap();
        assert_eq!(stage.flow().left, 0);
        idle().await;
        assert_eq!((stage.flow().left, stage.flow().stats.received), (0, 0));
        publish(&publisher, [n]).await;
        let report = stage.choreographer.remove_event_flow("copy", LONG).await;
        let report = report.unwrap();
        assert_eq!((report.state, report.left), (FlowState::Drained, 0));
        assert_eq!((report.stats.received, report.stats.lost), (1, 0));
        assert_eq!(ready(&mut copies), [n]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_stopped_before_its_first_turn_takes_what_came_since_it_was_added() {
    let stage = Stage::new();
    let publisher = stage.bus.publisher(&KEPT).unwrap();
    publish(&publisher, 1..=4).await;
    let mut copies = stage.bus.subscribe(&TENFOLD).unwrap();
    stage.choreographer.add_event_flow(copying()).unwrap();
    publish(&publisher, [5, 6]).await;
    assert_eq!(stage.flow().left, 2);
    let report = stage.choreographer.remove_event_flow("copy", LONG).await;
    assert_eq!(report.unwrap().left, 0);
    assert_eq!(ready(&mut copies), [5, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_comes_with_a_replacement_is_taken_from_then_on() {
    let stage = Stage::new();
    let publisher = stage.bus.publisher(&KEPT).unwrap();
    publish(&publisher, 1..=4).await;
    let mut copies = stage.bus.subscribe(&TENFOLD).unwrap();
    let before = EventFlow::from(&NUMBERS).to(&TENFOLD).named("copy");
    stage.choreographer.add_event_flow(before).unwrap();
    let replaced = stage.choreographer.replace_event_flow(copying(), LONG);
    replaced.await.unwrap();
    publish(&publisher, [5]).await;
    idle().await;
    assert_eq!(ready(&mut copies), [5]);
}

#[tokio::test(start_paused = true)]
async fn over_a_bus_of_bytes_too() {
    let bus = Arc::new(ByteBus::new());
    let choreographer = EventChoreographer::new(bus.clone()).unwrap();
    let publisher = bus.publisher(&KEPT).unwrap();
    publish(&publisher, 1..=4).await;
    idle().await;
    let mut copies = bus.subscribe(&TENFOLD).unwrap();
    choreographer.add_event_flow(copying()).unwrap();
    publish(&publisher, [5]).await;
    idle().await;
    assert_eq!(ready(&mut copies), [5]);
    let flow = &choreographer.event_flows()[0];
    assert_eq!((flow.stats.received, flow.left), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_tries_dead_letters_again_takes_none_twice_when_it_is_added_again() {
    let stage = Stage::new();
    let failing = EventFlow::from(&NUMBERS)
        .try_map(|_| Err::<u64, _>(Failure::message("never")))
        .to(&TENFOLD);
    stage.choreographer.add_event_flow(failing).unwrap();
    let again = || {
        EventFlow::from(&NUMBERS.dead_letters())
            .map(|letter| letter.event.to_string())
            .to(&WORDS)
            .named("again")
    };
    let mut words = stage.bus.subscribe(&WORDS).unwrap();
    for n in 1..=2 {
        stage.choreographer.add_event_flow(again()).unwrap();
        publish(&stage.publisher(), [n]).await;
        idle().await;
        assert_eq!(ready(&mut words), [n.to_string()]);
        let removed = stage.choreographer.remove_event_flow("again", LONG);
        assert_eq!(removed.await.unwrap().stats.received, 1);
    }
}
