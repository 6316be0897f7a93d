//! A sink that is full slows its flow, and a flow that is slow its source.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use coord_bus::{BusExt, ByteBus, LocalBus, Topic};
use coord_flow::{EventChoreographer, EventFlow, Window};
use tokio::task::yield_now;

use crate::stage::{NUMBERS, Stage, TENFOLD, idle, publish, ready};

/// Publishes until nothing has been accepted for a while; how much was accepted.
async fn fill(publisher: &coord_bus::Publisher<u64>) -> u64 {
    let mut accepted = 0;
    loop {
        while publisher.try_publish(accepted).is_ok() {
            accepted += 1;
        }
        idle().await;
        if publisher.try_publish(accepted).is_err() {
            return accepted;
        }
        accepted += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_nobody_reads_stops_the_source_at_its_capacity() {
    let stage = Stage::new();
    let flow = EventFlow::from(&NUMBERS).map(|n| n * 10).to(&TENFOLD);
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut sleeper = stage.bus.subscribe(&TENFOLD).unwrap();
    // Four in the sink, one in hand, four in the source.
    assert_eq!(fill(&stage.publisher()).await, 9);
    let flow = stage.flow();
    assert_eq!(
        (flow.stats.received, flow.stats.published, flow.left),
        (5, 4, 5)
    );
    // It goes on where it was.
    for n in 0..9 {
        assert_eq!(*sleeper.recv().await.unwrap(), n * 10);
    }
    idle().await;
    assert_eq!((stage.flow().stats.published, stage.flow().left), (9, 0));
}

#[tokio::test(start_paused = true)]
async fn over_a_bus_of_bytes_a_sink_that_nobody_reads_stops_the_source_too() {
    let bus = Arc::new(ByteBus::new());
    let choreographer = EventChoreographer::new(bus.clone()).unwrap();
    choreographer
        .add_event_flow(EventFlow::from(&NUMBERS).to(&TENFOLD))
        .unwrap();
    let mut sleeper = bus.subscribe(&TENFOLD).unwrap();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    let accepted = fill(&publisher).await;
    // As without it, and up to four on each of the ways.
    assert!((9..=17).contains(&accepted), "{accepted}");
    for n in 0..accepted {
        assert_eq!(*sleeper.recv().await.unwrap(), n);
    }
}

static ALIVE: AtomicI64 = AtomicI64::new(0);

/// Counts itself.
struct Counted;

impl Counted {
    fn new() -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn however_much_goes_through_little_is_kept() {
    const IN: Topic<Counted> = Topic::in_process("in").capacity(8);
    const OUT: Topic<Counted> = Topic::in_process("out").capacity(8);
    let bus = Arc::new(LocalBus::new());
    let choreographer = EventChoreographer::new(bus.clone()).unwrap();
    let flow = EventFlow::from(&IN).map(|_| Counted::new()).to(&OUT);
    choreographer.add_event_flow(flow).unwrap();
    let mut reader = bus.subscribe(&OUT).unwrap();
    let publisher = bus.publisher(&IN).unwrap();
    let mut most = 0;
    let publishing = async {
        for _ in 0..10_000 {
            publisher.publish(Counted::new()).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..10_000 {
            reader.recv().await.unwrap();
            most = most.max(ALIVE.load(Ordering::Relaxed));
        }
    };
    tokio::join!(publishing, reading);
    // What waits, and the chunks that publisher, flow and reader have in their hands.
    assert!((1..=4 * 8).contains(&most), "{most}");
}

#[tokio::test(start_paused = true)]
async fn a_sink_without_subscribers_slows_nobody() {
    let stage = Stage::new();
    stage
        .choreographer
        .add_event_flow(EventFlow::from(&NUMBERS).to(&TENFOLD))
        .unwrap();
    publish(&stage.publisher(), 0..1000).await;
    idle().await;
    assert_eq!(stage.flow().stats.published, 1000);
    assert!(ready(&mut stage.bus.subscribe(&TENFOLD).unwrap()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_makes_much_of_one_event_and_lets_little_out_lets_others_run() {
    const MANY: u64 = 1_000_000;
    for is_window in [false, true] {
        let stage = Stage::new();
        let made = Arc::new(AtomicI64::new(0));
        let count = Arc::clone(&made);
        let many = EventFlow::from(&NUMBERS).flat_map(move |_| {
            let count = Arc::clone(&count);
            (0..MANY).inspect(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
            })
        });
        let flow = match is_window {
            true => many
                .aggregate(Window::tumbling(MANY), || 0, |sum, _| *sum += 1)
                .to(&TENFOLD),
            false => many.filter(|n| *n == MANY - 1).to(&TENFOLD),
        };
        stage.choreographer.add_event_flow(flow).unwrap();
        publish(&stage.publisher(), [1]).await;
        yield_now().await;
        let so_far = made.load(Ordering::Relaxed);
        assert!((1..MANY as i64).contains(&so_far), "{so_far}");
        idle().await;
        assert_eq!(stage.flow().stats.published, 1);
    }
}
