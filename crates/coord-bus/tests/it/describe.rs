//! What a bus tells of itself, as a text and as a picture.

use std::collections::HashMap;

use coord_bus::{
    Bus, BusExt, ByteBus, LocalBus, Overflow, PatternOptions, SubscribeOptions, Topic,
};
use proptest::prelude::*;

const JOBS: Topic<Vec<String>> = Topic::new("jobs").capacity(8);
const STATUS: Topic<u64> = Topic::new("status").capacity(4).retain(1);

#[tokio::test(start_paused = true)]
async fn a_text_shows_who_publishes_what_to_whom_and_what_became_of_it() {
    let bus = LocalBus::new();
    assert_eq!(bus.describe().to_string(), "no topics\n");
    let (at, jobs) = (line!(), bus.publisher(&JOBS).unwrap());
    let status = [(); 2].map(|()| bus.publisher(&STATUS).unwrap());
    let options = SubscribeOptions::new().filter(|job: &Vec<String>| job.len() > 1);
    let _some = bus.subscribe_with(&JOBS, options).unwrap();
    let audit = PatternOptions::from(Overflow::DropOldest).named("audit\n");
    let mut audit = bus.subscribe_pattern(">", audit).unwrap();
    let options = SubscribeOptions::from(Overflow::DropOldest).named("screen");
    let _screen = bus.subscribe_with(&STATUS, options).unwrap();
    jobs.publish(vec!["a".to_owned()]).await.unwrap();
    for number in 0..10 {
        status[0].publish(number).await.unwrap();
    }
    audit.recv().await.unwrap();
    status[1].close();
    let (publisher, status, some) = (at, at + 1, at + 3);
    let text = format!(
        "
                          overflow       delivered  in flight  dropped
jobs: Vec<String>, 1 published, 1 held of 8
  from it/describe.rs:{publisher}
  to   it/describe.rs:{some}  block, filter          0          1        0
  to   audit\\n            drop-oldest            1          0        0
status: u64, 10 published, 5 held of 4, last 1 kept, closed
  from it/describe.rs:{status} ×2
  to   audit\\n            drop-oldest            0          4        6
  to   screen             drop-oldest            0          4        6
"
    );
    assert_eq!(format!("\n{}", bus.describe()), text);
}

