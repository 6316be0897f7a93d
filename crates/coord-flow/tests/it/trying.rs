//! What may fail is tried again, and then goes where the flow says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coord_bus::vocabulary::ERROR_DETECTED;
use coord_bus::{Backoff, BusExt, ByteBus, Envelope, Failure, time};
use coord_flow::{EventChoreographer, EventFlow, FlowState, OnFailure};

use crate::stage::{LONG, NUMBERS, Stage, TENFOLD, WORDS, idle, publish, ready};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
#[error("no such customer")]
struct NoSuchCustomer(#[source] std::num::ParseIntError);

/// Fails for 13, with what caused it.
fn luckily(n: &u64) -> Result<u64, NoSuchCustomer> {
    match n {
        13 => Err(NoSuchCustomer("x".parse::<u64>().unwrap_err())),
        n => Ok(*n),
    }
}

/// One that fails for 13 in its second stage.
fn unlucky() -> EventFlow {
    EventFlow::from(&NUMBERS)
        .filter(|n| *n > 0)
        .try_map(luckily)
        .to(&TENFOLD)
        .named("unlucky")
}

#[tokio::test(start_paused = true)]
async fn what_fails_becomes_a_dead_letter_and_a_fault_with_the_event_the_stage_and_all_causes() {
    let stage = Stage::new();
    let mut letters = stage.bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    let mut faults = stage.bus.subscribe(&NUMBERS.faults()).unwrap();
    let mut errors = stage.bus.subscribe(&ERROR_DETECTED).unwrap();
    let mut copies = stage.bus.subscribe(&TENFOLD).unwrap();
    stage.choreographer.add_event_flow(unlucky()).unwrap();
    let publisher = stage.publisher();
    publish(&publisher, [0, 1]).await;
    let thirteen = Envelope::new(13).id("order-13").correlation_id("batch");
    publisher.publish_with(thirteen).await.unwrap();
    publish(&publisher, [2]).await;
    let report = stage.choreographer.shutdown(LONG).await;
    assert_eq!(ready(&mut copies), [1, 2]);
    let stats = report.flows[0].stats;
    assert_eq!((stats.failed, stats.dead, stats.retried), (1, 1, 0));
    assert!(stats.is_balanced(), "{stats:?}");

    let causes = ["no such customer", "invalid digit found in string"];
    let letter = letters.try_recv().unwrap();
    assert_eq!(letter.meta().causation_id(), Some("order-13"));
    assert_eq!(letter.meta().correlation_id(), Some("batch"));
    let letter = letter.event();
    assert_eq!((*letter.event, letter.event.meta().sequence()), (13, 3));
    assert_eq!(&*letter.handler, "flow unlucky, stage 2 (try_map)");
    assert_eq!(
        (letter.attempts, &letter.error[..]),
        (1, &causes.map(str::to_owned)[..])
    );

    let fault = faults.try_recv().unwrap();
    assert_eq!(fault.meta().causation_id(), Some("order-13"));
    let fault = fault.event();
    assert_eq!(*fault.event, 13);
    assert_eq!(
        (&*fault.flow, &*fault.stage),
        ("unlucky", "stage 2 (try_map)")
    );
    assert_eq!(
        (fault.attempts, &fault.error[..]),
        (1, &causes.map(str::to_owned)[..])
    );

    let error = errors.try_recv().unwrap();
    assert_eq!((&*error.source, &*error.kind), ("flow/unlucky", "failed"));
    assert_eq!(
        error.message,
        "no such customer: invalid digit found in string, in stage 2 (try_map), at order-13"
    );
}

#[tokio::test(start_paused = true)]
async fn over_a_bus_of_bytes_too() {
    let bus = Arc::new(ByteBus::new());
    let choreographer = EventChoreographer::new(bus.clone()).unwrap();
    let mut letters = bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    let mut faults = bus.subscribe(&NUMBERS.faults()).unwrap();
    choreographer.add_event_flow(unlucky()).unwrap();
    publish(&bus.publisher(&NUMBERS).unwrap(), [12, 13]).await;
    let letter = letters.recv().await.unwrap();
    assert_eq!(
        (*letter.event, letter.event.meta().id().as_ref()),
        (13, "numbers#2")
    );
    let fault = faults.recv().await.unwrap();
    assert_eq!(
        (*fault.event, fault.event.meta().id().as_ref()),
        (13, "numbers#2")
    );
    assert_eq!(fault.error.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_behind_what_holds_items_is_of_the_event_that_it_came_from() {
    let stage = Stage::new();
    let mut letters = stage.bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    let flow = EventFlow::from(&NUMBERS)
        .enrich(4, |n| async move {
            time::sleep(Duration::from_millis(*n)).await;
            Ok::<_, Failure>(*n)
        })
        .flat_map(|n| (0..n).map(|k| 1 / (k.abs_diff(1))))
        .to(&TENFOLD)
        .named("fragile");
    stage.choreographer.add_event_flow(flow).unwrap();
    publish(&stage.publisher(), [1, 3, 1, 1]).await;
    let report = stage.choreographer.shutdown(LONG).await;
    let stats = report.flows[0].stats;
    // Of the one with three only the first came out.
    assert_eq!((stats.published, stats.failed, stats.dead), (4, 1, 1));
    assert!(stats.is_balanced() && stats.held == 0, "{stats:?}");
    let letter = letters.try_recv().unwrap();
    assert_eq!(*letter.event, 3);
    assert_eq!(&*letter.handler, "flow fragile, stage 2 (flat_map)");
    assert!(
        letter.error[0].contains("divide by zero"),
        "{:?}",
        letter.error
    );
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_to_stop_does_and_leaves_the_rest() {
    let stage = Stage::new();
    let mut copies = stage.bus.subscribe(&TENFOLD).unwrap();
    let mut faults = stage.bus.subscribe(&NUMBERS.faults()).unwrap();
    let flow = unlucky().on_failure(OnFailure::Stop);
    stage.choreographer.add_event_flow(flow).unwrap();
    publish(&stage.publisher(), [1, 13, 2, 3]).await;
    idle().await;
    let flow = stage.flow();
    assert_eq!((flow.state, flow.left), (FlowState::Failed, 2));
    assert_eq!((flow.stats.failed, flow.stats.dead), (1, 0));
    assert_eq!(ready(&mut copies), [1]);
    assert_eq!(*faults.try_recv().unwrap().event, 13);
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_to_skip_makes_no_dead_letter() {
    let stage = Stage::new();
    let mut copies = stage.bus.subscribe(&TENFOLD).unwrap();
    let mut letters = stage.bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    let flow = unlucky().on_failure(OnFailure::Skip);
    stage.choreographer.add_event_flow(flow).unwrap();
    publish(&stage.publisher(), [1, 13, 2]).await;
    let report = stage.choreographer.shutdown(LONG).await;
    assert_eq!(ready(&mut copies), [1, 2]);
    assert!(ready(&mut letters).is_empty());
    assert_eq!(
        (report.flows[0].stats.failed, report.flows[0].stats.dead),
        (1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn dead_letters_that_nobody_takes_slow_the_flow() {
    let stage = Stage::new();
    let _sleeper = stage.bus.subscribe(&NUMBERS.dead_letters().capacity(2));
    stage.choreographer.add_event_flow(unlucky()).unwrap();
    let publisher = stage.publisher();
    let mut accepted = 0;
    while publisher.try_publish(13).is_ok() {
        accepted += 1;
        idle().await;
    }
    // Two letters, one in hand, four in the source.
    assert_eq!(accepted, 7);
    assert_eq!(stage.flow().stats.dead, 2);
}

#[tokio::test(start_paused = true)]
async fn while_dead_letters_are_full_what_is_waited_for_goes_on() {
    let stage = Stage::new();
    let _sleeper = stage.bus.subscribe(&NUMBERS.dead_letters().capacity(1));
    let arrived = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&arrived);
    let flow = EventFlow::from(&NUMBERS)
        .enrich(4, move |n| {
            let count = Arc::clone(&count);
            async move {
                if *n == 13 {
                    return Err(Failure::message("unlucky"));
                }
                time::sleep(SECOND).await;
                count.fetch_add(1, Ordering::Relaxed);
                Ok(*n)
            }
        })
        .unordered()
        .to(&TENFOLD);
    stage.choreographer.add_event_flow(flow).unwrap();
    publish(&stage.publisher(), [1, 13, 13, 2]).await;
    time::sleep(2 * SECOND).await;
    assert_eq!((stage.flow().stats.failed, stage.flow().stats.dead), (2, 1));
    assert_eq!(arrived.load(Ordering::Relaxed), 2);
}

/// An error that says no more than that.
struct Unspeakable;

impl From<Unspeakable> for Failure {
    fn from(_: Unspeakable) -> Self {
        panic!("no words for it")
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_when_it_is_told_is_a_failure_of_its_stage() {
    let stage = Stage::new();
    let mut letters = stage.bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    let flow = EventFlow::from(&NUMBERS)
        .try_map(|_| Err::<u64, _>(Unspeakable))
        .to(&TENFOLD)
        .named("speechless")
        .retry(3, Backoff::constant(SECOND));
    stage.choreographer.add_event_flow(flow).unwrap();
    publish(&stage.publisher(), [1]).await;
    let letter = letters.recv().await.unwrap();
    assert_eq!((*letter.event, letter.attempts), (1, 3));
    assert_eq!(&*letter.handler, "flow speechless, stage 1 (try_map)");
    assert!(
        letter.error[0].contains("no words for it"),
        "{:?}",
        letter.error
    );
}

/// Fails this often, and then not any more.
fn failing(times: u32) -> (impl Fn() -> Result<(), Failure>, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let call = move || match count.fetch_add(1, Ordering::Relaxed) < times {
        true => Err(Failure::message("not yet")),
        false => Ok(()),
    };
    (call, calls)
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_after_a_while_and_later_events_wait() {
    let stage = Stage::new();
    let mut copies = stage.bus.subscribe(&TENFOLD).unwrap();
    let (call, calls) = failing(2);
    let mut before = 0;
    let flow = EventFlow::from(&NUMBERS)
        .map(move |n| {
            // Not run again.
            before += 1;
            n + 100 * before
        })
        .try_map(move |n| call().map(|()| *n))
        .to(&TENFOLD)
        .retry(3, Backoff::exponential(SECOND));
    stage.choreographer.add_event_flow(flow).unwrap();
    let start = time::Instant::now();
    publish(&stage.publisher(), [1, 2]).await;
    assert_eq!(*copies.recv().await.unwrap(), 101);
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert_eq!(*copies.recv().await.unwrap(), 202);
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    assert_eq!(stage.flow().stats.retried, 2);
}

#[tokio::test(start_paused = true)]
async fn what_fails_too_often_or_for_good_or_panics_has_failed() {
    let stage = Stage::new();
    let mut letters = stage.bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    let flow = EventFlow::from(&NUMBERS)
        .enrich(1, |n| async move {
            match *n {
                1 => Err(Failure::message("again").permanent()),
                2 => panic!("too much"),
                _ => Err(Failure::message("again")),
            }
        })
        .map(|()| 0)
        .to(&TENFOLD)
        .retry(3, Backoff::constant(SECOND));
    stage.choreographer.add_event_flow(flow).unwrap();
    publish(&stage.publisher(), [1, 2, 3]).await;
    let start = time::Instant::now();
    for (n, attempts, waited) in [(1, 1, 0), (2, 3, 2), (3, 3, 4)] {
        let letter = letters.recv().await.unwrap();
        assert_eq!((*letter.event, letter.attempts), (n, attempts));
        assert_eq!(start.elapsed(), waited * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_is_one_of_them_and_none_at_all_counts_as_it() {
    for max_attempts in [0, 1] {
        let stage = Stage::new();
        let (call, calls) = failing(1);
        let flow = EventFlow::from(&NUMBERS)
            .try_map(move |n| call().map(|()| *n))
            .to(&TENFOLD)
            .retry(max_attempts, Backoff::constant(SECOND));
        stage.choreographer.add_event_flow(flow).unwrap();
        publish(&stage.publisher(), [1]).await;
        time::sleep(LONG).await;
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let stats = stage.flow().stats;
        assert_eq!((stats.failed, stats.retried), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_future_publishes_says_what_caused_it_and_waits_for_room() {
    let stage = Stage::new();
    let mut words = stage.bus.subscribe(&WORDS).unwrap();
    let publisher = stage.bus.publisher(&WORDS).unwrap();
    let flow = EventFlow::from(&NUMBERS)
        .enrich(1, move |n| {
            let publisher = publisher.clone();
            async move {
                publisher.publish(n.to_string()).await?;
                Ok::<_, Failure>(*n)
            }
        })
        .to(&TENFOLD);
    stage.choreographer.add_event_flow(flow).unwrap();
    for n in 1..=5 {
        publish(&stage.publisher(), [n]).await;
    }
    idle().await;
    let word = words.try_recv().unwrap();
    assert_eq!(
        (&**word, word.meta().causation_id()),
        ("1", Some("numbers#1"))
    );
    // The fifth found no room until then.
    assert_eq!(stage.flow().stats.published, 4);
    idle().await;
    assert_eq!(
        (stage.flow().stats.published, stage.flow().stats.failed),
        (5, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_says_when_is_tried_again_then_whatever_the_backoff() {
    for waits in [false, true] {
        let stage = Stage::new();
        let mut letters = stage.bus.subscribe(&NUMBERS.dead_letters()).unwrap();
        let busy = || Failure::message("too many requests").retry_after(30 * SECOND);
        let flow = EventFlow::from(&NUMBERS);
        let retry = |flow: EventFlow| flow.retry(2, Backoff::constant(SECOND));
        stage
            .choreographer
            .add_event_flow(match waits {
                false => retry(flow.try_map(move |_| Err::<u64, _>(busy())).to(&TENFOLD)),
                true => retry(
                    flow.enrich(1, move |_| async move { Err::<u64, _>(busy()) })
                        .to(&TENFOLD),
                ),
            })
            .unwrap();
        let start = time::Instant::now();
        publish(&stage.publisher(), [1]).await;
        assert_eq!(letters.recv().await.unwrap().attempts, 2);
        assert_eq!(start.elapsed(), 30 * SECOND);
    }
}
