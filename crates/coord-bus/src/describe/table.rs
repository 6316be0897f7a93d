//! A description for a terminal.

use std::fmt::Write;

use super::{overflow_name, place, short_type};
use crate::{Ledger, SubscriberStats, TopicStats, text::Printable, text::without_middle};

/// No line is longer, unless its numbers are.
const COLUMNS_MAX: usize = 100;

/// What is left of a long name, at least.
const NAME_MIN: usize = 12;

/// What stands before a name: `  from `.
const INDENT: usize = 7;

type CountOf = fn(&Ledger) -> u64;

/// A column of counts, and how wide it is.
struct Count {
    title: &'static str,
    of: CountOf,
    width: usize,
}

struct Columns {
    who: usize,
    overflow: usize,
    counts: Vec<Count>,
}

/// A line for each topic, each place that publishes to it, and each of its subscribers.
pub(super) fn of(topics: &[TopicStats]) -> String {
    if topics.is_empty() {
        return "no topics\n".to_owned();
    }
    let columns = Columns::of(topics);
    let mut text = String::new();
    if topics.iter().any(|topic| !topic.subscribers.is_empty()) {
        columns.push_titles(&mut text);
    }
    for topic in topics {
        push_topic(&mut text, topic);
        for publisher in &topic.publishers {
            let place = shortened(&place(publisher.place), COLUMNS_MAX - INDENT - 8);
            text.push_str("  from ");
            text.push_str(&place);
            if publisher.open > 1 {
                push(&mut text, format_args!(" ×{}", publisher.open));
            }
            text.push('\n');
        }
        for subscriber in &topic.subscribers {
            columns.push_row(&mut text, subscriber);
        }
    }
    text
}

fn push_topic(text: &mut String, topic: &TopicStats) {
    let mut facts = format!(
        ", {} published, {} held of {}",
        topic.published, topic.depth, topic.capacity
    );
    if topic.retain > 0 {
        push(&mut facts, format_args!(", last {} kept", topic.retain));
    }
    match topic.waiting_publishers {
        0 => {}
        1 => facts.push_str(", 1 publisher waits"),
        waiting => push(&mut facts, format_args!(", {waiting} publishers wait")),
    }
    if topic.closed {
        facts.push_str(", closed");
    }
    let event = short_type(topic.event);
    let room = COLUMNS_MAX.saturating_sub(facts.len() + 2);
    let for_name = room.saturating_sub(event.chars().count().min(room / 2));
    let name = shortened(&topic.topic, for_name);
    let event = shortened(&event, room.saturating_sub(name.chars().count()));
    push(text, format_args!("{name}: {event}{facts}\n"));
}

impl Columns {
    fn of(topics: &[TopicStats]) -> Self {
        let subscribers = || topics.iter().flat_map(|topic| &topic.subscribers);
        let counts: [(_, CountOf); 5] = [
            ("delivered", |ledger| ledger.delivered),
            ("in flight", |ledger| ledger.in_flight),
            ("dropped", |ledger| ledger.dropped.total()),
            ("conflated", |ledger| ledger.conflated),
            ("filtered", |ledger| ledger.filtered),
        ];
        let columns = (0..).zip(counts).filter_map(|(index, (title, of))| {
            let max = subscribers().map(|each| of(&each.ledger)).max();
            let max = max.unwrap_or_default();
            let width = max.to_string().len().max(title.len());
            // What happens to nobody is not told of, but for the first two.
            (index < 2 || max > 0).then_some(Count { title, of, width })
        });
        let counts: Vec<_> = columns.collect();
        let overflows = subscribers().map(|each| how(each).len());
        let overflow = overflows.max().unwrap_or_default().max("overflow".len());
        let widths = counts.iter().map(|count| count.width + 2);
        let taken = INDENT + 2 + overflow + widths.sum::<usize>();
        let room = COLUMNS_MAX.saturating_sub(taken).max(NAME_MIN);
        let names = subscribers().map(|each| Printable(&each.label()).to_string().chars().count());
        Self {
            who: names.max().unwrap_or_default().min(room),
            overflow,
            counts,
        }
    }

    fn push_titles(&self, text: &mut String) {
        let before = INDENT + self.who;
        push(text, format_args!("{:before$}  overflow", ""));
        let mut pad = self.overflow - "overflow".len();
        for count in &self.counts {
            let width = pad + 2 + count.width;
            push(text, format_args!("{:>width$}", count.title));
            pad = 0;
        }
        text.push('\n');
    }

    fn push_row(&self, text: &mut String, subscriber: &SubscriberStats) {
        let who = shortened(&subscriber.label(), self.who);
        let how = how(subscriber);
        let (for_who, for_how) = (self.who, self.overflow);
        push(text, format_args!("  to   {who:for_who$}  {how:for_how$}"));
        for count in &self.counts {
            let (number, width) = ((count.of)(&subscriber.ledger), count.width);
            push(text, format_args!("  {number:>width$}"));
        }
        text.push('\n');
    }
}

/// How it subscribes.
fn how(subscriber: &SubscriberStats) -> String {
    let mut how = overflow_name(subscriber.overflow).to_owned();
    if subscriber.filtered {
        how.push_str(", filter");
    }
    if subscriber.closed {
        how.push_str(", closed");
    }
    how
}

/// The text in this many characters, without its middle if need be.
fn shortened(text: &str, max: usize) -> String {
    without_middle(&Printable(text).to_string(), max).into_owned()
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = text.write_fmt(more);
}
