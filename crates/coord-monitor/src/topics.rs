//! What topics have counted, since when, and how fast that grows.

use std::collections::{BTreeMap, VecDeque};

use coord_bus::time::Instant;
use coord_bus::{SubscriberStats, TopicStats};

use crate::rates::{Marks, Moments};
use crate::{OTHER, SubscriberMetrics, TopicHistory, TopicMetrics};

/// The most topics that have a row of their own, in the order in which they were opened as far as
/// that was seen; the others are summed up in the row [`OTHER`].
pub const MAX_TOPICS: usize = 1000;

/// The most subscribers of a topic that have a row of their own, in the order in which they
/// subscribed; the others are summed up in the row [`OTHER`].
pub const MAX_SUBSCRIBERS: usize = 32;

#[derive(Debug)]
pub(crate) struct Topics {
    rows: BTreeMap<String, Row>,
    /// When counting began, and how many samples there were since.
    began: Instant,
    sampled: Instant,
    samples: usize,
    moments: Moments,
    history: usize,
}

#[derive(Debug, Default)]
struct Row {
    /// What does not count: it was before counting began.
    baseline: Counts,
    /// At the last sample.
    published: u64,
    per_second: f64,
    peak: f64,
    marks: Marks,
    /// `per_second` and `lag` of the last samples, the oldest first.
    history: VecDeque<(f64, u64)>,
    /// What subscribers had counted when counting began.
    subscribers: BTreeMap<String, Counts>,
}

/// What is summed up in one row, and the subscribers where it is of one topic.
#[derive(Default)]
struct Sum<'s> {
    counts: Counts,
    subscribers: &'s [SubscriberStats],
}

/// What a topic, or several, have counted.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    /// Over how many topics, or subscribers.
    of: usize,
    published: u64,
    delivered: u64,
    conflated: u64,
    dropped: u64,
    depth: u64,
    lag: u64,
    waiting_publishers: usize,
}

impl Topics {
    /// Counts on from these.
    pub(crate) fn new(stats: &[TopicStats], history: usize, now: Instant) -> Self {
        let mut topics = Self {
            rows: BTreeMap::new(),
            began: now,
            sampled: now,
            samples: 0,
            moments: Moments::new(now),
            history,
        };
        // What topics had published before is theirs; only rates are since now.
        for (name, sum) in topics.sum(stats) {
            let row = Row::since(&topics.moments, sum.counts);
            topics.rows.insert(name.to_owned(), row);
        }
        topics
    }

    /// Begins to count anew from these.
    pub(crate) fn reset(&mut self, stats: &[TopicStats], now: Instant) {
        let sums = self.sum(stats);
        self.moments = Moments::new(now);
        let rows = sums.into_iter().map(|(name, sum)| {
            let mut row = Row::since(&self.moments, sum.counts);
            row.baseline = sum.counts;
            row.subscribers = by_label(sum.subscribers);
            (name.to_owned(), row)
        });
        self.rows = rows.collect();
        self.began = now;
        self.sampled = now;
        self.samples = 0;
    }

    pub(crate) fn sample(&mut self, stats: &[TopicStats], now: Instant) {
        let seconds = now.duration_since(self.sampled).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let sums = self.sum(stats);
        // A bus that forgets topics is followed in that.
        self.rows.retain(|name, _| sums.contains_key(&**name));
        let is_long = self.moments.push(now);
        for (name, Sum { counts, .. }) in sums {
            let row = match self.rows.get_mut(name) {
                Some(row) => row,
                None => self.rows.entry(name.to_owned()).or_default(),
            };
            let published = counts.published.saturating_sub(row.published);
            row.published = counts.published;
            row.per_second = published as f64 / seconds;
            row.peak = row.peak.max(row.per_second);
            row.marks.push(&self.moments, is_long, counts.published);
            row.history.push_back((row.per_second, counts.lag));
            if row.history.len() > self.history {
                row.history.pop_front();
            }
        }
        self.sampled = now;
        self.samples += 1;
    }

