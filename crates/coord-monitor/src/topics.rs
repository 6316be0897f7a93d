//! What topics have counted, since when, and how fast that grows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use coord_bus::Bus;
use coord_bus::time::Instant;

use crate::rates::{Marks, Moments};
use crate::sums::{Counts, Known, Sum, Sums};
use crate::{OTHER, SubscriberMetrics, TopicHistory, TopicMetrics};

/// The most topics that have a row of their own, in the order in which they were opened as far as
/// that was seen; the others are summed up in the row [`OTHER`], and stay there until a
/// [reset](crate::PerformanceMonitor::reset), or until there are none.
pub const MAX_TOPICS: usize = 1000;

/// The most subscribers of a topic that have a row of their own, in the order in which they
/// subscribed; the others are summed up in the row [`OTHER`], and stay there until a
/// [reset](crate::PerformanceMonitor::reset), or until there are none.
pub const MAX_SUBSCRIBERS: usize = 32;

#[derive(Debug)]
pub(crate) struct Topics {
    rows: BTreeMap<String, Row>,
    /// Those but [`OTHER`], for whoever sums up what they are to count.
    known: Known,
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

impl Topics {
    /// Counts on from these.
    pub(crate) fn new(bus: &dyn Bus, history: usize, now: Instant) -> Self {
        let mut topics = Self {
            rows: BTreeMap::new(),
            known: Known::default(),
            began: now,
            sampled: now,
            samples: 0,
            moments: Moments::new(now),
            history,
        };
        // What topics had published before is theirs; only rates are since now.
        let sums = Sums::of_topics(bus, &topics.known);
        for sum in sums.rows {
            let row = Row::since(&topics.moments, sum.counts);
            topics.rows.insert(sum.topic, row);
        }
        topics.note_known(sums.has_others);
        topics
    }

    /// The topics that have a row.
    pub(crate) fn known(&self) -> Known {
        self.known.clone()
    }

    fn note_known(&mut self, has_others: bool) {
        let topics = self.rows.keys().filter(|name| *name != OTHER);
        self.known.topics = topics.map(|name| Arc::from(&**name)).collect();
        self.known.has_others = has_others;
    }

    /// Which subscribers have a row, where there are more than may have one.
    fn note_subscribers(&mut self, sums: &Sums) {
        let crowded = sums.rows.iter().filter(|sum| sum.has_other_subscribers);
        let rows = crowded.map(|sum| {
            let labels = sum.subscribers.iter().map(|(label, _)| label);
            let labels = labels.filter(|label| *label != OTHER).cloned();
            (sum.topic.clone(), labels.collect())
        });
        let subscribers: BTreeMap<_, _> = rows.collect();
        if subscribers != *self.known.subscribers {
            self.known.subscribers = Arc::new(subscribers);
        }
    }

    /// Those that are new have the rows now that they were given in these sums, which are of the topics
    /// that are known.
    fn settle(&mut self, sums: &Sums) {
        let before = self.rows.len();
        for sum in &sums.rows {
            if !self.rows.contains_key(&sum.topic) {
                self.rows.insert(sum.topic.clone(), Row::default());
            }
        }
        if self.rows.len() > before || sums.has_others != self.known.has_others {
            self.note_known(sums.has_others);
        }
    }

    /// Begins to count anew from these.
    pub(crate) fn reset(&mut self, sums: Sums, now: Instant) {
        self.note_subscribers(&sums);
        self.moments = Moments::new(now);
        let rows = sums.rows.into_iter().map(|sum| {
            let mut row = Row::since(&self.moments, sum.counts);
            row.baseline = sum.counts;
            row.subscribers = sum.subscribers.into_iter().collect();
            (sum.topic, row)
        });
        self.rows = rows.collect();
        self.note_known(sums.has_others);
        self.began = now;
        self.sampled = now;
        self.samples = 0;
    }

    pub(crate) fn sample(&mut self, sums: Sums, now: Instant) {
        let seconds = now.duration_since(self.sampled).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        self.settle(&sums);
        // A bus that forgets topics is followed in that.
        let before = self.rows.len();
        self.rows.retain(|name, _| sums.get(name).is_some());
        if self.rows.len() < before {
            self.note_known(sums.has_others);
        }
        let is_long = self.moments.push(now);
        for Sum { topic, counts, .. } in sums.rows {
            let row = self.rows.entry(topic).or_default();
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

    pub(crate) fn metrics(&mut self, sums: Sums, now: Instant) -> Vec<TopicMetrics> {
        self.settle(&sums);
        self.note_subscribers(&sums);
        let new = Row::default();
        let metrics = sums.rows.into_iter().map(|sum| {
            let row = self.rows.get(&sum.topic).unwrap_or(&new);
            let counts = sum.counts;
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
                topic: sum.topic,
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

    fn subscribers(&self, now: Vec<(String, Counts)>) -> Vec<SubscriberMetrics> {
        let rows = now.into_iter().map(|(subscriber, counts)| {
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
