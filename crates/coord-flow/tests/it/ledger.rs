//! Whatever stages there are and whatever goes wrong, what comes out is what a naive model says, and
//! each item is accounted for from source to sink.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::{Backoff, Bus, BusExt, ByteBus, Failure, Faults, Topic, time};
use coord_flow::{EventChoreographer, EventFlow, FlowStats, OnFailure, Window};
use proptest::prelude::*;

use crate::stage::{LONG, NUMBERS, Stage, TENFOLD, publish, ready, run};

/// A stage, by what it does.
#[derive(Debug, Clone, Copy)]
enum Op {
    Filter(u64),
    FlatMap(u64),
    TryMap(u64),
    Enrich { concurrency: usize, ordered: bool },
    Scan,
    Tumbling(u64),
    Sliding(u64, u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (1..4_u64).prop_map(Op::Filter),
        (1..4_u64).prop_map(Op::FlatMap),
        (1..5_u64).prop_map(Op::TryMap),
        ((1..4_usize), any::<bool>()).prop_map(|(concurrency, ordered)| Op::Enrich {
            concurrency,
            ordered
        }),
        Just(Op::Scan),
        (1..5_u64).prop_map(Op::Tumbling),
        ((1..5_u64), (1..5_u64)).prop_map(|(size, step)| Op::Sliding(size, step)),
    ]
}

fn window(window: Window, from: &Topic<u64>, to: &Topic<u64>) -> EventFlow {
    EventFlow::from(from)
        .aggregate(window, || 0, |sum: &mut u64, n| *sum = sum.wrapping_add(*n))
        .to(to)
}

/// The flow that does it.
fn flow(op: Op, from: &Topic<u64>, to: &Topic<u64>) -> EventFlow {
    match op {
        Op::Filter(by) => EventFlow::from(from).filter(move |n| n % by == 0).to(to),
        Op::FlatMap(by) => EventFlow::from(from)
            .flat_map(move |n| (0..n % by).collect::<Vec<_>>())
            .to(to),
        Op::TryMap(by) => EventFlow::from(from)
            .try_map(move |n| match n % by {
                0 => Err(Failure::message("no")),
                rest => Ok(rest),
            })
            .to(to)
            .retry(2, Backoff::constant(Duration::from_millis(1))),
        Op::Enrich {
            concurrency,
            ordered,
        } => {
            let stages = EventFlow::from(from).enrich(concurrency, |n| async move {
                time::sleep(Duration::from_millis(*n % 3)).await;
                Ok::<_, Failure>(n.wrapping_add(1))
            });
            match ordered {
                true => stages.to(to),
                false => stages.unordered().to(to),
            }
        }
        Op::Scan => EventFlow::from(from)
            .scan(0_u64, |sum, n| {
                *sum = sum.wrapping_add(*n);
                *sum
            })
            .to(to),
        Op::Tumbling(size) => window(Window::tumbling(size), from, to),
        Op::Sliding(size, step) => window(Window::sliding(size, step), from, to),
    }
}

/// What it makes of these, as naively as can be.
fn model(op: Op, numbers: &[u64]) -> Vec<u64> {
    let each = numbers.iter().copied();
    let sum = |numbers: &[u64]| numbers.iter().fold(0, |sum: u64, n| sum.wrapping_add(*n));
    match op {
        Op::Filter(by) => each.filter(|n| n % by == 0).collect(),
        Op::FlatMap(by) => each.flat_map(|n| 0..n % by).collect(),
        Op::TryMap(by) => each.map(|n| n % by).filter(|rest| *rest > 0).collect(),
        Op::Enrich { .. } => each.map(|n| n.wrapping_add(1)).collect(),
        Op::Scan => (1..=numbers.len())
            .map(|end| sum(&numbers[..end]))
            .collect(),
        Op::Tumbling(size) => numbers.chunks(size as usize).map(sum).collect(),
        Op::Sliding(size, step) => (0..numbers.len())
            .step_by(step as usize)
            .map(|start| sum(&numbers[start..numbers.len().min(start + size as usize)]))
            .collect(),
    }
}

