//! A description as a flowchart of Mermaid's.

use std::collections::HashMap;

use super::{overflow_name, place, short_type};
use crate::{Overflow, SubscriberStats, TopicStats};

/// A line for each node and each arrow.
pub(super) fn of(topics: &[TopicStats]) -> String {
    let mut chart = "flowchart LR\n".to_owned();
    let (mut publishers, mut subscribers) = (HashMap::new(), HashMap::new());
    for (topic, stats) in topics.iter().enumerate() {
        let topic = format!("t{topic}");
        let (name, event) = (
            mermaid_label(&stats.topic),
            mermaid_label(&short_type(stats.event)),
        );
        chart.push_str(&format!("    {topic}([\"{name}<br/>{event}\"])\n"));
        for publisher in &stats.publishers {
            let place = place(publisher.place);
            let from = node(&mut chart, &mut publishers, "p", place.clone(), &place);
            let arrow = arrow(Vec::new(), publisher.open);
            chart.push_str(&format!("    {from} {arrow} {topic}\n"));
        }
        for (to, arrow) in arrows_from(stats, &mut chart, &mut subscribers) {
            chart.push_str(&format!("    {topic} {arrow} {to}\n"));
        }
    }
    chart
}

/// The arrows to a topic's subscribers: one to each node for each way to subscribe.
fn arrows_from(
    stats: &TopicStats,
    chart: &mut String,
    subscribers: &mut HashMap<String, String>,
) -> Vec<(String, String)> {
    let mut arrows: Vec<(String, Vec<&'static str>, usize)> = Vec::new();
    for subscriber in &stats.subscribers {
        let who = subscriber.label();
        let key = format!("{who} {}", subscriber.place);
        let to = node(chart, subscribers, "s", key, &who);
        let how = how(subscriber);
        let mut same = arrows.iter_mut();
        match same.find(|(other, same, _)| *other == to && *same == how) {
            Some((_, _, count)) => *count += 1,
            None => arrows.push((to, how, 1)),
        }
    }
    let arrows = arrows.into_iter();
    arrows
        .map(|(to, how, count)| (to, arrow(how, count)))
        .collect()
}

/// The node of this key, drawn if it is the first time.
fn node(
    chart: &mut String,
    nodes: &mut HashMap<String, String>,
    kind: &str,
    key: String,
    text: &str,
) -> String {
    let count = nodes.len();
    let node = nodes.entry(key).or_insert_with(|| {
        let id = format!("{kind}{count}");
        chart.push_str(&format!("    {id}[\"{}\"]\n", mermaid_label(text)));
        id
    });
    node.clone()
}

/// What is unlike the default in how it subscribes.
fn how(subscriber: &SubscriberStats) -> Vec<&'static str> {
    let mut how = Vec::new();
    if subscriber.overflow != Overflow::Block {
        how.push(overflow_name(subscriber.overflow));
    }
    how.extend(subscriber.filtered.then_some("filter"));
    how.extend(subscriber.closed.then_some("closed"));
    how
}

fn arrow(how: Vec<&'static str>, count: usize) -> String {
    let mut words: Vec<_> = how.into_iter().map(str::to_owned).collect();
    if count > 1 {
        words.push(format!("×{count}"));
    }
    match words.is_empty() {
        true => "-->".to_owned(),
        false => format!("-->|\"{}\"|", words.join(", ")),
    }
}

/// A text for between the quotation marks of a node or an arrow in a
/// [Mermaid](https://mermaid.js.org) flowchart. What Mermaid, Markdown or HTML might make something
/// of is written as a number; white space and control characters become blanks.
///
/// ```
/// assert_eq!(coord_bus::mermaid_label("Vec<u8>"), "Vec#60;u8#62;");
/// ```
pub fn mermaid_label(text: &str) -> String {
    let mut label = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_alphanumeric() || " ._-/:,()".contains(c) => label.push(c),
            c if c.is_whitespace() || c.is_control() => label.push(' '),
            c => label.push_str(&format!("#{};", u32::from(c))),
        }
    }
    label
}
