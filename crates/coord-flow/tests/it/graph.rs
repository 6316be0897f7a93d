//! The choreographer knows all flows: it refuses loops, doubles and too many.

use std::time::Duration;

use coord_bus::{BusExt, Failure, Topic, time};
use coord_flow::{EventFlow, FlowError, FlowState, MAX_FLOWS};

use crate::stage::{LONG, NUMBERS, Stage, publish};

fn flow(from: &str, to: &str) -> EventFlow {
    let topic = |name: &str| NUMBERS.with_name(name);
    EventFlow::from(&topic(from)).to(&topic(to))
}

/// The path of the loop that a flow would close, if it would.
fn refused(stage: &Stage, from: &str, to: &str) -> Option<String> {
    match stage.choreographer.add_event_flow(flow(from, to)) {
        Ok(()) => None,
        Err(FlowError::Loop { path, .. }) => Some(path.join(" ")),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_feeds_itself_is_refused() {
    let stage = Stage::new();
    assert_eq!(refused(&stage, "a", "a").as_deref(), Some("a a"));
    let error = stage
        .choreographer
        .add_event_flow(flow("a", "a"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "flow `a → a` was refused: it would close the loop a → a, and feed itself for ever, or \
         wait for itself once that is full; end the loop at one of these topics, or let the flow `allow_loop`"
    );
    assert!(stage.choreographer.event_flows().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_ring_is_refused_with_the_shortest_path() {
    let stage = Stage::new();
    for (from, to) in [("a", "b"), ("b", "c"), ("c", "d"), ("b", "d")] {
        assert_eq!(refused(&stage, from, to), None);
    }
    assert_eq!(refused(&stage, "d", "a").as_deref(), Some("d a b d"));
    assert_eq!(refused(&stage, "c", "b").as_deref(), Some("c b c"));
    // Two ways to one place are no loop.
    assert_eq!(refused(&stage, "a", "d"), None);
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_was_removed_closes_no_loop() {
    let stage = Stage::new();
    assert_eq!(refused(&stage, "a", "b"), None);
    stage
        .choreographer
        .remove_event_flow("a → b", LONG)
        .await
        .unwrap();
    assert_eq!(refused(&stage, "b", "a"), None);
}

#[tokio::test(start_paused = true)]
async fn there_is_one_flow_of_a_name() {
    let stage = Stage::new();
    stage
        .choreographer
        .add_event_flow(flow("a", "b").named("copy"))
        .unwrap();
    let error = stage
        .choreographer
        .add_event_flow(flow("c", "d").named("copy"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "flow `copy` was not added: there is one of that name, from `a` to `b`; give it another \
         with `named`, or remove that one first"
    );
}

#[tokio::test(start_paused = true)]
async fn the_number_of_flows_has_a_limit() {
    let stage = Stage::new();
    for number in 0..MAX_FLOWS {
        let flow = flow("a", "b").named(format!("flow {number}"));
        stage.choreographer.add_event_flow(flow).unwrap();
    }
    let error = stage
        .choreographer
        .add_event_flow(flow("a", "b"))
        .unwrap_err();
    assert!(matches!(error, FlowError::TooManyFlows { .. }));
    assert!(error.to_string().contains("1024 flows"), "{error}");
    assert!(stage.choreographer.shutdown(LONG).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn flows_are_listed_by_name_with_their_topics() {
    let stage = Stage::new();
    stage
        .choreographer
        .add_event_flow(flow("a", "b").named("second"))
        .unwrap();
    let words = Topic::<String>::new("words");
    let spell = EventFlow::from(&NUMBERS).map(u64::to_string).to(&words);
    assert_eq!(spell.name(), "numbers → words");
    stage
        .choreographer
        .add_event_flow(spell.named("first"))
        .unwrap();
    let flows = stage.choreographer.event_flows();
    let listed: Vec<_> = flows
        .iter()
        .map(|flow| [&flow.name, &flow.from[0], &flow.to[0]])
        .collect();
    assert_eq!(
        listed,
        [["first", "numbers", "words"], ["second", "a", "b"]]
    );
    assert!(
        flows
            .iter()
            .all(|flow| flow.state == FlowState::Running && flow.left == 0)
    );
}

#[tokio::test(start_paused = true)]
async fn the_graph_shows_where_events_go_and_how_many() {
    let stage = Stage::new();
    let many = EventFlow::from(&NUMBERS)
        .try_map(|n| n.checked_sub(1).ok_or_else(|| Failure::message("zero")))
        .to_many([&NUMBERS.with_name("\"a\""), &NUMBERS.with_name("b")])
        .named("many");
    stage.choreographer.add_event_flow(many).unwrap();
    let both = EventFlow::from(&NUMBERS.with_name("b"))
        .cloned()
        .merge(EventFlow::from(&NUMBERS.with_name("c")).cloned())
        .to(&NUMBERS.with_name("d"))
        .named("both");
    stage.choreographer.add_event_flow(both).unwrap();
    publish(&stage.publisher(), [0, 1, 2]).await;
    time::sleep(Duration::from_secs(2)).await;
    let graph = stage.choreographer.graph();
    assert_eq!(
        graph.to_string(),
        "2 flows between 6 topics\n\
         \x20 both  b + c -> d          1.0/s\n\
         \x20 many  numbers -> \"a\" + b  2.0/s  1 failed\n"
    );
    assert_eq!(
        graph.to_mermaid(),
        "flowchart LR\n\
         \x20   t0([\"#34;a#34;\"])\n\
         \x20   t1([\"b\"])\n\
         \x20   t2([\"c\"])\n\
         \x20   t3([\"d\"])\n\
         \x20   t4([\"dead-letter.numbers\"])\n\
         \x20   t5([\"numbers\"])\n\
         \x20   t1 -->|\"both, 1.0/s\"| t3\n\
         \x20   t2 -->|\"both, 1.0/s\"| t3\n\
         \x20   t5 -->|\"many, 2.0/s, 1 failed\"| t0\n\
         \x20   t5 -->|\"many, 2.0/s, 1 failed\"| t1\n\
         \x20   t5 -.->|\"many, 1 dead\"| t4\n"
    );
    let dot = graph.to_dot();
    assert!(dot.starts_with("digraph flows {\n"), "{dot}");
    assert!(dot.contains("    \"numbers\" -> \"\\\"a\\\"\" [label=\"many, 2.0/s, 1 failed\"]\n"));
    assert!(dot.contains(
        "    \"numbers\" -> \"dead-letter.numbers\" [label=\"many, 1 dead\" style=dashed]\n"
    ));
    // Since then nothing came.
    time::sleep(Duration::from_secs(2)).await;
    let later = stage.choreographer.graph();
    assert_eq!(later.flows[1].rate, 1.0);
    assert_eq!(later.since(&graph).flows[1].rate, 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_of_many_flows_that_feed_each_other_handles_everything_in_order() {
    let stage = Stage::new();
    // By their names those that are fed come first.
    for number in 0..MAX_FLOWS / 2 {
        let first = EventFlow::from(&NUMBERS.with_name("a"))
            .filter(move |_| number == 0)
            .to(&NUMBERS.with_name("b"))
            .named(format!("z{number}"));
        let second = flow("b", "c").named(format!("a{number}"));
        stage.choreographer.add_event_flow(first).unwrap();
        stage.choreographer.add_event_flow(second).unwrap();
    }
    publish(&stage.bus.publisher(&NUMBERS.with_name("a")).unwrap(), [7]).await;
    let report = stage.choreographer.shutdown(LONG).await;
    assert!(report.is_complete(), "{report}");
    let published: u64 = report.flows.iter().map(|flow| flow.stats.published).sum();
    assert_eq!(published, 1 + MAX_FLOWS as u64 / 2);
}
