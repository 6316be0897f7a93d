//! What becomes of events is told at intervals, and never piles up.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{self, ManualClock};
use coord_bus::vocabulary::{STREAM_REPORT, StreamFigures, StreamReport};
use coord_bus::{Bus, BusExt, LocalBus, Publisher, TaskScope, Timestamp, Topic};
use coord_optimize::{
    Batches, EventStreamOptimizer, MAX_PERIOD, MAX_REPORTED, OptimizeError, OptimizeExt, Settings,
};
use tokio_stream::{StreamExt, iter};

use crate::stage::ms;

const LINES: Topic<String> = Topic::new("lines");

/// An optimizer that reports once a second, and a stream that drops repeats.
struct Stage {
    bus: LocalBus,
    scope: TaskScope,
    optimizer: EventStreamOptimizer,
    lines: Publisher<String>,
    batches: Batches<String>,
}

impl Stage {
    fn new() -> Self {
        let bus = LocalBus::new();
        let optimizer = EventStreamOptimizer::new(Arc::new(bus.clone()));
        let settings = Settings::new().drop_repeats();
        optimizer.configure(&LINES, settings).unwrap();
        let scope = TaskScope::new("reports");
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let reporting = optimizer.report_every(ms(1000), Arc::new(clock), &scope);
        reporting.unwrap();
        Self {
            lines: bus.publisher(&LINES).unwrap(),
            batches: optimizer.subscribe(&LINES).unwrap(),
            bus,
            scope,
            optimizer,
        }
    }

    /// Publishes lines, and takes what comes of them.
    async fn pass(&mut self, lines: &[&str]) {
        for line in lines {
            self.lines.publish((*line).to_owned()).await.unwrap();
        }
        self.batches.next().await.unwrap();
    }
}

