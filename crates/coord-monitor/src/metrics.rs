//! What a monitor has measured, at one moment.

use coord_bus::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Alert, DurationSummary, LatencyMetrics, Rates, Reading};

/// What a monitor has measured. Counts and durations are since it was started or
/// [reset](crate::PerformanceMonitor::reset); memory, processor time and rates are of the last
/// sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PerformanceMetrics {
    /// When this was asked for.
    pub at: Timestamp,
    /// How long the monitor has run, in seconds.
    pub uptime: f64,
    /// How long it has counted, in seconds: since it was started or reset.
    pub measured: f64,
    /// The topics of the bus, by name.
    pub topics: Vec<TopicMetrics>,
    /// The latency of events, by topic: of those that [somebody asked
    /// for](crate::PerformanceMonitor::latency).
    pub latencies: Vec<LatencyMetrics>,
    /// What this program itself uses.
    pub process: ProcessUsage,
    /// The processes that run now, by name.
    pub processes: Vec<ProcessMetrics>,
    /// The workflows.
    pub workflows: WorkflowMetrics,
    /// The steps of workflows, the slowest by mean first.
    pub steps: Vec<StepMetrics>,
    /// Errors, and what was done about them.
    pub errors: ErrorMetrics,
    /// What is beyond its [threshold](crate::MonitorBuilder::threshold) now.
    pub alerts: Vec<Alert>,
    /// What parts of the program count that the bus does not know of, as they were
    /// [added](crate::PerformanceMonitor::add_source). A reset leaves them.
    pub readings: Vec<Reading>,
    /// Readings beyond [`MAX_READINGS`](crate::MAX_READINGS).
    pub unread: usize,
    /// Events of `workflow-events`, `process-lifecycle`, `error-detected` and `error-recovery` that
    /// the monitor did not see, because they came faster than it read.
    pub missed: u64,
    /// Lines for `log-events` that found no room there, where the monitor [writes
    /// some](crate::MonitorBuilder::log).
    pub unlogged: u64,
    /// Calls of [thresholds](crate::Threshold), [sources](crate::PerformanceMonitor::add_source) and
    /// the recorder of an [export](crate#through-metrics) that panicked.
    pub panicked: u64,
    /// Processes that are not shown, because there were [`MAX_PROCESSES`](crate::MAX_PROCESSES)
    /// when they started.
    pub unwatched: u64,
}

impl PerformanceMetrics {
    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&TopicMetrics> {
        self.topics.iter().find(|topic| topic.topic == name)
    }

    /// The latency of the topic of this name.
    pub fn latency(&self, topic: &str) -> Option<&LatencyMetrics> {
        self.latencies.iter().find(|latency| latency.topic == topic)
    }

    /// The process of this name.
    pub fn process(&self, name: &str) -> Option<&ProcessMetrics> {
        self.processes
            .iter()
            .find(|process| process.process == name)
    }

    /// The step of this name, `WORKFLOW/STEP`.
    pub fn step(&self, name: &str) -> Option<&StepMetrics> {
        self.steps.iter().find(|step| step.step == name)
    }
}

/// What goes through a topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicMetrics {
    /// The topic's name, or [`OTHER`](crate::OTHER).
    pub topic: String,
    /// How many topics this row sums up: more than 1 for [`OTHER`](crate::OTHER) alone.
    pub topics: usize,
    /// Events accepted.
    pub published: u64,
    /// Deliveries made, summed over all subscribers.
    pub delivered: u64,
    /// Deliveries in the place of which a newer event was delivered.
    pub conflated: u64,
    /// Deliveries that overflow took from subscribers.
    pub dropped: u64,
    /// Events held now.
    pub depth: u64,
    /// How many events the slowest subscriber is behind now.
    pub lag: u64,
    /// Publishers that wait for room now.
    pub waiting_publishers: usize,
    /// Events published per second, between the last two samples; before there are two, since
    /// counting began.
    pub per_second: f64,
    /// The most that this was between any two samples.
    pub peak_per_second: f64,
    /// Events published per second, over longer.
    pub rates: Rates,
    /// The subscribers that there are now, by name; none for [`OTHER`](crate::OTHER).
    pub subscribers: Vec<SubscriberMetrics>,
}

/// What the subscribers of a topic that go by one name got, and did not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubscriberMetrics {
    /// Their [label](coord_bus::SubscriberStats::label), or [`OTHER`](crate::OTHER).
    pub subscriber: String,
    /// How many there are.
    pub subscribers: usize,
    /// Events delivered, summed over them.
    pub delivered: u64,
    /// Events in the place of which they got a newer one.
    pub conflated: u64,
    /// Events that overflow took from them.
    pub dropped: u64,
    /// How many events the slowest of them is behind now.
    pub lag: u64,
}

/// What a process uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessUsage {
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// Processor time, in percent of one core: two busy threads are 200. It takes two samples, 0.2 s
    /// or more apart, to be known; 0 until then.
    pub cpu_percent: f32,
}

/// What a process and all that it has started use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessMetrics {
    /// The name under which it was started.
    pub process: String,
    /// Its process id.
    pub pid: u32,
    /// Resident memory in bytes, summed over it and its descendants; memory that they share counts
    /// for each.
    pub memory_bytes: u64,
    /// Processor time in percent of one core, summed likewise.
    pub cpu_percent: f32,
    /// How many processes it is, with its descendants.
    pub processes: usize,
}

/// How workflows got on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkflowMetrics {
    /// Runs that have started and not ended.
    pub active: usize,
    /// Runs that completed.
    pub completed: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Runs that were cancelled.
    pub cancelled: u64,
    /// Runs that took too long.
    pub timed_out: u64,
    /// What became of their steps.
    pub steps: StepCounts,
    /// How long runs took that have ended, in whatever way.
    pub duration: Option<DurationSummary>,
}

/// What became of steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepCounts {
    /// Steps that are done.
    pub completed: u64,
    /// Steps that failed for good.
    pub failed: u64,
    /// Steps that did not run.
    pub skipped: u64,
    /// Attempts that failed and were followed by another.
    pub retried: u64,
}

/// How one step of a workflow got on, over all runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepMetrics {
    /// `WORKFLOW/STEP`, or [`OTHER`](crate::OTHER).
    pub step: String,
    /// Attempts that began.
    pub attempts: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// How long an attempt took that completed the step, or failed it for good.
    pub duration: Option<DurationSummary>,
}

/// Errors that were detected, and what was done about them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorMetrics {
    /// Those that are worth a note.
    pub infos: u64,
    /// Those where something is not as it should be.
    pub warnings: u64,
    /// Those where something failed.
    pub errors: u64,
    /// Those with which a program cannot do what it is for.
    pub critical: u64,
    /// By kind, the most frequent first.
    pub kinds: Vec<ErrorKind>,
    /// Attempts to recover that were made.
    pub attempts: u64,
    /// Errors that were recovered from.
    pub recovered: u64,
    /// Errors that were given up.
    pub given_up: u64,
    /// How long it took to recover.
    pub time_to_recover: Option<DurationSummary>,
}

impl ErrorMetrics {
    /// Errors of all severities.
    pub fn detected(&self) -> u64 {
        self.infos + self.warnings + self.errors + self.critical
    }
}

/// How often errors of a kind were detected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorKind {
    /// The kind, or [`OTHER`](crate::OTHER).
    pub kind: String,
    /// How often.
    pub count: u64,
}
