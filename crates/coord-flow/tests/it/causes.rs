//! What a flow makes of an event says what caused it, where the cause says anything.

use coord_bus::{BusExt, Envelope, Timestamp};
use coord_flow::EventFlow;

use crate::stage::{LONG, NUMBERS, Stage, TENFOLD, WORDS};

/// The causation and correlation id of what two flows make of an event, one after the other.
async fn causes(event: Envelope<u64>) -> [(Option<String>, Option<String>); 2] {
    let stage = Stage::new();
    let flow = EventFlow::from(&NUMBERS).map(|n| n * 10).to(&TENFOLD);
    stage.choreographer.add_event_flow(flow).unwrap();
    let flow = EventFlow::from(&TENFOLD).map(u64::to_string).to(&WORDS);
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut first = stage.bus.subscribe(&TENFOLD).unwrap();
    let mut second = stage.bus.subscribe(&WORDS).unwrap();
    stage.publisher().publish_with(event).await.unwrap();
    assert!(stage.choreographer.shutdown(LONG).await.is_complete());
    let first = first.recv().await.unwrap();
    let second = second.recv().await.unwrap();
    [first.meta(), second.meta()].map(|meta| {
        let owned = |id: Option<&str>| id.map(str::to_owned);
        (owned(meta.causation_id()), owned(meta.correlation_id()))
    })
}

fn ids(causation: &str, correlation: Option<&str>) -> (Option<String>, Option<String>) {
    (Some(causation.to_owned()), correlation.map(str::to_owned))
}

#[tokio::test(start_paused = true)]
async fn ids_are_carried_on() {
    let event = Envelope::new(7).id("reading-7").correlation_id("batch-1");
    let expected = [
        ids("reading-7", Some("batch-1")),
        ids("tenfold#1", Some("batch-1")),
    ];
    assert_eq!(causes(event).await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_event_without_an_id_is_named_by_its_place() {
    let by_source = Envelope::new(7).source("meter");
    let by_time = Envelope::new(7).time(Timestamp::UNIX_EPOCH);
    let by_cause = Envelope::new(7).causation_id("order-1");
    for event in [by_source, by_time, by_cause] {
        let expected = [ids("numbers#1", None), ids("tenfold#1", None)];
        assert_eq!(causes(event).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_says_nothing_gets_nothing() {
    assert_eq!(causes(Envelope::new(7)).await, [(None, None), (None, None)]);
}
