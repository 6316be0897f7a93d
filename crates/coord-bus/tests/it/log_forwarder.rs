//! Log events as events of `tracing`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use coord_bus::vocabulary::{LOG_EVENTS, LogEvent, LogLevel};
use coord_bus::{Bus, BusExt, ByteBus, LocalBus, LogForwarder, Timestamp};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

/// What arrived at `tracing`, with each field as text.
#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<Vec<Line>>>);

type Line = (Level, String, BTreeMap<&'static str, String>);

impl Seen {
    /// What this thread's `tracing` gets from now on.
    fn begin() -> (Self, DefaultGuard) {
        let seen = Self::default();
        let guard = tracing::subscriber::set_default(seen.clone());
        (seen, guard)
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().expect("nobody panicked")
    }

    fn fields(&self, name: &str) -> Vec<String> {
        let lines = self.lines();
        let fields = lines.iter().filter_map(|(.., fields)| fields.get(name));
        fields.cloned().collect()
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Seen {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();
        let seen = (*meta.level(), meta.target().to_owned(), fields.0);
        self.lines().push(seen);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn entry(level: LogLevel, message: impl Into<String>) -> LogEvent {
    LogEvent {
        at: Timestamp::UNIX_EPOCH,
        level,
        source: "build".to_owned(),
        message: message.into(),
    }
}

fn numbered(number: u32) -> LogEvent {
    entry(LogLevel::Info, number.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_log_event_becomes_one_of_its_level_with_source_and_message() {
    let (seen, _guard) = Seen::begin();
    let bus = LocalBus::new();
    let _forwarder = LogForwarder::start(&bus).unwrap();
    let publisher = bus.publisher(&LOG_EVENTS).unwrap();
    let levels = [
        (LogLevel::Trace, Level::TRACE),
        (LogLevel::Debug, Level::DEBUG),
        (LogLevel::Info, Level::INFO),
        (LogLevel::Warn, Level::WARN),
        (LogLevel::Error, Level::ERROR),
    ];
    for (level, _) in levels {
        publisher.publish(entry(level, "größe {}")).await.unwrap();
    }
    assert!(
        bus.drain(std::time::Duration::from_secs(1))
            .await
            .is_complete()
    );
    let fields = BTreeMap::from([
        ("message", "größe {}".to_owned()),
        ("source", "build".to_owned()),
    ]);
    let expected = levels.map(|(_, level)| (level, "coord::log_events".to_owned(), fields.clone()));
    assert_eq!(*seen.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn control_characters_arrive_as_text() {
    let (seen, _guard) = Seen::begin();
    let bus = LocalBus::new();
    let forwarder = LogForwarder::start(&bus).unwrap();
    let publisher = bus.publisher(&LOG_EVENTS).unwrap();
    let hostile = LogEvent {
        source: "a\x1b]0;b\x07".to_owned(),
        ..entry(
            LogLevel::Info,
            "\x1b[2Jgone\r\nERROR forged\t\u{9b}31mred\x7f\u{202e}",
        )
    };
    publisher.publish(hostile).await.unwrap();
    drop(forwarder);
    let message = r"\u{1b}[2Jgone\r\nERROR forged\t\u{9b}31mred\u{7f}\u{202e}";
    assert_eq!(seen.fields("message"), [message]);
    assert_eq!(seen.fields("source"), [r"a\u{1b}]0;b\u{7}"]);
}

#[tokio::test(start_paused = true)]
async fn dropped_at_once_it_still_forwards_what_was_published_before_and_nothing_after() {
    let (seen, _guard) = Seen::begin();
    let bus = LocalBus::new();
    let forwarder = LogForwarder::start(&bus).unwrap();
    let publisher = bus.publisher(&LOG_EVENTS).unwrap();
    for number in 0..1000 {
        publisher.try_publish(numbered(number)).unwrap();
    }
    // Its task has never run.
    drop(forwarder);
    let expected: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(seen.fields("message"), expected);
    publisher.publish(numbered(1000)).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(seen.fields("message").len(), 1000);
    assert!(!publisher.is_heard());
}

#[tokio::test(start_paused = true)]
async fn dropped_in_the_middle_it_forwards_each_event_once() {
    let (seen, _guard) = Seen::begin();
    let bus = LocalBus::new();
    let forwarder = LogForwarder::start(&bus).unwrap();
    let publisher = bus.publisher(&LOG_EVENTS).unwrap();
    for number in 0..500 {
        publisher.publish(numbered(number)).await.unwrap();
        if number % 100 == 50 {
            tokio::task::yield_now().await;
        }
    }
    assert!(!seen.fields("message").is_empty());
    drop(forwarder);
    let expected: Vec<_> = (0..500).map(|number| number.to_string()).collect();
    assert_eq!(seen.fields("message"), expected);
}

#[tokio::test(start_paused = true)]
async fn it_holds_nobody_up_and_tells_of_what_it_lost() {
    let (seen, _guard) = Seen::begin();
    let bus = LocalBus::new();
    let forwarder = LogForwarder::start(&bus).unwrap();
    let publisher = bus.publisher(&LOG_EVENTS).unwrap();
    for number in 0..5000 {
        publisher.try_publish(numbered(number)).unwrap();
    }
    drop(forwarder);
    let lost: u64 = seen.fields("lost")[0].parse().unwrap();
    let messages = seen.fields("message");
    assert!(messages[0].contains("lost"), "{}", messages[0]);
    assert!(seen.lines()[0].0 == Level::WARN);
    assert_eq!(messages.len() as u64 - 1 + lost, 5000);
    assert_eq!(messages[1], lost.to_string());
    assert_eq!(messages.last().unwrap(), "4999");
}

#[tokio::test(start_paused = true)]
async fn it_works_on_a_bus_that_carries_bytes_too() {
    let (seen, _guard) = Seen::begin();
    let bus = ByteBus::new();
    let bus: &dyn Bus = &bus;
    let forwarder = LogForwarder::start(bus).unwrap();
    let publisher = bus.publisher(&LOG_EVENTS).unwrap();
    publisher.publish(numbered(7)).await.unwrap();
    drop(forwarder);
    assert_eq!(seen.fields("message"), ["7"]);
}