fn figures(received: u64, given_out: u64, repeated: u64) -> StreamFigures {
    let dropped = (repeated > 0).then(|| ("repeated".to_owned(), repeated));
    StreamFigures {
        stream: "lines".to_owned(),
        received,
        given_out,
        merged: 0,
        dropped: dropped.into_iter().collect(),
        held_before: 0,
        held: 0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_in_each_interval_is_of_what_moved_since_the_one_before() {
    let mut stage = Stage::new();
    let mut reports = stage.bus.subscribe(&STREAM_REPORT).unwrap();
    stage.pass(&["a", "a", "b"]).await;
    let report = |figures: StreamFigures, seconds: u64| StreamReport {
        at: Timestamp::UNIX_EPOCH,
        measured: Duration::from_secs(seconds),
        streams: vec![figures],
        unlisted: 0,
    };
    assert_eq!(*reports.recv().await.unwrap(), report(figures(3, 2, 1), 1));
    // Where nothing moves there is none; the next one is of that time, too.
    time::sleep(ms(3500)).await;
    assert!(reports.try_recv().is_err());
    stage.pass(&["c"]).await;
    assert_eq!(*reports.recv().await.unwrap(), report(figures(1, 1, 0), 4));
}

#[tokio::test(start_paused = true)]
async fn reports_never_pile_up_and_one_that_waited_is_followed_by_one_of_all_the_time_since() {
    let mut stage = Stage::new();
    let mut reports = stage.bus.subscribe(&STREAM_REPORT).unwrap();
    for line in ["a", "b", "c", "d"] {
        stage.pass(&[line]).await;
        time::sleep(ms(1001)).await;
    }
    let first = reports.try_recv().unwrap();
    assert_eq!(first.streams, [figures(1, 1, 0)]);
    assert!(reports.try_recv().is_err());
    let rest = reports.recv().await.unwrap();
    assert_eq!(rest.streams, [figures(3, 3, 0)]);
    assert_eq!(rest.measured, Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_told_before_and_after() {
    let mut stage = Stage::new();
    let mut reports = stage.bus.subscribe(&STREAM_REPORT).unwrap();
    let settings = Settings::new().debounce(ms(1500));
    stage.optimizer.configure(&LINES, settings).unwrap();
    stage.lines.publish("a".to_owned()).await.unwrap();
    stage.batches.next().await.unwrap();
    let mut held = figures(1, 0, 0);
    held.held = 1;
    assert_eq!(reports.recv().await.unwrap().streams, [held]);
    let mut out = figures(0, 1, 0);
    out.held_before = 1;
    assert_eq!(reports.recv().await.unwrap().streams, [out]);
}

#[tokio::test(start_paused = true)]
async fn of_too_many_topics_those_that_received_most_are_told() {
    let stage = Stage::new();
    let mut reports = stage.bus.subscribe(&STREAM_REPORT).unwrap();
    for number in 0..MAX_REPORTED + 10 {
        let topic = LINES.with_name(format!("topic-{number:03}"));
        let publisher = stage.bus.publisher(&topic).unwrap();
        let mut batches = stage.optimizer.subscribe(&topic).unwrap();
        let lines = if number < 10 { 1 } else { 2 };
        for _ in 0..lines {
            publisher.publish(String::new()).await.unwrap();
        }
        batches.next().await.unwrap();
    }
    let report = reports.recv().await.unwrap();
    assert_eq!((report.streams.len(), report.unlisted), (MAX_REPORTED, 10));
    assert_eq!(report.streams[0].stream, "topic-010");
    assert!(report.streams.is_sorted_by_key(|stream| &stream.stream));
}

#[tokio::test(start_paused = true)]
async fn operators_on_any_stream_are_told_of_where_they_are_watched() {
    let stage = Stage::new();
    let mut reports = stage.bus.subscribe(&STREAM_REPORT).unwrap();
    let mut batches = iter([1, 2, 3]).batch(2, ms(10));
    let mut groups = iter([1, 2, 3]).group_by(|number| number % 2);
    batches.next().await.unwrap();
    stage
        .optimizer
        .watch("a", &batches.ledger_handle())
        .unwrap();
    stage.optimizer.watch("b", &groups.ledger_handle()).unwrap();
    let mut odd = groups.next().await.unwrap();
    odd.next().await.unwrap();

    let of = |stream: &str, received, given_out, held| StreamFigures {
        stream: stream.to_owned(),
        held,
        ..figures(received, given_out, 0)
    };
    // What came before is among it.
    let told = reports.recv().await.unwrap().streams.clone();
    let by_now = groups.ledger();
    assert!(by_now.is_balanced() && by_now.received > 0, "{by_now:?}");
    let grouped = of("b", by_now.received, by_now.given_out, by_now.held);
    assert_eq!(told, [of("a", 2, 2, 0), grouped]);

    // Of two of one name the sum is told, also when one is gone.
    drop(batches);
    let mut repeats = iter([7, 7, 7]).distinct_until_changed();
    stage
        .optimizer
        .watch("a", &repeats.ledger_handle())
        .unwrap();
    while repeats.next().await.is_some() {}
    let mut repeated = figures(3, 1, 2);
    repeated.stream = "a".to_owned();
    assert_eq!(reports.recv().await.unwrap().streams, [repeated]);
    let stats = &stage.optimizer.statistics()[0];
    assert_eq!((&*stats.topic, stats.ledger.received), ("a", 5));
}

#[tokio::test(start_paused = true)]
async fn the_handle_of_a_topics_stream_is_of_that_stream_alone() {
    let bus = LocalBus::new();
    let optimizer = EventStreamOptimizer::new(Arc::new(bus.clone()));
    let lines = bus.publisher(&LINES).unwrap();
    let mut early = optimizer.subscribe(&LINES).unwrap();
    lines.publish("a".to_owned()).await.unwrap();
    early.next().await.unwrap();
    let mut late = optimizer.subscribe(&LINES).unwrap();
    let handles = [early.ledger_handle(), late.ledger_handle()];
    assert_eq!(handles[0].ledger(), early.ledger());
    assert_eq!(handles[1].ledger(), late.ledger());
    optimizer.watch("early", &handles[0]).unwrap();
    optimizer.watch("late", &handles[1]).unwrap();
    lines.publish("b".to_owned()).await.unwrap();
    early.next().await.unwrap();
    late.next().await.unwrap();
    assert_eq!(handles[0].ledger(), early.ledger());
    assert_eq!(handles[1].ledger(), late.ledger());
    let stats = optimizer.statistics();
    let counts = stats
        .iter()
        .map(|stream| (&*stream.topic, stream.ledger.received));
    assert!(
        counts.eq([("early", 2), ("late", 1), ("lines", 3)]),
        "{stats:?}"
    );
}

#[tokio::test]
async fn a_stream_is_watched_once_and_under_no_name_of_a_topic() {
    let optimizer = EventStreamOptimizer::new(Arc::new(LocalBus::new()));
    optimizer.configure(&LINES, Settings::new()).unwrap();
    let mut repeats = iter([7, 7]).distinct_until_changed();
    let handle = repeats.ledger_handle();
    let refused = optimizer.watch("lines", &handle).unwrap_err();
    assert!(matches!(refused, OptimizeError::NameTaken { .. }));
    optimizer.watch("repeats", &handle).unwrap();
    let refused = optimizer.watch("again", &handle).unwrap_err();
    assert!(matches!(refused, OptimizeError::Watched { .. }));
    let refused = optimizer
        .subscribe(&LINES.with_name("repeats"))
        .unwrap_err();
    assert!(refused.to_string().contains("`repeats`"), "{refused}");
    // What was refused left nothing behind.
    while repeats.next().await.is_some() {}
    let stats = optimizer.statistics();
    let counts = stats
        .iter()
        .map(|stream| (&*stream.topic, stream.ledger.received));
    assert!(counts.eq([("lines", 0), ("repeats", 2)]), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn reporting_ends_with_its_scope_and_with_the_bus() {
    let stage = Stage::new();
    assert_eq!(stage.scope.running(), ["report streams"]);
    let ended = stage.scope.shutdown(ms(1)).await;
    assert!(ended.aborted.is_empty());

    let mut stage = Stage::new();
    stage.pass(&["a"]).await;
    stage.bus.close();
    time::sleep(ms(1001)).await;
    assert!(stage.scope.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_interval_has_to_be_one() {
    let stage = Stage::new();
    for interval in [Duration::ZERO, MAX_PERIOD + ms(1)] {
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let refused = stage
            .optimizer
            .report_every(interval, clock, &stage.scope)
            .unwrap_err();
        assert!(matches!(refused, OptimizeError::Interval { .. }));
        let message = refused.to_string();
        assert!(message.contains(&format!("{interval:?}")), "{message}");
    }
}

#[test]
fn a_report_reads_as_one_line_of_json() {
    let report = StreamReport {
        at: Timestamp::UNIX_EPOCH,
        measured: Duration::from_millis(1500),
        streams: vec![figures(3, 2, 1)],
        unlisted: 0,
    };
    let json = serde_json::to_string(&report).unwrap();
    let expected = r#"{"at":"1970-01-01T00:00:00Z","measured":1.5,"streams":[{"stream":"lines","received":3,"given_out":2,"merged":0,"dropped":{"repeated":1},"held_before":0,"held":0}],"unlisted":0}"#;
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_str::<StreamReport>(&json).unwrap(), report);
}
