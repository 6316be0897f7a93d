//! Every event comes through, in order, changed as it should be.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::{Bus, BusExt, ByteBus, LocalBus, Topic, time};
use coord_flow::{EventChoreographer, EventFlow, FlowState};
use proptest::prelude::*;

use crate::stage::{LONG, NUMBERS, Stage, TENFOLD, WORDS, publish, ready, run};

/// Sends numbers through two flows to a reader that rests now and then, and then shuts down.
/// What came out, and whether the counts agree with it.
async fn through_two_flows(
    bus: Arc<dyn Bus>,
    [first, second, third]: [usize; 3],
    count: u64,
    rests: Vec<u64>,
) -> Vec<String> {
    let numbers = Topic::<u64>::new("numbers").capacity(first);
    let even = Topic::<u64>::new("even").capacity(second);
    let words = Topic::<String>::new("words").capacity(third);
    let choreographer = EventChoreographer::new(Arc::clone(&bus)).unwrap();
    let flow = EventFlow::from(&even).map(u64::to_string).to(&words);
    choreographer.add_event_flow(flow).unwrap();
    let flow = EventFlow::from(&numbers).filter(|n| n % 2 == 0).to(&even);
    choreographer.add_event_flow(flow).unwrap();

    let mut reader = bus.subscribe(&words).unwrap();
    let publisher = bus.publisher(&numbers).unwrap();
    let reading = async {
        let mut rests = rests.into_iter();
        let mut read = Vec::new();
        while let Some(word) = reader.recv().await {
            read.push(word.clone());
            if let Some(rest) = rests.next() {
                time::sleep(Duration::from_millis(rest)).await;
            }
        }
        read
    };
    let running = async {
        publish(&publisher, 0..count).await;
        let report = choreographer.shutdown(LONG).await;
        bus.close();
        report
    };
    let (read, report) = tokio::join!(reading, running);

    assert!(report.is_complete(), "{report}");
    let [to_words, to_even] = [0, 1].map(|index| report.flows[index].stats);
    let came = read.len() as u64;
    assert_eq!((to_even.received, to_even.published), (count, came));
    assert_eq!((to_even.filtered, to_even.failed), (count - came, 0));
    assert_eq!((to_words.received, to_words.published), (came, came));
    assert!(
        report
            .flows
            .iter()
            .all(|flow| flow.state == FlowState::Drained)
    );
    read
}

proptest! {
    #[test]
    fn nothing_is_lost_or_reordered_whatever_the_capacities(
        capacities in [1..6_usize, 1..6_usize, 1..6_usize],
        count in 0..60_u64,
        rests in prop::collection::vec(0..3_u64, 0..30),
    ) {
        let buses: [fn() -> Arc<dyn Bus>; 2] =
            [|| Arc::new(LocalBus::new()), || Arc::new(ByteBus::new())];
        let expected: Vec<_> = (0..count).step_by(2).map(|n| n.to_string()).collect();
        for bus in buses {
            let rests = rests.clone();
            let read = run(async { through_two_flows(bus(), capacities, count, rests).await });
            prop_assert_eq!(&read, &expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stages_are_gone_through_in_the_order_in_which_they_were_written() {
    let stage = Stage::new();
    let flow = EventFlow::from(&NUMBERS)
        .filter(|n| *n > 0)
        .filter(|n| *n < 100)
        .map(|n| n * 10)
        .filter(|n| n % 20 == 0)
        .filter_map(|n| (n != 40).then(|| n.to_string()))
        .map(|word| word + "!")
        .to(&WORDS);
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut words = stage.bus.subscribe(&WORDS).unwrap();
    publish(&stage.publisher(), [0, 1, 2, 3, 4, 100, 6]).await;
    let report = stage.choreographer.shutdown(LONG).await;
    assert_eq!(ready(&mut words), ["20!", "60!"]);
    let stats = report.flows[0].stats;
    assert_eq!(
        (
            stats.received,
            stats.published,
            stats.filtered,
            stats.failed
        ),
        (7, 2, 5, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stage_may_remember() {
    let stage = Stage::new();
    let mut sum = 0;
    let flow = EventFlow::from(&NUMBERS)
        .map(move |n| {
            sum += n;
            sum
        })
        .to(&TENFOLD);
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut sums = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), [1, 2, 3]).await;
    let _ = stage.choreographer.shutdown(LONG).await;
    assert_eq!(ready(&mut sums), [1, 3, 6]);
}

#[tokio::test(start_paused = true)]
async fn several_flows_may_share_a_source_and_a_sink() {
    let stage = Stage::new();
    for factor in [10, 100] {
        let flow = EventFlow::from(&NUMBERS)
            .map(move |n| n * factor)
            .to(&TENFOLD);
        let flow = flow.named(format!("by {factor}"));
        stage.choreographer.add_event_flow(flow).unwrap();
    }
    let mut products = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&stage.publisher(), [1, 2]).await;
    let _ = stage.choreographer.shutdown(LONG).await;
    let mut products = ready(&mut products);
    products.sort_unstable();
    assert_eq!(products, [10, 20, 100, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_flow_takes_what_is_published_after_it_was_added() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    publish(&publisher, [1]).await;
    stage
        .choreographer
        .add_event_flow(EventFlow::from(&NUMBERS).to(&TENFOLD))
        .unwrap();
    let mut copies = stage.bus.subscribe(&TENFOLD).unwrap();
    publish(&publisher, [2]).await;
    let report = stage.choreographer.shutdown(LONG).await;
    assert_eq!(ready(&mut copies), [2]);
    assert_eq!(
        (report.flows[0].stats.received, report.flows[0].left),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_topic_of_another_type_is_refused_by_the_bus() {
    let stage = Stage::new();
    let _words = stage.bus.publisher(&WORDS).unwrap();
    let mistyped = Topic::<u64>::new("words");
    let error = stage
        .choreographer
        .add_event_flow(EventFlow::from(&NUMBERS).to(&mistyped))
        .unwrap_err();
    assert!(
        error.to_string().contains("carries alloc::string::String"),
        "{error}"
    );
    assert!(stage.choreographer.event_flows().is_empty());
}
