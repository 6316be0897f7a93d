//! What became of each event is counted, exactly.

use std::sync::Arc;

use coord_bus::{Bus, BusExt, Delivery, LocalBus, Topic};
use coord_optimize::{EventStreamOptimizer, Rate};
use proptest::prelude::*;
use tokio_stream::StreamExt;

use crate::stage::{ms, run};

const NUMBERS: Topic<u64> = Topic::new("numbers");

/// What the test itself has seen come out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    batched: u64,
    states: u64,
    in_states: u64,
}

proptest! {
    #[test]
    fn what_was_received_has_been_given_out_or_merged_or_is_held(
        steps in prop::collection::vec((0..20_u64, 0..4_u64), 1..30), size in 1..10_usize,
    ) {
        let (seen, stats, published) = run(async {
            let bus = Arc::new(LocalBus::new());
            let publisher = bus.publisher(&NUMBERS).unwrap();
            let optimizer = EventStreamOptimizer::new(bus.clone());
            optimizer.configure_buffer_size(&NUMBERS, size).unwrap();
            optimizer.configure_rate_limit(&NUMBERS, Rate::every(ms(2))).unwrap();
            let mut batches = optimizer.subscribe(&NUMBERS).unwrap();
            let add = |state: &mut u64, _: Delivery<u64>| *state += 1;
            let mut states = optimizer.conflate(&NUMBERS, |_| 1, add).unwrap();
            let mut seen = Seen::default();
            let mut published = 0;
            for (events, patience) in steps {
                for number in 0..events {
                    publisher.publish(number).await.unwrap();
                }
                published += events;
                let next = coord_bus::time::timeout(ms(patience), batches.next());
                if let Ok(Some(batch)) = next.await {
                    seen.batched += batch.len() as u64;
                }
                let next = coord_bus::time::timeout(ms(patience), states.next());
                if let Ok(Some(count)) = next.await {
                    seen.states += 1;
                    seen.in_states += count;
                }
            }
            let before = optimizer.statistics().remove(0);
            // Then to the end of one, while the other goes with what it holds.
            bus.close();
            drop(states);
            while let Some(batch) = batches.next().await {
                seen.batched += batch.len() as u64;
            }
            (seen, (before, optimizer.statistics().remove(0)), published)
        });
        let (before, after) = stats;
        prop_assert!(before.ledger.held <= size as u64 + 1);
        prop_assert_eq!(before.ledger.dropped.discarded, 0);
        prop_assert_eq!(
            before.ledger.received,
            before.ledger.given_out + before.ledger.merged + before.ledger.held
        );
        prop_assert_eq!(seen.batched, published);
        prop_assert_eq!(after.ledger.given_out, seen.batched + seen.states);
        prop_assert_eq!(after.ledger.held, 0);
        prop_assert!(after.ledger.dropped.discarded <= 1);
        prop_assert_eq!(
            after.ledger.received,
            after.ledger.given_out + after.ledger.merged + after.ledger.dropped.discarded
        );
        // Of what the states received, all was merged but for the first of each.
        prop_assert!(after.ledger.merged >= seen.in_states - seen.states);
        prop_assert!(after.ledger.received <= 2 * published);
    }
}

#[tokio::test(start_paused = true)]
async fn each_event_is_in_one_column() {
    let bus = Arc::new(LocalBus::new());
    let publisher = bus.publisher(&NUMBERS).unwrap();
    let optimizer = EventStreamOptimizer::new(bus.clone());
    optimizer
        .configure_rate_limit(&NUMBERS, Rate::every(ms(10)))
        .unwrap();
    let add = |sum: &mut u64, event: Delivery<u64>| *sum += *event;
    let mut sums = optimizer.conflate(&NUMBERS, |event| *event, add).unwrap();
    for number in [1, 2, 3] {
        publisher.publish(number).await.unwrap();
    }
    assert_eq!(sums.next().await, Some(6));
    for number in [4, 5] {
        publisher.publish(number).await.unwrap();
    }
    let waited = coord_bus::time::timeout(ms(1), sums.next()).await;
    assert!(waited.is_err());
    let columns = |optimizer: &EventStreamOptimizer| {
        let stats = optimizer.statistics().remove(0).ledger;
        [
            stats.received,
            stats.given_out,
            stats.merged,
            stats.held,
            stats.dropped.discarded,
        ]
    };
    assert_eq!(columns(&optimizer), [5, 1, 3, 1, 0]);
    drop(sums);
    assert_eq!(columns(&optimizer), [5, 1, 3, 0, 1]);
}

#[test]
fn statistics_are_by_topic_and_serialise() {
    let optimizer = EventStreamOptimizer::new(Arc::new(LocalBus::new()));
    optimizer
        .configure_buffer_size(&NUMBERS.with_name("b"), 1)
        .unwrap();
    let _batches = optimizer.subscribe(&NUMBERS.with_name("a")).unwrap();
    let json = serde_json::to_string(&optimizer.statistics()).unwrap();
    let nothing = r#"{"received":0,"given_out":0,"merged":0,"dropped":{"superseded":0,"repeated":0,"expired":0,"irrelevant":0,"limited":0,"overflowed":0,"unread":0,"discarded":0},"held":0}"#;
    let expected =
        format!(r#"[{{"topic":"a","ledger":{nothing}}},{{"topic":"b","ledger":{nothing}}}]"#);
    assert_eq!(json, expected);
}
