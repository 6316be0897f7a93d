//! What topics have counted, since when, and how fast that grows.

use std::collections::{BTreeMap, VecDeque};

use coord_bus::TopicStats;
use coord_bus::time::Instant;

use crate::{OTHER, TopicHistory, TopicMetrics};

/// The most topics that have a row of their own, in the order in which they were opened as far as
/// that was seen; the others are summed up in the row [`OTHER`].
pub const MAX_TOPICS: usize = 1000;

#[derive(Debug)]
pub(crate) struct Topics {
    rows: BTreeMap<String, Row>,
    /// When counting began, and how many samples there were since.
    began: Instant,
    sampled: Instant,
    samples: usize,
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
    /// `per_second` of the last samples, the oldest first.
    history: VecDeque<f64>,
}

/// What a topic, or several, have counted.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    published: u64,
    delivered: u64,
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
            history,
        };
        // What topics had published before is theirs; only rates are since now.
        for (name, counts) in topics.sum(stats) {
            let row = topics.rows.entry(name).or_default();
            row.published = counts.published;
        }
        topics
    }

    /// Begins to count anew from these.
    pub(crate) fn reset(&mut self, stats: &[TopicStats], now: Instant) {
        let sums = self.sum(stats);
        self.rows.clear();
        for (name, baseline) in sums {
            let row = self.rows.entry(name).or_default();
            row.baseline = baseline;
            row.published = baseline.published;
        }
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
        self.rows.retain(|name, _| sums.contains_key(name));
        for (name, counts) in sums {
            let row = self.rows.entry(name).or_default();
            let published = counts.published.saturating_sub(row.published);
            row.published = counts.published;
            row.per_second = published as f64 / seconds;
            row.peak = row.peak.max(row.per_second);
            row.history.push_back(row.per_second);
            if row.history.len() > self.history {
                row.history.pop_front();
            }
        }
        self.sampled = now;
        self.samples += 1;
    }

    pub(crate) fn metrics(&self, stats: &[TopicStats], now: Instant) -> Vec<TopicMetrics> {
        let new = Row::default();
        let metrics = self.sum(stats).into_iter().map(|(topic, counts)| {
            let row = self.rows.get(&topic).unwrap_or(&new);
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
                topic,
                published: counts.published.saturating_sub(baseline.published),
                delivered: counts.delivered.saturating_sub(baseline.delivered),
                dropped: counts.dropped.saturating_sub(baseline.dropped),
                depth: counts.depth,
                lag: counts.lag,
                waiting_publishers: counts.waiting_publishers,
                per_second,
                peak_per_second: row.peak,
            }
        });
        metrics.collect()
    }

    /// For as many samples as there are; 0 for those before a topic was there.
    pub(crate) fn history(&self, samples: usize) -> Vec<TopicHistory> {
        let histories = self.rows.iter().map(|(topic, row)| {
            let before = samples.saturating_sub(row.history.len());
            let mut per_second = vec![0.0; before];
            per_second.extend(&row.history);
            TopicHistory {
                topic: topic.clone(),
                per_second,
            }
        });
        histories.collect()
    }

    /// The counts by row: those of topics that have one, and then as many more as may have one.
    fn sum(&self, stats: &[TopicStats]) -> BTreeMap<String, Counts> {
        let known = self.rows.keys().filter(|name| *name != OTHER).count();
        let mut room = MAX_TOPICS.saturating_sub(known);
        let mut sums: BTreeMap<String, Counts> = BTreeMap::new();
        for topic in stats {
            let name = if self.rows.contains_key(&topic.topic) {
                &topic.topic
            } else if room > 0 {
                room -= 1;
                &topic.topic
            } else {
                OTHER
            };
            sums.entry(name.to_owned()).or_default().add(topic);
        }
        sums
    }
}

impl Counts {
    fn add(&mut self, topic: &TopicStats) {
        self.published += topic.published;
        self.delivered += topic.ledger.delivered;
        self.dropped += topic.ledger.dropped.by_overflow();
        self.depth += topic.depth;
        self.waiting_publishers += topic.waiting_publishers;
        let lags = topic.subscribers.iter().map(|each| each.ledger.in_flight);
        self.lag = self.lag.max(lags.max().unwrap_or_default());
    }
}
