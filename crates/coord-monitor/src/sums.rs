//! What topics have counted, summed up by the rows that there may be, while the bus shows it: of ten
//! thousand topics no list is made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coord_bus::{Bus, SubscriberStats, TopicStats};

use crate::OTHER;
use crate::topics::{MAX_SUBSCRIBERS, MAX_TOPICS};

/// By name.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) rows: Vec<Sum>,
    /// Whether there are topics without a row of their own.
    pub(crate) has_others: bool,
}

/// Which topics have a row of their own. A topic that has one keeps it, and one that is summed up with
/// others stays there: what changed rows would be counted twice by whoever compares two snapshots.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// By name.
    pub(crate) topics: Arc<[Arc<str>]>,
    /// Whether there are others, so that none gets a row, even if one is free.
    pub(crate) has_others: bool,
    /// The same of the subscribers of a topic: where there are others, those that have a row.
    pub(crate) subscribers: Arc<BTreeMap<String, BTreeSet<String>>>,
}

impl Known {
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.topics, &other.topics)
            && self.has_others == other.has_others
            && Arc::ptr_eq(&self.subscribers, &other.subscribers)
    }
}

/// What is summed up in one row.
#[derive(Debug)]
pub(crate) struct Sum {
    pub(crate) topic: String,
    pub(crate) counts: Counts,
    /// By label, where they are asked for and the row is of one topic.
    pub(crate) subscribers: Vec<(String, Counts)>,
    /// Whether there are subscribers without a row of their own.
    pub(crate) has_other_subscribers: bool,
}

/// What a topic, or several, have counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Over how many topics, or subscribers.
    pub(crate) of: usize,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) conflated: u64,
    pub(crate) dropped: u64,
    pub(crate) depth: u64,
    pub(crate) lag: u64,
    pub(crate) waiting_publishers: usize,
}

impl Sums {
    /// Those of the topics that are known to have a row, by name, and then of as many more as may have
    /// one; the others are in one.
    pub(crate) fn of_topics(bus: &dyn Bus, known: &Known) -> Self {
        Self::of(bus, known, |_| (Vec::new(), false))
    }

    /// The same, with what each subscriber has counted.
    pub(crate) fn of_topics_and_subscribers(bus: &dyn Bus, known: &Known) -> Self {
        Self::of(bus, known, |topic| {
            let rows = known.subscribers.get(&*topic.topic);
            by_label(&topic.subscribers, rows)
        })
    }

    fn of(
        bus: &dyn Bus,
        known: &Known,
        subscribers: impl Fn(&TopicStats) -> (Vec<(String, Counts)>, bool),
    ) -> Self {
        let topics = &known.topics;
        let mut room = match known.has_others {
            true => 0,
            false => MAX_TOPICS.saturating_sub(topics.len()),
        };
        let mut rows: Vec<Sum> = Vec::with_capacity(topics.len());
        let mut other = Counts::default();
        // Both are in the order of their names: of 10,000 topics, none has to be searched for.
        let mut known = topics.iter().peekable();
        bus.for_each_stats(&mut |topic| {
            while known.next_if(|row| ***row < *topic.topic).is_some() {}
            let has_row = known.peek().is_some_and(|row| ***row == *topic.topic);
            if !has_row && room == 0 {
                other.add(topic);
                return;
            }
            room -= usize::from(!has_row);
            let mut counts = Counts::default();
            counts.add(topic);
            let (subscribers, has_other_subscribers) = subscribers(topic);
            rows.push(Sum {
                topic: topic.topic.clone(),
                counts,
                subscribers,
                has_other_subscribers,
            });
        });
        debug_assert!(
            rows.is_sorted_by(|a, b| a.topic <= b.topic),
            "a bus shows them by name"
        );
        let mut sums = Self {
            rows,
            has_others: other.of > 0,
        };
        if sums.has_others {
            sums.merge_other(&other);
        }
        sums
    }

    /// A topic may be called so, too.
    fn merge_other(&mut self, other: &Counts) {
        match self.place(OTHER) {
            Ok(place) => self.rows[place].counts.merge(other),
            Err(place) => {
                let sum = Sum {
                    topic: OTHER.to_owned(),
                    counts: *other,
                    subscribers: Vec::new(),
                    has_other_subscribers: false,
                };
                self.rows.insert(place, sum);
            }
        }
    }

    fn place(&self, topic: &str) -> Result<usize, usize> {
        self.rows.binary_search_by(|sum| (*sum.topic).cmp(topic))
    }

    pub(crate) fn get(&self, topic: &str) -> Option<&Sum> {
        Some(&self.rows[self.place(topic).ok()?])
    }
}

/// Those of the same name, or from the same place, are one row. Where it is known which have one, no
/// other gets one. Whether there are others.
fn by_label(
    stats: &[SubscriberStats],
    known: Option<&BTreeSet<String>>,
) -> (Vec<(String, Counts)>, bool) {
    let mut has_others = false;
    let mut rows: Vec<(String, Counts)> = Vec::with_capacity(stats.len().min(MAX_SUBSCRIBERS + 1));
    for subscriber in stats {
        let mut label = subscriber.label();
        let mut place = rows.iter().position(|(known, _)| *known == label);
        let has_room = match known {
            Some(known) => known.contains(&label),
            None => rows.len() < MAX_SUBSCRIBERS,
        };
        if place.is_none() && !has_room {
            has_others = true;
            OTHER.clone_into(&mut label);
            place = rows.iter().position(|(known, _)| *known == label);
        }
        let place = place.unwrap_or_else(|| {
            rows.push((label, Counts::default()));
            rows.len() - 1
        });
        let ledger = &subscriber.ledger;
        rows[place].1.merge(&Counts {
            of: 1,
            delivered: ledger.delivered,
            conflated: ledger.conflated,
            dropped: ledger.dropped.by_overflow(),
            lag: ledger.in_flight,
            ..Counts::default()
        });
    }
    rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    (rows, has_others)
}

impl Counts {
    fn add(&mut self, topic: &TopicStats) {
        let lags = topic.subscribers.iter().map(|each| each.ledger.in_flight);
        self.merge(&Self {
            of: 1,
            published: topic.published,
            delivered: topic.ledger.delivered,
            conflated: topic.ledger.conflated,
            dropped: topic.ledger.dropped.by_overflow(),
            depth: topic.depth,
            lag: lags.max().unwrap_or_default(),
            waiting_publishers: topic.waiting_publishers,
        });
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.of += other.of;
        self.published += other.published;
        self.delivered += other.delivered;
        self.conflated += other.conflated;
        self.dropped += other.dropped;
        self.depth += other.depth;
        self.lag = self.lag.max(other.lag);
        self.waiting_publishers += other.waiting_publishers;
    }
}
