//! The last samples, for sparklines.

use std::collections::{BTreeMap, VecDeque};

use coord_bus::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DurationSummary, LatencyMetrics, ProcessUsage};

/// How many samples are kept where nothing else is said: two minutes, at one a second.
pub const DEFAULT_HISTORY: usize = 120;

/// The most samples that can be kept: an hour, at one a second.
pub const MAX_HISTORY: usize = 3600;

/// The last samples: lists of equal length, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// When they were taken.
    pub at: Vec<Timestamp>,
    /// The program's resident memory, in bytes.
    pub memory_bytes: Vec<u64>,
    /// Its processor time since the sample before, in percent of one core.
    pub cpu_percent: Vec<f32>,
    /// The topics of the bus, by name.
    pub topics: Vec<TopicHistory>,
    /// The latency of events, by topic.
    pub latencies: Vec<LatencyHistory>,
}

/// How fast events were published to a topic, and how far its subscribers were behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicHistory {
    /// The topic's name, or [`OTHER`](crate::OTHER).
    pub topic: String,
    /// Events per second since the sample before; 0 before the topic was there.
    pub per_second: Vec<f64>,
    /// How many events the slowest subscriber was behind; 0 before the topic was there.
    pub lag: Vec<u64>,
}

/// How long events of a topic were under way, from publication until they were handled: of those
/// that were handled between two samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LatencyHistory {
    /// The topic's name, or [`OTHER`](crate::OTHER).
    pub topic: String,
    /// Half of them took at most this, in seconds; `None` where none was handled.
    pub p50: Vec<Option<f64>>,
    /// 99 % took at most this.
    pub p99: Vec<Option<f64>>,
}

impl History {
    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&TopicHistory> {
        self.topics.iter().find(|topic| topic.topic == name)
    }
}

/// The part of the history that is not by topic of the bus.
#[derive(Debug)]
pub(crate) struct Ring {
    samples: VecDeque<Sample>,
    length: usize,
    /// The latencies as they were at the last sample.
    latencies: BTreeMap<String, DurationSummary>,
}

#[derive(Debug)]
struct Sample {
    at: Timestamp,
    usage: ProcessUsage,
    /// The 50th and the 99th percentile, by topic.
    latencies: BTreeMap<String, (f64, f64)>,
}

impl Ring {
    pub(crate) fn new(length: usize) -> Self {
        Self {
            samples: VecDeque::new(),
            length,
            latencies: BTreeMap::new(),
        }
    }

    pub(crate) fn push(
        &mut self,
        at: Timestamp,
        usage: ProcessUsage,
        latencies: &[LatencyMetrics],
    ) {
        let mut sample = Sample {
            at,
            usage,
            latencies: BTreeMap::new(),
        };
        for LatencyMetrics { topic, total, .. } in latencies {
            let Some(total) = total else { continue };
            if let Some(new) = total.since(self.latencies.get(topic)) {
                sample.latencies.insert(topic.clone(), (new.p50, new.p99));
            }
            self.latencies.insert(topic.clone(), total.clone());
        }
        self.samples.push_back(sample);
        if self.samples.len() > self.length {
            self.samples.pop_front();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(crate) fn history(&self, topics: Vec<TopicHistory>) -> History {
        let samples = || self.samples.iter();
        let latencies = self.latencies.keys().map(|topic| {
            let of = || samples().map(|sample| sample.latencies.get(topic));
            LatencyHistory {
                topic: topic.clone(),
                p50: of().map(|it| it.map(|(p50, _)| *p50)).collect(),
                p99: of().map(|it| it.map(|(_, p99)| *p99)).collect(),
            }
        });
        History {
            at: samples().map(|sample| sample.at).collect(),
            memory_bytes: samples().map(|sample| sample.usage.memory_bytes).collect(),
            cpu_percent: samples().map(|sample| sample.usage.cpu_percent).collect(),
            topics,
            latencies: latencies.collect(),
        }
    }

    pub(crate) fn reset(&mut self) {
        self.samples.clear();
        self.latencies.clear();
    }
}
