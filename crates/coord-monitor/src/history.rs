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
    /// The resident memory of the processes that it runs, all together, in bytes.
    pub processes_memory_bytes: Vec<u64>,
    /// The processor time of these, in percent of one core.
    pub processes_cpu_percent: Vec<f32>,
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

    /// The same in so many samples at most, to be drawn or kept: each is one of several that follow
    /// each other, with the mean of their rates, processor times and medians, and the most of all else.
    #[must_use]
    pub fn thinned(&self, samples: usize) -> Self {
        let group = self.at.len().div_ceil(samples.max(1)).max(1);
        let topics = self.topics.iter().map(|topic| TopicHistory {
            topic: topic.topic.clone(),
            per_second: means(&topic.per_second, group),
            lag: most(&topic.lag, group),
        });
        let latencies = self.latencies.iter().map(|latency| {
            let known = |part: &[Option<f64>]| part.iter().flatten().copied().collect::<Vec<_>>();
            let p50 = latency.p50.chunks(group);
            let p99 = latency.p99.chunks(group);
            LatencyHistory {
                topic: latency.topic.clone(),
                p50: p50.map(|part| mean(&known(part))).collect(),
                p99: p99
                    .map(|part| known(part).into_iter().reduce(f64::max))
                    .collect(),
            }
        });
        let percent = |values: &[f32]| {
            let values: Vec<_> = values.iter().copied().map(f64::from).collect();
            let means = means(&values, group).into_iter();
            means.map(|mean| mean as f32).collect()
        };
        Self {
            at: most(&self.at, group),
            memory_bytes: most(&self.memory_bytes, group),
            cpu_percent: percent(&self.cpu_percent),
            processes_memory_bytes: most(&self.processes_memory_bytes, group),
            processes_cpu_percent: percent(&self.processes_cpu_percent),
            topics: topics.collect(),
            latencies: latencies.collect(),
        }
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The mean of each so many.
fn means(values: &[f64], group: usize) -> Vec<f64> {
    values.chunks(group).filter_map(mean).collect()
}

/// The most of each so many.
fn most<T: Copy + Ord>(values: &[T], group: usize) -> Vec<T> {
    let most = values.chunks(group).map(|part| part.iter().max().copied());
    most.flatten().collect()
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
    /// Of the processes that are run.
    processes: ProcessUsage,
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
        processes: ProcessUsage,
        latencies: &[LatencyMetrics],
    ) {
        let mut sample = Sample {
            at,
            usage,
            processes,
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
            processes_memory_bytes: samples()
                .map(|sample| sample.processes.memory_bytes)
                .collect(),
            processes_cpu_percent: samples()
                .map(|sample| sample.processes.cpu_percent)
                .collect(),
            topics,
            latencies: latencies.collect(),
        }
    }

    pub(crate) fn reset(&mut self) {
        self.samples.clear();
        self.latencies.clear();
    }
}