proptest! {
    #[test]
    fn stages_do_what_a_naive_model_does_and_account_for_each_item(
        ops in prop::collection::vec(op(), 1..4),
        numbers in prop::collection::vec(0..20_u64, 0..40),
        capacity in 1..6_usize,
        rest in 0..3_u64,
    ) {
        let topic = |place: usize| NUMBERS.with_name(format!("t{place}")).capacity(capacity);
        let (read, stats) = run(async {
            let stage = Stage::new();
            for (place, op) in ops.iter().enumerate() {
                let flow = flow(*op, &topic(place), &topic(place + 1));
                stage.choreographer.add_event_flow(flow.named(place.to_string())).unwrap();
            }
            let mut reader = stage.bus.subscribe(&topic(ops.len())).unwrap();
            let publisher = stage.bus.publisher(&topic(0)).unwrap();
            let running = async {
                publish(&publisher, numbers.iter().copied()).await;
                let report = stage.choreographer.shutdown(LONG).await;
                assert!(report.is_complete(), "{report}");
                stage.bus.close();
                report.flows.iter().map(|flow| flow.stats).collect::<Vec<FlowStats>>()
            };
            let reading = async {
                let mut read = Vec::new();
                while let Some(n) = reader.recv().await {
                    read.push(*n);
                    time::sleep(Duration::from_millis(rest)).await;
                }
                read
            };
            let (stats, read) = tokio::join!(running, reading);
            (read, stats)
        });
        let mut expected = numbers;
        let mut came = expected.len() as u64;
        // What comes after a stage that does not keep the order sees another one.
        let mut in_order = true;
        for (op, stats) in ops.iter().zip(&stats) {
            prop_assert_eq!(stats.received, came);
            prop_assert!(stats.is_balanced() && stats.held == 0, "{:?}", stats);
            prop_assert_eq!(stats.dead, stats.failed);
            came = stats.published;
            if in_order {
                expected = model(*op, &expected);
                prop_assert_eq!(stats.published, expected.len() as u64);
            }
            in_order &= !matches!(op, Op::Enrich { ordered: false, .. });
        }
        prop_assert_eq!(read.len() as u64, came);
        let is_unordered = |op: &Op| matches!(op, Op::Enrich { ordered: false, .. });
        match ops.iter().position(is_unordered) {
            None => prop_assert_eq!(read, expected),
            Some(place) if place + 1 == ops.len() => {
                let sorted = |mut numbers: Vec<u64>| { numbers.sort_unstable(); numbers };
                prop_assert_eq!(sorted(read), sorted(expected));
            }
            Some(_) => {}
        }
    }

    #[test]
    fn the_ledger_holds_from_source_to_sink_whatever_the_bus_does(
        seed: u64,
        drop in 0.0..0.5_f64,
        duplicate in 0.0..0.5_f64,
        count in 0..60_u64,
    ) {
        run(async {
            let faults = Faults::seeded(seed)
                .drop(drop)
                .duplicate(duplicate)
                .delay(0.3, ..=Duration::from_millis(5));
            let bus = Arc::new(ByteBus::with_faults(faults));
            let choreographer = EventChoreographer::new(bus.clone()).unwrap();
            let (middle, end) = (NUMBERS.with_name("middle"), NUMBERS.with_name("end"));
            let first = EventFlow::from(&NUMBERS)
                .filter(|n| n % 3 != 0)
                .flat_map(|n| [*n, n + 1])
                .to(&middle)
                .on_failure(OnFailure::Skip)
                .named("first");
            let second = EventFlow::from(&middle)
                .enrich(3, |n| async move {
                    time::sleep(Duration::from_millis(*n % 4)).await;
                    Ok::<_, Failure>(*n)
                })
                .aggregate(Window::tumbling(2), || 0, |sum, n| *sum += n)
                .to(&end)
                .on_failure(OnFailure::Skip)
                .named("second");
            choreographer.add_event_flow(first).unwrap();
            choreographer.add_event_flow(second).unwrap();
            let mut reader = bus.subscribe(&end).unwrap();
            let publisher = bus.publisher(&NUMBERS).unwrap();
            let running = async {
                publish(&publisher, 0..count).await;
                let report = choreographer.shutdown(LONG).await;
                bus.close();
                report
            };
            let reading = async {
                let mut read = 0;
                while reader.recv().await.is_some() {
                    read += 1;
                }
                read
            };
            let (report, read) = tokio::join!(running, reading);
            assert!(report.is_complete(), "{report}");
            let [first, second] = [0, 1].map(|place| report.flows[place].stats);
            for stats in [first, second] {
                assert!(stats.is_balanced() && stats.held == 0, "{stats:?}");
            }
            let faults = bus.faults();
            let sent = count + first.published + second.published;
            let came = first.received + second.received + read;
            assert_eq!(sent + faults.duplicated, came + faults.dropped);
        });
    }

    #[test]
    fn ended_anywhere_a_flow_says_what_it_has_done_and_left(
        count in 0..30_u64,
        wait in 0..20_u64,
        deadline in 0..20_u64,
        rest in 0..4_u64,
    ) {
        run(async {
            let stage = Stage::new();
            let flow = EventFlow::from(&NUMBERS)
                .enrich(2, |n| async move {
                    time::sleep(Duration::from_millis(*n % 4)).await;
                    Ok::<_, Failure>(*n)
                })
                .to(&TENFOLD);
            stage.choreographer.add_event_flow(flow).unwrap();
            let mut reader = stage.bus.subscribe(&TENFOLD).unwrap();
            let publisher = stage.publisher();
            let accepted = || publisher.stats().published;
            let publishing = publish(&publisher, 0..count);
            let ending = async {
                time::sleep(Duration::from_millis(wait)).await;
                stage.choreographer.shutdown(Duration::from_millis(deadline)).await
            };
            let mut read = Vec::new();
            let reading = async {
                while let Some(n) = reader.recv().await {
                    read.push(*n);
                    time::sleep(Duration::from_millis(rest)).await;
                }
            };
            let mut before = 0;
            let report = tokio::select! {
                report = async {
                    let ((), report) = tokio::join!(publishing, async {
                        time::sleep(Duration::from_millis(wait)).await;
                        before = accepted();
                        ending.await
                    });
                    report
                } => report,
                () = reading => unreachable!("nobody closes it"),
            };
            read.extend(ready(&mut reader));
            let flow = &report.flows[0];
            let stats = flow.stats;
            // The rest was published to nobody.
            assert!(stats.is_balanced(), "{stats:?}");
            let seen = stats.received + flow.left - stats.held;
            assert!((before..=accepted()).contains(&seen), "{before} {seen} {flow:?}");
            assert_eq!(read, (0..stats.published).collect::<Vec<_>>());
        });
    }
}
