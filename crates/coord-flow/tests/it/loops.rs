//! Flows that feed themselves, within a bound.

use std::time::Duration;

use coord_bus::{BusExt, Failure, Topic, time};
use coord_flow::{EventFlow, FlowError, FlowState, OnFailure};

use crate::stage::{LONG, NUMBERS, Stage, TENFOLD, WORDS, idle, publish, ready};

/// As narrow as can be.
const RING: Topic<u64> = Topic::new("ring").capacity(1);
const BACK: Topic<u64> = Topic::new("back").capacity(1);

#[tokio::test(start_paused = true)]
async fn an_event_goes_round_as_often_as_it_may_and_then_becomes_a_dead_letter() {
    let stage = Stage::new();
    let mut seen = stage.bus.subscribe(&NUMBERS).unwrap();
    let mut letters = stage.bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    let flow = EventFlow::from(&NUMBERS)
        .map(|n| n + 1)
        .to(&NUMBERS)
        .allow_loop(3);
    stage.choreographer.add_event_flow(flow).unwrap();
    publish(&stage.publisher(), [10]).await;
    for n in 10..=13 {
        assert_eq!(*seen.recv().await.unwrap(), n);
    }
    idle().await;
    assert!(ready(&mut seen).is_empty());
    let letter = letters.try_recv().unwrap();
    assert_eq!(*letter.event, 13);
    assert_eq!(
        letter.error,
        ["it has been round a loop 3 times, the limit of the flow"]
    );
    let stats = stage.flow().stats;
    assert_eq!((stats.received, stats.published, stats.dead), (4, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn others_of_the_ring_carry_the_count_on() {
    let stage = Stage::new();
    let mut seen = stage.bus.subscribe(&RING).unwrap();
    let there = EventFlow::from(&RING).map(|n| n + 1).to(&BACK);
    stage.choreographer.add_event_flow(there).unwrap();
    let back = EventFlow::from(&BACK).to(&RING);
    let refused = stage.choreographer.add_event_flow(back).unwrap_err();
    assert!(matches!(refused, FlowError::Loop { .. }));
    let back = EventFlow::from(&BACK).to(&RING).allow_loop(2);
    stage.choreographer.add_event_flow(back).unwrap();
    publish(&stage.bus.publisher(&RING).unwrap(), [0]).await;
    for n in 0..=2 {
        assert_eq!(*seen.recv().await.unwrap(), n);
    }
    idle().await;
    assert!(ready(&mut seen).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_is_full_everywhere_goes_on() {
    let stage = Stage::new();
    let there = EventFlow::from(&RING)
        .map(|n| n + 1)
        .to(&BACK)
        .named("there");
    // Each event becomes two: however much room there is, it is soon full.
    let back = EventFlow::from(&BACK)
        .flat_map(|n| [*n, *n])
        .to(&RING)
        .allow_loop(12)
        .named("back");
    stage.choreographer.add_event_flow(there).unwrap();
    stage.choreographer.add_event_flow(back).unwrap();
    let publisher = stage.bus.publisher(&RING).unwrap();
    // Whoever publishes from outside comes through, too.
    time::timeout(Duration::from_secs(1), publish(&publisher, [0, 0, 0]))
        .await
        .unwrap();
    idle().await;
    let flows = stage.choreographer.event_flows();
    let (back, there) = (flows[0].stats, flows[1].stats);
    assert!(
        back.is_balanced() && there.is_balanced(),
        "{back:?} {there:?}"
    );
    assert_eq!((back.held, there.held), (0, 0));
    // All that went in was taken, and what did not come to its bound found the loop full.
    assert_eq!(back.received, there.published);
    assert_eq!(there.received, 3 + back.published);
    assert!(back.failed > 0 && back.dead == back.failed, "{back:?}");
    let report = stage.choreographer.shutdown(LONG).await;
    assert!(report.is_complete(), "{report}");
}

/// A loop in which each event becomes two, twelve times, in the middle of that: it is full, and
/// nobody else makes room.
async fn amid_a_full_loop() -> Stage {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(doubling()).unwrap();
    publish(&stage.bus.publisher(&RING).unwrap(), [0]).await;
    while stage.flow().stats.received < 300 {
        tokio::task::yield_now().await;
    }
    assert!(stage.flow().stats.held > 1);
    stage
}

fn doubling() -> EventFlow {
    EventFlow::from(&RING)
        .flat_map(|n| [*n, *n])
        .to(&RING)
        .allow_loop(12)
        .named("doubling")
}

#[tokio::test(start_paused = true)]
async fn a_full_loop_of_which_a_replacement_is_given_up_goes_on() {
    let stage = amid_a_full_loop().await;
    let replacing = stage
        .choreographer
        .replace_event_flow(doubling(), Duration::from_secs(1));
    let replaced = replacing.await;
    assert!(
        matches!(replaced, Err(FlowError::NotReplaced { .. })),
        "{replaced:?}"
    );
    idle().await;
    let flow = stage.flow();
    // All that was in it has come round as often as it may.
    assert_eq!((flow.left, flow.stats.held), (0, 0), "{:?}", flow.stats);
    assert!(flow.stats.failed > 0 && flow.stats.dead == flow.stats.failed);
    stage.choreographer.pause_event_flow("doubling").unwrap();
    let replacing = stage.choreographer.replace_event_flow(doubling(), LONG);
    replacing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_loop_is_cut_where_it_is_stopped() {
    let stage = amid_a_full_loop().await;
    let report = stage.choreographer.shutdown(Duration::from_secs(1)).await;
    assert!(report.is_complete(), "{report}");
    let flow = &report.flows[0];
    assert_eq!((flow.state, flow.left), (FlowState::Drained, 0));
    assert!(flow.stats.is_balanced(), "{:?}", flow.stats);
}

#[tokio::test(start_paused = true)]
async fn a_loop_holds_so_much_and_fails_what_is_more() {
    let stage = Stage::new();
    let mut letters = stage.bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    let flow = EventFlow::from(&NUMBERS).to(&TENFOLD).allow_loop(1);
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    // Four in the sink, one on its way there, 1024 held.
    publish(&stage.publisher(), 0..1030).await;
    idle().await;
    let stats = stage.flow().stats;
    assert_eq!((stats.published, stats.held, stats.failed), (4, 1025, 1));
    let letter = letters.try_recv().unwrap();
    assert_eq!(*letter.event, 1029);
    assert!(
        letter.error[0].starts_with("the loop is full"),
        "{:?}",
        letter.error
    );
    for n in 0..1029 {
        assert_eq!(*sleeper.recv().await.unwrap(), n);
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letters_count_as_arrows() {
    let stage = Stage::new();
    let flow = EventFlow::from(&NUMBERS)
        .try_map(|n| n.to_string().parse::<u64>())
        .map(|n| n.to_string())
        .to(&WORDS);
    stage.choreographer.add_event_flow(flow).unwrap();
    let again = || EventFlow::from(&NUMBERS.dead_letters()).map(|letter| *letter.event);
    let refused = stage.choreographer.add_event_flow(again().to(&NUMBERS));
    let Err(FlowError::Loop { path, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(
        path,
        ["dead-letter.numbers", "numbers", "dead-letter.numbers"]
    );
    let again = again().to(&NUMBERS).allow_loop(3);
    stage.choreographer.add_event_flow(again).unwrap();
}

/// A flow that can make nothing of any number.
fn hopeless() -> EventFlow {
    EventFlow::from(&NUMBERS)
        .try_map(|_| Err::<u64, _>(Failure::message("hopeless")))
        .to(&TENFOLD)
        .named("hopeless")
}

#[tokio::test(start_paused = true)]
async fn a_loop_through_dead_letters_ends_at_its_bound() {
    let stage = Stage::new();
    let mut seen = stage.bus.subscribe(&NUMBERS).unwrap();
    stage.choreographer.add_event_flow(hopeless()).unwrap();
    let again = EventFlow::from(&NUMBERS.dead_letters())
        .map(|letter| *letter.event)
        .to(&NUMBERS)
        .allow_loop(3);
    stage.choreographer.add_event_flow(again).unwrap();
    publish(&stage.publisher(), [7]).await;
    for _ in 0..=3 {
        assert_eq!(*seen.recv().await.unwrap(), 7);
    }
    // More than these would fill `seen`, and be at rest too.
    idle().await;
    assert!(ready(&mut seen).is_empty());
}

#[tokio::test(start_paused = true)]
async fn faults_count_as_arrows_and_carry_the_count_on() {
    let stage = Stage::new();
    let mut seen = stage.bus.subscribe(&NUMBERS).unwrap();
    stage.choreographer.add_event_flow(hopeless()).unwrap();
    let again = || {
        EventFlow::from(&NUMBERS.faults())
            .map(|fault| *fault.event)
            .to(&NUMBERS)
    };
    let refused = stage.choreographer.add_event_flow(again());
    let Err(FlowError::Loop { path, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(path, ["fault.numbers", "numbers", "fault.numbers"]);
    let again = again().allow_loop(2);
    stage.choreographer.add_event_flow(again).unwrap();
    publish(&stage.publisher(), [7]).await;
    for _ in 0..=2 {
        assert_eq!(*seen.recv().await.unwrap(), 7);
    }
    idle().await;
    assert!(ready(&mut seen).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_stops_at_a_failure_does_so_while_it_waits_for_its_sink() {
    let stage = Stage::new();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    let flow = EventFlow::from(&NUMBERS)
        .try_map(|n| match n {
            13 => Err(Failure::message("unlucky")),
            n => Ok(*n),
        })
        .to(&TENFOLD)
        .allow_loop(3)
        .on_failure(OnFailure::Stop);
    stage.choreographer.add_event_flow(flow).unwrap();
    // Four in the sink, one on its way there.
    publish(&stage.publisher(), 0..5).await;
    idle().await;
    publish(&stage.publisher(), [13, 5, 6]).await;
    idle().await;
    let flow = stage.flow();
    assert_eq!(
        (flow.state, flow.stats.received, flow.stats.failed),
        (FlowState::Failed, 6, 1)
    );
    // The one that was on its way, and those behind the failure.
    assert_eq!(flow.left, 3);
    assert_eq!(ready(&mut sleeper), [0, 1, 2, 3]);
}