    pub(crate) fn metrics(&self, stats: &[TopicStats], now: Instant) -> Vec<TopicMetrics> {
        let new = Row::default();
        let sums = self.sum(stats);
        let metrics = sums.into_iter().map(|(topic, sum)| {
            let (row, counts) = (self.rows.get(topic).unwrap_or(&new), sum.counts);
            let baseline = row.baseline;
            let per_second = match self.samples {
                0 => {
                    let seconds = now.duration_since(self.began).as_secs_f64();
                    let published = counts.published.saturating_sub(row.published);
                    if seconds > 0.0 {
                        published as f64 / seconds
                    } else {
                        0.0
                    }
                }
                _ => row.per_second,
            };
            TopicMetrics {
                topic: topic.to_owned(),
                topics: counts.of,
                published: counts.published.saturating_sub(baseline.published),
                delivered: counts.delivered.saturating_sub(baseline.delivered),
                conflated: counts.conflated.saturating_sub(baseline.conflated),
                dropped: counts.dropped.saturating_sub(baseline.dropped),
                depth: counts.depth,
                lag: counts.lag,
                waiting_publishers: counts.waiting_publishers,
                per_second,
                peak_per_second: row.peak,
                rates: self.moments.rates(&row.marks, counts.published, now),
                subscribers: row.subscribers(sum.subscribers),
            }
        });
        metrics.collect()
    }

    /// For as many samples as there are; 0 for those before a topic was there.
    pub(crate) fn history(&self, samples: usize) -> Vec<TopicHistory> {
        let histories = self.rows.iter().map(|(topic, row)| {
            let before = samples.saturating_sub(row.history.len());
            let mut per_second = vec![0.0; before];
            per_second.extend(row.history.iter().map(|(per_second, _)| per_second));
            let mut lag = vec![0; before];
            lag.extend(row.history.iter().map(|(_, lag)| lag));
            TopicHistory {
                topic: topic.clone(),
                per_second,
                lag,
            }
        });
        histories.collect()
    }

    /// The counts by row: those of topics that have one, and then as many more as may have one.
    fn sum<'s>(&self, stats: &'s [TopicStats]) -> BTreeMap<&'s str, Sum<'s>> {
        let is_before = |a: &TopicStats, b: &TopicStats| a.topic <= b.topic;
        debug_assert!(stats.is_sorted_by(is_before), "a bus gives them by name");
        let known = self.rows.keys().filter(|name| *name != OTHER).count();
        let mut room = MAX_TOPICS.saturating_sub(known);
        let mut sums: BTreeMap<&str, Sum<'_>> = BTreeMap::new();
        let mut other = Counts::default();
        // Both are in the order of their names: of 10,000 topics, none has to be searched for.
        let mut rows = self.rows.keys().peekable();
        for topic in stats {
            while rows.next_if(|row| **row < topic.topic).is_some() {}
            let has_row = rows.peek().is_some_and(|row| **row == topic.topic);
            if !has_row && room == 0 {
                other.add(topic);
                continue;
            }
            room -= usize::from(!has_row);
            let sum = sums.entry(&topic.topic).or_default();
            sum.counts.add(topic);
            sum.subscribers = &topic.subscribers;
        }
        if other.of > 0 {
            sums.entry(OTHER).or_default().counts.merge(&other);
        }
        sums
    }
}

impl Row {
    /// A row of which nothing counts in rates that was before.
    fn since(moments: &Moments, counts: Counts) -> Self {
        let mut row = Self {
            published: counts.published,
            ..Self::default()
        };
        row.marks.push(moments, true, counts.published);
        row
    }

    fn subscribers(&self, stats: &[SubscriberStats]) -> Vec<SubscriberMetrics> {
        let now = by_label(stats).into_iter();
        let rows = now.map(|(subscriber, counts)| {
            let before = self
                .subscribers
                .get(&subscriber)
                .copied()
                .unwrap_or_default();
            SubscriberMetrics {
                subscriber,
                subscribers: counts.of,
                delivered: counts.delivered.saturating_sub(before.delivered),
                conflated: counts.conflated.saturating_sub(before.conflated),
                dropped: counts.dropped.saturating_sub(before.dropped),
                lag: counts.lag,
            }
        });
        rows.collect()
    }
}

/// Those of the same name, or from the same place, are one row.
fn by_label(stats: &[SubscriberStats]) -> BTreeMap<String, Counts> {
    let mut rows: BTreeMap<String, Counts> = BTreeMap::new();
    for subscriber in stats {
        let mut label = subscriber.label();
        if rows.len() >= MAX_SUBSCRIBERS && !rows.contains_key(&label) {
            OTHER.clone_into(&mut label);
        }
        let ledger = &subscriber.ledger;
        rows.entry(label).or_default().merge(&Counts {
            of: 1,
            delivered: ledger.delivered,
            conflated: ledger.conflated,
            dropped: ledger.dropped.by_overflow(),
            lag: ledger.in_flight,
            ..Counts::default()
        });
    }
    rows
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

    fn merge(&mut self, other: &Self) {
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