#[tokio::test(start_paused = true)]
async fn a_picture_draws_each_place_and_subscriber_once() {
    let bus = LocalBus::new();
    let open = |topic: &Topic<u64>| bus.publisher(topic).unwrap();
    let at = line!() - 1;
    let _first = open(&STATUS);
    let _others = [(); 2].map(|()| open(&STATUS.with_name("status.\"1\"#2")));
    let _all = bus.subscribe_pattern(">", Overflow::Latest).unwrap();
    let _screens = [(); 2].map(|()| {
        let options = SubscribeOptions::new().named("screen %%");
        bus.subscribe_with(&STATUS, options).unwrap()
    });
    let chart = format!(
        "\
flowchart LR
    t0([\"status<br/>u64\"])
    p0[\"it/describe.rs:{at}\"]
    p0 --> t0
    s0[\"#62;\"]
    s1[\"screen #37;#37;\"]
    t0 -->|\"latest\"| s0
    t0 -->|\"×2\"| s1
    t1([\"status.#34;1#34;#35;2<br/>u64\"])
    p0 -->|\"×2\"| t1
    t1 -->|\"latest\"| s0
"
    );
    assert_eq!(bus.describe().to_mermaid(), chart);
}

#[tokio::test(start_paused = true)]
async fn a_group_goes_by_its_name_however_many_members_it_has() {
    let bus = LocalBus::new();
    let _members = [(); 2].map(|()| bus.join_group(&JOBS, "workers").unwrap());
    let line = line!() - 1;
    let description = bus.describe();
    let text = format!(
        "
                      overflow  delivered  in flight
dead-letter.jobs: DeadLetter<Vec<String>>, 0 published, 0 held of 1024, last 100 kept
  from it/describe.rs:{line} ×2
jobs: Vec<String>, 0 published, 0 held of 8
  to   group workers  block             0          0
"
    );
    assert_eq!(format!("\n{description}"), text);
    let chart = description.to_mermaid();
    assert!(chart.contains("s0[\"group workers\"]"), "{chart}");
    // Two topics, one place at which both members joined, and one group.
    assert_eq!(count_lines(&chart), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn serialised_it_is_all_that_was_counted() {
    let bus = ByteBus::new();
    let _status = bus.subscribe(&STATUS).unwrap();
    bus.publisher(&STATUS).unwrap().publish(7).await.unwrap();
    let described = serde_json::to_value(bus.describe()).unwrap();
    assert_eq!(described["topics"][0]["topic"], "status");
    assert_eq!(
        described["topics"][0]["subscribers"][0]["ledger"]["in_flight"],
        1
    );
    assert_eq!(
        described["topics"],
        serde_json::to_value(bus.stats()).unwrap()
    );
}

/// A label: between quotation marks, of characters that mean nothing else.
fn is_label(text: &str) -> bool {
    let text = text.replace("<br/>", "");
    let mut pieces = text.split('#');
    let is_plain = |text: &str| {
        let is_plain = |c: char| c.is_alphanumeric() || " ._-/:,()×".contains(c);
        text.chars().all(is_plain)
    };
    is_plain(pieces.next().unwrap_or_default())
        && pieces.all(|piece| {
            let number = piece.split_once(';');
            number.is_some_and(|(number, rest)| number.parse::<u32>().is_ok() && is_plain(rest))
        })
}

/// Checks that each line is a node or an arrow between nodes that are drawn, and counts both.
fn count_lines(chart: &str) -> (usize, usize) {
    let mut lines = chart.lines();
    assert_eq!(lines.next(), Some("flowchart LR"));
    let (mut nodes, mut arrows) = (HashMap::new(), Vec::new());
    for line in lines {
        let line = line.strip_prefix("    ").expect(line);
        let (id, rest) = line.split_at(line.find(['[', '(', ' ']).expect(line));
        if let Some(arrow) = rest.strip_prefix(" -->") {
            let to = match arrow.strip_prefix("|\"") {
                Some(labelled) => {
                    let (label, to) = labelled.split_once("\"| ").expect(line);
                    assert!(is_label(label), "{line}");
                    to
                }
                None => arrow.strip_prefix(' ').expect(line),
            };
            arrows.push((id, to));
            continue;
        }
        let shapes = [("([\"", "\"])"), ("[\"", "\"]")];
        let inner = shapes
            .iter()
            .find_map(|(open, close)| rest.strip_prefix(open)?.strip_suffix(close));
        assert!(is_label(inner.expect(line)), "{line}");
        assert_eq!(nodes.insert(id, line), None, "{line}");
    }
    for (from, to) in &arrows {
        assert!(
            nodes.contains_key(from) && nodes.contains_key(to),
            "{from} {to}"
        );
    }
    (nodes.len(), arrows.len())
}

proptest! {
    #[test]
    fn hostile_names_break_no_line(
        names in proptest::collection::vec("\\PC{0,300}|(.|[\\s\"'`#;%<>|&{}\\[\\]\u{202e}-]){0,60}", 1..4),
        topic in "([^\\s\\p{Cc}.*>]|[\"#;%]){1,60}",
    ) {
        let bus = LocalBus::new();
        let topic = STATUS.with_name(topic);
        let mut subscribers = Vec::new();
        for (index, name) in names.iter().enumerate() {
            // No two are the same.
            let options = SubscribeOptions::new().named(format!("{index}{name}"));
            subscribers.push(bus.subscribe_with(&topic, options).unwrap());
        }
        let _publisher = bus.publisher(&topic).unwrap();
        let description = bus.describe();
        let (nodes, arrows) = count_lines(&description.to_mermaid());
        prop_assert_eq!((nodes, arrows), (names.len() + 2, names.len() + 1));
        let text = description.to_string();
        // Titles, the topic, its publisher, its subscribers.
        prop_assert_eq!(text.lines().count(), names.len() + 3);
        let is_obeyed = |c: char| c == '\u{202e}' || (c.is_control() && c != '\n');
        prop_assert!(!text.contains(is_obeyed));
        for line in text.lines() {
            prop_assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
