//! The last samples, for sparklines.

use std::collections::VecDeque;

use coord_bus::Timestamp;
use serde::Serialize;

use crate::ProcessUsage;

/// How many samples are kept where nothing else is said: two minutes, at one a second.
pub const DEFAULT_HISTORY: usize = 120;

/// The most samples that can be kept: an hour, at one a second.
pub const MAX_HISTORY: usize = 3600;

/// The last samples: lists of equal length, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
}

/// How fast events were published to a topic.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TopicHistory {
    /// The topic's name, or [`OTHER`](crate::OTHER).
    pub topic: String,
    /// Events per second since the sample before; 0 before the topic was there.
    pub per_second: Vec<f64>,
}

impl History {
    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&TopicHistory> {
        self.topics.iter().find(|topic| topic.topic == name)
    }
}

/// The part of the history that is the program's own.
#[derive(Debug)]
pub(crate) struct Ring {
    samples: VecDeque<(Timestamp, ProcessUsage)>,
    length: usize,
}

impl Ring {
    pub(crate) fn new(length: usize) -> Self {
        Self {
            samples: VecDeque::new(),
            length,
        }
    }

    pub(crate) fn push(&mut self, at: Timestamp, usage: ProcessUsage) {
        self.samples.push_back((at, usage));
        if self.samples.len() > self.length {
            self.samples.pop_front();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(crate) fn history(&self, topics: Vec<TopicHistory>) -> History {
        let samples = self.samples.iter();
        History {
            at: samples.clone().map(|(at, _)| *at).collect(),
            memory_bytes: samples.clone().map(|(_, used)| used.memory_bytes).collect(),
            cpu_percent: samples.map(|(_, used)| used.cpu_percent).collect(),
            topics,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.samples.clear();
    }
}
