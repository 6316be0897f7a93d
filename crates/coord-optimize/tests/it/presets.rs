//! What a topic's settings make of its events, and the presets.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::vocabulary::{ERROR_DETECTED, OutputStream, PROCESS_OUTPUT, ProcessOutput};
use coord_bus::{Bus, BusExt, ByteBus, Envelope, LocalBus, Publisher, TaskScope, Timestamp, Topic};
use coord_optimize::{Batches, EventStreamOptimizer, OptimizeError, Settings, per_second};
use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer, ser};
use tokio_stream::StreamExt;

use crate::stage::{cases, gaps, ms, run};

const COMMANDS: Topic<String> = Topic::new("commands").capacity(1024);
const DONE: Topic<String> = Topic::new("done").capacity(4);

fn stage() -> (Arc<LocalBus>, EventStreamOptimizer, Publisher<String>) {
    let bus = Arc::new(LocalBus::new());
    let publisher = bus.publisher(&COMMANDS).unwrap();
    let optimizer = EventStreamOptimizer::new(bus.clone());
    (bus, optimizer, publisher)
}

async fn publish(publisher: &Publisher<String>, texts: &[&str]) {
    for text in texts {
        publisher.publish((*text).to_owned()).await.unwrap();
    }
}

async fn next(batches: &mut Batches<String>) -> Vec<String> {
    let batch = batches.next().await.unwrap_or_default();
    batch.iter().map(|event| event.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_processes_print_comes_by_the_hundred_or_every_100_ms() {
    let bus = Arc::new(LocalBus::new());
    let publisher = bus.publisher(&PROCESS_OUTPUT).unwrap();
    let optimizer = EventStreamOptimizer::new(bus.clone());
    optimizer
        .configure(&PROCESS_OUTPUT, Settings::process_output())
        .unwrap();
    let mut batches = optimizer.subscribe(&PROCESS_OUTPUT).unwrap();
    for number in 0..130 {
        let line = ProcessOutput {
            process: "build".to_owned(),
            pid: 1,
            attempt: 1,
            stream: OutputStream::Stdout,
            line: number.to_string(),
            continues: false,
        };
        publisher.publish(line).await.unwrap();
    }
    let begin = Instant::now();
    assert_eq!(batches.next().await.unwrap().len(), 100);
    assert_eq!(begin.elapsed(), ms(0));
    assert_eq!(batches.next().await.unwrap().len(), 30);
    assert_eq!(begin.elapsed(), ms(100));
}

#[tokio::test(start_paused = true)]
async fn a_command_comes_after_50_ms_of_silence_and_not_twice_in_a_row() {
    let (bus, optimizer, publisher) = stage();
    optimizer.configure(&COMMANDS, Settings::cli()).unwrap();
    let mut batches = optimizer.subscribe(&COMMANDS).unwrap();
    let begin = Instant::now();
    publish(&publisher, &["b", "bu", "build"]).await;
    assert_eq!(next(&mut batches).await, ["build"]);
    assert_eq!(begin.elapsed(), ms(50));
    publish(&publisher, &["test", "build"]).await;
    assert!(time::timeout(ms(1000), batches.next()).await.is_err());
    publish(&publisher, &["test"]).await;
    bus.close();
    // The end of the topic is silence enough.
    let begin = Instant::now();
    assert_eq!(next(&mut batches).await, ["test"]);
    assert_eq!(begin.elapsed(), ms(0));
    assert!(batches.next().await.is_none());
    let ledger = batches.ledger();
    assert!(ledger.is_balanced());
    assert_eq!((ledger.dropped.superseded, ledger.dropped.repeated), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn what_had_its_silence_before_the_next_came_comes_also_to_who_is_late() {
    let (_bus, optimizer, publisher) = stage();
    let silence = Settings::new().debounce(ms(50));
    optimizer.configure(&COMMANDS, silence).unwrap();
    let mut batches = optimizer.subscribe(&COMMANDS).unwrap();
    publish(&publisher, &["a"]).await;
    assert!(time::timeout(ms(1), batches.next()).await.is_err());
    // In the moment in which the silence ends, it is not over.
    time::sleep(ms(49)).await;
    publish(&publisher, &["b"]).await;
    assert!(time::timeout(ms(0), batches.next()).await.is_err());
    time::sleep(ms(51)).await;
    publish(&publisher, &["c", "d"]).await;
    let begin = Instant::now();
    assert_eq!(next(&mut batches).await, ["b"]);
    assert_eq!(begin.elapsed(), ms(0));
    assert_eq!(next(&mut batches).await, ["d"]);
    assert_eq!(begin.elapsed(), ms(50));
    assert_eq!(batches.ledger().dropped.superseded, 2);
    // Also where a full batch waits for its turn.
    let paced = Settings::new().debounce(ms(5)).buffer_size(1);
    let paced = paced.rate_limit(per_second(10));
    optimizer.configure(&COMMANDS, paced).unwrap();
    publish(&publisher, &["e"]).await;
    assert_eq!(next(&mut batches).await, ["e"]);
    for text in ["f", "g", "h"] {
        publish(&publisher, &[text]).await;
        assert!(time::timeout(ms(1), batches.next()).await.is_err());
        time::sleep(ms(9)).await;
    }
    let mut rest = Vec::new();
    for _ in 0..3 {
        rest.extend(next(&mut batches).await);
    }
    assert_eq!(rest, ["f", "g", "h"]);
}

#[tokio::test(start_paused = true)]
async fn a_screen_gets_the_newest_of_each_component_every_16_ms() {
    let (_bus, optimizer, publisher) = stage();
    let settings = Settings::<String>::ui(|text| text.split('=').next().unwrap_or_default());
    optimizer.configure(&COMMANDS, settings).unwrap();
    let mut batches = optimizer.subscribe(&COMMANDS).unwrap();
    let begin = Instant::now();
    publish(&publisher, &["bar=1", "clock=1", "bar=2", "bar=3"]).await;
    assert_eq!(next(&mut batches).await, ["bar=3", "clock=1"]);
    assert_eq!(begin.elapsed(), ms(16));
    // Ten components wait for their turn at most.
    let many: Vec<_> = (0..10).map(|number| number.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    publish(&publisher, &many).await;
    assert_eq!(next(&mut batches).await, many);
    assert_eq!(begin.elapsed(), ms(32));
    time::sleep(ms(16)).await;
    publish(&publisher, &many).await;
    assert_eq!(next(&mut batches).await, many);
    assert_eq!(begin.elapsed(), ms(48));
    assert_eq!(optimizer.statistics()[0].ledger.merged, 2);
}

#[tokio::test(start_paused = true)]
async fn a_screen_of_many_components_gets_at_most_63_batches_a_second_and_holds_nobody_up() {
    const PROCESSES: usize = 20;
    const A_MILLISECOND: usize = 200;
    const MILLISECONDS: usize = 1000;
    let (bus, optimizer, publisher) = stage();
    let settings = Settings::<String>::ui(|text| text.split('=').next().unwrap_or_default());
    optimizer.configure(&COMMANDS, settings).unwrap();
    let mut batches = optimizer.subscribe(&COMMANDS).unwrap();
    let begin = Instant::now();
    let publishing = async {
        for piece in 0..MILLISECONDS {
            for line in piece * A_MILLISECOND..(piece + 1) * A_MILLISECOND {
                let text = format!("{}={line}", line % PROCESSES);
                publisher.publish(text).await.unwrap();
            }
            assert_eq!(begin.elapsed(), ms(piece as u64), "a publisher waited");
            time::sleep(ms(1)).await;
        }
        // That the last state comes in time is not for the end of the topic.
        time::sleep(ms(1000)).await;
        bus.close();
    };
    let reading = async {
        let mut seen = Vec::new();
        while let Some(batch) = batches.next().await {
            assert!(batch.len() <= PROCESSES, "{}", batch.len());
            seen.push((begin.elapsed(), batch));
        }
        seen
    };
    let (seen, ()) = tokio::join!(reading, publishing);
    let in_time = seen.iter().filter(|(at, _)| *at < ms(MILLISECONDS as u64));
    let in_time = in_time.count();
    assert!((60..=63).contains(&in_time), "{in_time}");
    let (at, last) = seen.last().unwrap();
    assert!(*at <= ms(MILLISECONDS as u64 - 1 + 20), "{at:?}");
    let lines = A_MILLISECOND * MILLISECONDS;
    let newest: BTreeSet<_> = last.iter().map(|text| text.to_string()).collect();
    let expected = (lines - PROCESSES..lines).map(|line| format!("{}={line}", line % PROCESSES));
    assert_eq!(newest, expected.collect());
}

#[tokio::test(start_paused = true)]
async fn enough_events_wait_for_their_turn_alone_and_take_more_meanwhile() {
    let (bus, optimizer, publisher) = stage();
    let settings = Settings::new().enough(2).within(ms(50)).buffer_size(4);
    let settings = settings.rate_limit(per_second(10));
    optimizer.configure(&COMMANDS, settings).unwrap();
    let mut batches = optimizer.subscribe(&COMMANDS).unwrap();
    let begin = Instant::now();
    publish(&publisher, &["a", "b"]).await;
    assert_eq!(next(&mut batches).await, ["a", "b"]);
    assert_eq!(begin.elapsed(), ms(0));
    publish(&publisher, &["c", "d", "e", "f", "g"]).await;
    assert_eq!(next(&mut batches).await, ["c", "d", "e", "f"]);
    assert_eq!(begin.elapsed(), ms(100));
    time::sleep(ms(200)).await;
    let begin = Instant::now();
    assert_eq!(next(&mut batches).await, ["g"]);
    assert_eq!(begin.elapsed(), ms(50));
    bus.close();
}

#[tokio::test(start_paused = true)]
async fn one_setting_changes_and_the_others_stay_and_can_be_read() {
    let (_bus, optimizer, publisher) = stage();
    optimizer.configure(&COMMANDS, Settings::cli()).unwrap();
    let mut batches = optimizer.subscribe(&COMMANDS).unwrap();
    let change = |settings: Settings<String>| settings.debounce(None).within(ms(7));
    optimizer.update(&COMMANDS, change).unwrap();
    let begin = Instant::now();
    publish(&publisher, &["a", "a", "b"]).await;
    assert_eq!(next(&mut batches).await, ["a", "b"]);
    assert_eq!(begin.elapsed(), ms(7));
    // What is refused changes nothing.
    let refused = optimizer.update(&COMMANDS, |settings| settings.within(ms(9)).enough(0));
    let refused = refused.unwrap_err();
    assert!(matches!(refused, OptimizeError::Enough { .. }), "{refused}");
    let before = optimizer.settings(&COMMANDS).unwrap();
    let shown = format!("{before:?}");
    assert!(shown.contains("within: 7ms"), "{shown}");
    assert!(shown.contains("drop_repeats: true"), "{shown}");
    optimizer.configure(&COMMANDS, Settings::new()).unwrap();
    optimizer.configure(&COMMANDS, before).unwrap();
    publish(&publisher, &["c", "c"]).await;
    assert_eq!(next(&mut batches).await, ["c"]);
    let other = Topic::<u8>::new("commands");
    let error = optimizer.settings(&other).unwrap_err();
    assert!(matches!(error, OptimizeError::EventType { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_as_the_settings_say_by_then_and_not_as_one_before_did() {
    let (_bus, optimizer, publisher) = stage();
    let slow = Settings::new().buffer_size(2).within(ms(60_000));
    optimizer.configure(&COMMANDS, slow).unwrap();
    let mut batches = optimizer.subscribe(&COMMANDS).unwrap();
    publish(&publisher, &["a", "b"]).await;
    assert_eq!(next(&mut batches).await, ["a", "b"]);
    optimizer.configure(&COMMANDS, Settings::new()).unwrap();
    let begin = Instant::now();
    publish(&publisher, &["c"]).await;
    assert_eq!(next(&mut batches).await, ["c"]);
    assert_eq!(begin.elapsed(), ms(0));
}

/// A word that may be one that cannot be sent, or not be cloned.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Word(#[serde(serialize_with = "unless_secret")] String);

impl Clone for Word {
    fn clone(&self) -> Self {
        assert_ne!(self.0, "unique");
        Self(self.0.clone())
    }
}

fn unless_secret<S: Serializer>(word: &str, serializer: S) -> Result<S::Ok, S::Error> {
    // On its way to the first topic it has a mark more.
    match word {
        "secret" => Err(ser::Error::custom("not for others")),
        word => serializer.serialize_str(word.trim_end_matches('!')),
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_sent_is_told_and_the_next_one_goes_on() {
    const SAID: Topic<Word> = Topic::new("said");
    const HEARD: Topic<Word> = Topic::new("heard");
    let bus = Arc::new(ByteBus::new());
    let optimizer = EventStreamOptimizer::new(bus.clone());
    let scope = TaskScope::new("optimizer");
    optimizer.optimize_into(&SAID, &HEARD, &scope).unwrap();
    let mut heard = bus.subscribe(&HEARD).unwrap();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let publisher = bus.publisher(&SAID).unwrap();
    for word in ["one", "secret!", "two", "unique", "three"] {
        publisher.publish(Word(word.to_owned())).await.unwrap();
    }
    for word in ["one", "two", "three"] {
        assert_eq!(heard.recv().await.unwrap().0, word);
    }
    for (id, reason) in [("said#2", "not for others"), ("said#4", "it panicked")] {
        let error = errors.recv().await.unwrap();
        assert_eq!(
            (&*error.source, &*error.kind),
            ("optimize said into heard", "unpublished")
        );
        let message = &error.message;
        assert!(message.starts_with(&format!("{id} did not get there: ")));
        assert!(message.contains(reason), "{message}");
    }
    let report = scope.shutdown(ms(1000)).await;
    assert_eq!((report.aborted.len(), report.panicked), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_said_of_an_event_goes_on_with_it() {
    let (bus, optimizer, publisher) = stage();
    let scope = TaskScope::new("optimizer");
    optimizer.optimize_into(&COMMANDS, &DONE, &scope).unwrap();
    let mut done = bus.subscribe(&DONE).unwrap();
    let event = Envelope::new("build".to_owned())
        .id("b-1")
        .time(Timestamp::UNIX_EPOCH)
        .source("keyboard")
        .correlation_id("release-7")
        .header("trace", "t-9");
    publisher.publish_with(event).await.unwrap();
    publish(&publisher, &["test"]).await;
    let build = done.recv().await.unwrap();
    let meta = build.meta();
    assert_eq!(
        (meta.causation_id(), meta.correlation_id()),
        (Some("b-1"), Some("release-7"))
    );
    assert_eq!(
        (meta.time(), meta.source()),
        (Some(Timestamp::UNIX_EPOCH), Some("keyboard"))
    );
    assert_eq!((meta.header("trace"), &*meta.id()), (Some("t-9"), "done#1"));
    assert!(done.recv().await.unwrap().meta().details().is_none());
}

#[tokio::test(start_paused = true)]
async fn topics_cannot_be_optimized_into_each_other_in_a_ring() {
    let (_bus, optimizer, _) = stage();
    let scope = TaskScope::new("optimizer");
    let [a, b, c] = ["a", "b", "c"].map(|name| COMMANDS.with_name(name));
    optimizer.optimize_into(&a, &b, &scope).unwrap();
    // A clone knows of it; two of the same are no ring, nor are two ways.
    let same = optimizer.clone();
    same.optimize_into(&b, &c, &scope).unwrap();
    same.optimize_into(&a, &b, &scope).unwrap();
    optimizer.optimize_into(&a, &c, &scope).unwrap();
    let error = optimizer.optimize_into(&b, &a, &scope).unwrap_err();
    assert!(error.to_string().contains("by b → a → b;"), "{error}");
    let error = optimizer.optimize_into(&c, &a, &scope).unwrap_err();
    assert!(error.to_string().contains("by c → a → c;"), "{error}");
    let error = optimizer.optimize_into(&a, &a, &scope).unwrap_err();
    assert!(error.to_string().contains("by a → a;"), "{error}");
    assert_eq!(scope.running().len(), 4);
    let apart = TaskScope::new("apart");
    let d = COMMANDS.with_name("d");
    optimizer.optimize_into(&c, &d, &apart).unwrap();
    let error = optimizer.optimize_into(&d, &a, &scope).unwrap_err();
    assert!(error.to_string().contains("by d → a → c → d;"), "{error}");
    // It is one only for as long as its tasks run.
    apart.shutdown(ms(0)).await;
    optimizer.optimize_into(&d, &a, &scope).unwrap();
}

#[tokio::test(start_paused = true)]
async fn optimizing_that_is_cut_off_at_any_time_has_published_the_first_of_them_in_order() {
    const EVENTS: usize = 24;
    for cut in 0..=EVENTS as u64 + 2 {
        let (bus, optimizer, publisher) = stage();
        optimizer.configure_buffer_size(&COMMANDS, 5).unwrap();
        let scope = TaskScope::new("optimizer");
        let mut done = bus.subscribe(&DONE).unwrap();
        optimizer.optimize_into(&COMMANDS, &DONE, &scope).unwrap();
        let texts: Vec<_> = (0..EVENTS).map(|number| number.to_string()).collect();
        let all: Vec<_> = texts.iter().map(String::as_str).collect();
        publish(&publisher, &all).await;
        // One is read each millisecond, and four have room.
        let reading = async {
            let mut read = Vec::new();
            for _ in 0..cut {
                read.push(done.recv().await.unwrap().event().clone());
                time::sleep(ms(1)).await;
                if read.len() == EVENTS {
                    break;
                }
            }
            read
        };
        let (mut read, report) = tokio::join!(reading, scope.shutdown(ms(cut)));
        while let Ok(event) = done.try_recv() {
            read.push(event.event().clone());
        }
        assert_eq!(read, texts[..read.len()], "{cut}");
        assert!(read.len() >= EVENTS.min(cut as usize), "{cut}: {read:?}");
        assert_eq!(
            report.aborted.is_empty(),
            read.len() == EVENTS,
            "{cut}: {read:?}"
        );
        let ledger = optimizer.statistics()[0].ledger;
        assert!(
            ledger.is_balanced() && ledger.held == 0,
            "{cut}: {ledger:?}"
        );
        assert!(ledger.received >= read.len() as u64, "{cut}: {ledger:?}");
        // It holds nobody up, and is no part of a ring.
        let more: Vec<_> = all.iter().cycle().take(2000).copied().collect();
        publish(&publisher, &more).await;
        let back = TaskScope::new("back");
        optimizer.optimize_into(&DONE, &COMMANDS, &back).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_irrelevant_or_too_old_is_dropped() {
    let (_bus, optimizer, publisher) = stage();
    let settings = Settings::<String>::new()
        .relevant(|text| !text.starts_with('#'))
        .max_age(Duration::from_secs(5), |text| {
            Duration::from_secs(text.len() as u64)
        });
    optimizer.configure(&COMMANDS, settings).unwrap();
    let mut batches = optimizer.subscribe(&COMMANDS).unwrap();
    publish(&publisher, &["#", "young", "too old", "new"]).await;
    assert_eq!(next(&mut batches).await, ["young", "new"]);
    let dropped = batches.ledger().dropped;
    assert_eq!((dropped.irrelevant, dropped.expired), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn settings_change_while_a_stream_runs_and_what_it_holds_stays() {
    let (_bus, optimizer, publisher) = stage();
    let mut batches = optimizer.subscribe(&COMMANDS).unwrap();
    let silence = Settings::new().debounce(Duration::from_secs(60));
    optimizer.configure(&COMMANDS, silence).unwrap();
    publish(&publisher, &["a", "b"]).await;
    assert!(time::timeout(ms(1), batches.next()).await.is_err());
    optimizer.configure(&COMMANDS, Settings::new()).unwrap();
    publish(&publisher, &["c"]).await;
    assert_eq!(next(&mut batches).await, ["b", "c"]);
    assert!(batches.ledger().is_balanced());
}

#[tokio::test(start_paused = true)]
async fn one_topic_is_optimized_into_another() {
    let (bus, optimizer, publisher) = stage();
    optimizer
        .configure(&COMMANDS, Settings::new().drop_repeats())
        .unwrap();
    let scope = TaskScope::new("optimizer");
    let mut done = bus.subscribe(&DONE).unwrap();
    optimizer.optimize_into(&COMMANDS, &DONE, &scope).unwrap();
    assert_eq!(scope.running(), ["optimize commands into done"]);
    // More than the other topic has room for.
    let texts = ["a", "a", "b", "c", "d", "e", "f", "g", "g"];
    publish(&publisher, &texts).await;
    let reading = async {
        let mut read = Vec::new();
        while read.len() < 7 {
            read.push(done.recv().await.unwrap().event().clone());
        }
        read
    };
    let stopping = scope.shutdown(Duration::from_secs(5));
    let (read, report) = tokio::join!(reading, stopping);
    // Shut down, it has published first what was there.
    assert_eq!(read, ["a", "b", "c", "d", "e", "f", "g"]);
    assert!(report.aborted.is_empty(), "{report}");
    assert!(optimizer.statistics()[0].ledger.is_balanced());
}

#[tokio::test(start_paused = true)]
async fn optimizing_ends_with_either_topic() {
    let (bus, optimizer, publisher) = stage();
    let scope = TaskScope::new("optimizer");
    optimizer.optimize_into(&COMMANDS, &DONE, &scope).unwrap();
    bus.publisher(&DONE).unwrap().close();
    publish(&publisher, &["a"]).await;
    time::sleep(ms(1)).await;
    assert!(scope.running().is_empty());
    let error = optimizer.optimize_into(&DONE, &DONE, &scope).unwrap_err();
    assert!(matches!(error, OptimizeError::Loop { .. }), "{error}");
}

#[test]
fn settings_out_of_range_are_refused_and_change_nothing() {
    let (_bus, optimizer, _) = stage();
    let day = Duration::from_secs(24 * 60 * 60);
    for (settings, refused) in [
        (Settings::new().debounce(Duration::ZERO), "`debounce`"),
        (Settings::new().within(day + ms(1)), "`within`"),
        (
            Settings::new().max_age(ms(0), |_: &String| ms(0)),
            "`max_age`",
        ),
        (Settings::new().buffer_size(0), "a size of 0"),
        (Settings::new().enough(0), "`enough`"),
        (Settings::new().rate_limit(per_second(0)), "the rate"),
    ] {
        let error = optimizer.configure(&COMMANDS, settings).unwrap_err();
        assert!(error.to_string().contains(refused), "{error}");
        assert!(error.to_string().contains("`commands`"), "{error}");
    }
    optimizer.configure_buffer_size(&COMMANDS, 7).unwrap();
    let other = Topic::<u8>::new("commands");
    let error = optimizer.configure(&other, Settings::new()).unwrap_err();
    assert!(matches!(error, OptimizeError::EventType { .. }), "{error}");
    assert!(error.to_string().contains("`u8`"), "{error}");
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn with_all_settings_on_every_event_is_accounted_for(
        gaps in gaps(), silence in prop::option::of(1..20_u64), within in 0..20_u64, pace in 1..20_u64,
        size in 1..5_usize, keyed: bool, repeats: bool, patience in 1..10_u64,
    ) {
        let count = gaps.len() as u64;
        let (seen, ledger) = run(async {
            let (bus, optimizer, publisher) = stage();
            let mut settings = Settings::<String>::new()
                .buffer_size(size)
                .within(ms(within))
                .rate_limit(coord_optimize::Rate::every(ms(pace)))
                .relevant(|text| !text.ends_with('7'));
            if let Some(silence) = silence {
                settings = settings.debounce(ms(silence));
            }
            if keyed {
                settings = settings.merge_by(|text| &text[..1]);
            }
            if !repeats {
                settings = settings.drop_repeats();
            }
            optimizer.configure(&COMMANDS, settings).unwrap();
            let mut batches = optimizer.subscribe(&COMMANDS).unwrap();
            let publishing = async {
                for (number, gap) in gaps.iter().enumerate() {
                    // So that some repeat.
                    let text = format!("{}{}", number / 2 % 3, number / 2 % 10);
                    publisher.publish(text).await.unwrap();
                    if *gap > 0 {
                        time::sleep(ms(*gap)).await;
                    }
                }
                bus.close();
            };
            let reading = async {
                let mut seen = Vec::new();
                loop {
                    match time::timeout(ms(patience), batches.next()).await {
                        Ok(Some(batch)) => seen.push((Instant::now(), batch.len())),
                        Ok(None) => return seen,
                        Err(_) => assert!(batches.ledger().is_balanced()),
                    }
                }
            };
            let (seen, ()) = tokio::join!(reading, publishing);
            (seen, optimizer.statistics().remove(0).ledger)
        });
        prop_assert!(seen.iter().all(|(_, len)| (1..=size).contains(len)));
        prop_assert!(seen.windows(2).all(|pair| pair[1].0 - pair[0].0 >= ms(pace)));
        prop_assert!(ledger.is_balanced());
        prop_assert_eq!((ledger.received, ledger.held), (count, 0));
        prop_assert_eq!(ledger.given_out, seen.iter().map(|(_, len)| *len as u64).sum::<u64>());
        prop_assert!(keyed || ledger.merged == 0);
        prop_assert!(!repeats || ledger.dropped.repeated == 0);
    }
}
