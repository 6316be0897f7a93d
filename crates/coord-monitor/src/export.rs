//! What is measured, through the facade of the crate [`metrics`], under the names of OpenTelemetry
//! where it has one.

mod family;
mod names;

use std::thread::available_parallelism;
use std::time::Duration;

use coord_bus::time;
use metrics::{Label, counter, gauge, histogram};

use self::family::Family;
use crate::measuring::{Measuring, counting_began, is_reset};
use crate::sums::Counts;
use crate::{
    DurationSummary, MAX_ERROR_KINDS, MAX_LATENCY_TOPICS, MAX_PROCESSES, MAX_READINGS, MAX_STEPS,
    MAX_TOPICS, OTHER, PerformanceMetrics, ProcessMetrics, ProcessUsage,
};

/// The most subscribers that an exporter ever gets a row of, over all topics: ten thousand of them would
/// be more than those who store metrics ask for. The others are summed up in one.
const MAX_SUBSCRIBERS: usize = 1000;

/// Which messaging system this is, as OpenTelemetry asks each to say.
const SYSTEM: &str = "coord";

/// Exports in each interval, for ever.
pub(crate) async fn export(
    measuring: &Measuring,
    interval: Duration,
    mut before: PerformanceMetrics,
) {
    let panics = &measuring.panics;
    let name = || "export".to_owned();
    panics.catch(name, names::describe);
    let mut exporter = Exporter::new();
    // What was counted before there was an exporter is counted too.
    let mut between = before.clone();
    loop {
        // The recorder is the program's.
        panics.catch(name, || exporter.now(&between));
        time::sleep(interval).await;
        let after = measuring.metrics();
        // Counters of an exporter never go back, also when these do.
        between = match is_reset(counting_began(&before), &after) {
            true => after.clone(),
            false => after.since(&before),
        };
        before = after;
    }
}

/// Which labels have been given out.
struct Exporter {
    topics: Family<String>,
    subscribers: Family<(String, String)>,
    latencies: Family<String>,
    processes: Family<String>,
    steps: Family<String>,
    kinds: Family<String>,
    readings: Family<(String, String)>,
    /// How many processors there are for the program.
    processors: f64,
}

impl Exporter {
    fn new() -> Self {
        let other = || Some(OTHER.to_owned());
        Self {
            topics: Family::new(MAX_TOPICS, other()),
            subscribers: Family::new(MAX_SUBSCRIBERS, other().zip(other())),
            latencies: Family::new(MAX_LATENCY_TOPICS, other()),
            processes: Family::new(MAX_PROCESSES, other()),
            steps: Family::new(MAX_STEPS, other()),
            kinds: Family::new(MAX_ERROR_KINDS, other()),
            readings: Family::new(MAX_READINGS, None),
            processors: available_parallelism().map_or(1.0, |processors| processors.get() as f64),
        }
    }

    fn now(&mut self, between: &PerformanceMetrics) {
        self.topics(between);
        self.subscribers(between);
        self.latencies(between);
        self.program(between);
        workflows(between);
        self.steps(between);
        self.errors(between);
        self.readings(between);
        monitor(between);
    }

    fn topics(&mut self, between: &PerformanceMetrics) {
        let rows = between.topics.iter().map(|topic| {
            let counts = Counts {
                of: topic.topics,
                published: topic.published,
                delivered: topic.delivered,
                conflated: topic.conflated,
                dropped: topic.dropped,
                depth: topic.depth,
                lag: topic.lag,
                waiting_publishers: topic.waiting_publishers,
            };
            (topic.topic.clone(), counts)
        });
        for (topic, counts) in self.topics.rows(rows, Counts::merge) {
            let (sent, consumed) = (messaging("publish", &topic), messaging("receive", &topic));
            counter!("messaging.client.sent.messages", sent).increment(counts.published);
            counter!("messaging.client.consumed.messages", consumed).increment(counts.delivered);
            let labels = || vec![destination(&topic)];
            counter!("coord.topic.dropped", labels()).increment(counts.dropped);
            counter!("coord.topic.conflated", labels()).increment(counts.conflated);
            gauge!("coord.topic.depth", labels()).set(counts.depth as f64);
            gauge!("coord.topic.lag", labels()).set(counts.lag as f64);
            let waiting = counts.waiting_publishers as f64;
            gauge!("coord.topic.waiting_publishers", labels()).set(waiting);
        }
    }

    fn subscribers(&mut self, between: &PerformanceMetrics) {
        let topics = between.topics.iter();
        let all = topics.flat_map(|topic| topic.subscribers.iter().map(move |it| (topic, it)));
        let rows = all.map(|(topic, it)| {
            let counts = Counts {
                of: it.subscribers,
                delivered: it.delivered,
                conflated: it.conflated,
                dropped: it.dropped,
                lag: it.lag,
                ..Counts::default()
            };
            ((topic.topic.clone(), it.subscriber.clone()), counts)
        });
        for ((topic, subscriber), counts) in self.subscribers.rows(rows, Counts::merge) {
            let labels = || {
                let subscriber = Label::new("subscriber", subscriber.clone());
                vec![destination(&topic), subscriber]
            };
            counter!("coord.subscriber.delivered", labels()).increment(counts.delivered);
            counter!("coord.subscriber.dropped", labels()).increment(counts.dropped);
            counter!("coord.subscriber.conflated", labels()).increment(counts.conflated);
            gauge!("coord.subscriber.lag", labels()).set(counts.lag as f64);
        }
    }

    fn latencies(&mut self, between: &PerformanceMetrics) {
        for latency in &between.latencies {
            let Some(topic) = self.latencies.label(latency.topic.clone()) else {
                continue;
            };
            let handled = latency.handled.as_ref();
            let process = messaging("process", &topic);
            durations("messaging.process.duration", process, handled);
            let queued = latency.queued.as_ref();
            durations("coord.topic.queued", vec![destination(&topic)], queued);
        }
    }

    fn program(&mut self, between: &PerformanceMetrics) {
        let own = between.process;
        gauge!("process.memory.usage").set(own.memory_bytes as f64);
        gauge!("process.cpu.utilization").set(utilization(own.cpu_percent, self.processors));
        let rows = between.processes.iter();
        let rows = rows.map(|process| (process.process.clone(), Tree::of(process)));
        for (process, tree) in self.processes.rows(rows, Tree::merge) {
            let labels = || vec![Label::new("process", process.clone())];
            gauge!("coord.process.memory.usage", labels()).set(tree.usage.memory_bytes as f64);
            let used = utilization(tree.usage.cpu_percent, self.processors);
            gauge!("coord.process.cpu.utilization", labels()).set(used);
            gauge!("coord.process.count", labels()).set(tree.processes as f64);
        }
    }

    fn steps(&mut self, between: &PerformanceMetrics) {
        for step in &between.steps {
            let Some(name) = self.steps.label(step.step.clone()) else {
                continue;
            };
            let labels = || vec![Label::new("step", name.clone())];
            counter!("coord.step.attempts", labels()).increment(step.attempts);
            counter!("coord.step.failures", labels()).increment(step.failures);
            durations("coord.step.duration", labels(), step.duration.as_ref());
        }
    }

    fn errors(&mut self, between: &PerformanceMetrics) {
        let errors = &between.errors;
        for (severity, count) in [
            ("info", errors.infos),
            ("warning", errors.warnings),
            ("error", errors.errors),
            ("critical", errors.critical),
        ] {
            counter!("coord.errors", "severity" => severity).increment(count);
        }
        for kind in &errors.kinds {
            if let Some(name) = self.kinds.label(kind.kind.clone()) {
                counter!("coord.error.types", "error.type" => name).increment(kind.count);
            }
        }
        counter!("coord.recovery.attempts").increment(errors.attempts);
        for (outcome, count) in [
            ("recovered", errors.recovered),
            ("gave-up", errors.given_up),
        ] {
            counter!("coord.recoveries", "outcome" => outcome).increment(count);
        }
        let took = errors.time_to_recover.as_ref();
        durations("coord.recovery.duration", Vec::new(), took);
    }

    fn readings(&mut self, between: &PerformanceMetrics) {
        let rows = between.readings.iter().map(|reading| {
            let labels = (reading.subject.clone(), reading.figure.clone());
            (labels, reading.value)
        });
        let sum = |sum: &mut u64, more: &u64| *sum = sum.saturating_add(*more);
        for ((subject, figure), value) in self.readings.rows(rows, sum) {
            gauge!("coord.reading", "subject" => subject, "figure" => figure).set(value as f64);
        }
    }
}

fn workflows(between: &PerformanceMetrics) {
    let runs = &between.workflows;
    gauge!("coord.workflow.active").set(runs.active as f64);
    for (outcome, count) in [
        ("completed", runs.completed),
        ("failed", runs.failed),
        ("cancelled", runs.cancelled),
        ("timed-out", runs.timed_out),
    ] {
        counter!("coord.workflow.runs", "outcome" => outcome).increment(count);
    }
    let took = runs.duration.as_ref();
    durations("coord.workflow.duration", Vec::new(), took);
    for (outcome, count) in [
        ("completed", runs.steps.completed),
        ("failed", runs.steps.failed),
        ("skipped", runs.steps.skipped),
    ] {
        counter!("coord.workflow.steps", "outcome" => outcome).increment(count);
    }
    counter!("coord.workflow.retries").increment(runs.steps.retried);
}

fn monitor(between: &PerformanceMetrics) {
    gauge!("coord.alerts").set(between.alerts.len() as f64);
    gauge!("coord.monitor.unread").set(between.unread as f64);
    counter!("coord.monitor.missed").increment(between.missed);
    counter!("coord.monitor.unlogged").increment(between.unlogged);
    counter!("coord.monitor.panicked").increment(between.panicked);
    counter!("coord.monitor.unwatched").increment(between.unwatched);
}

/// What a process uses with all that it has started.
#[derive(Default)]
struct Tree {
    usage: ProcessUsage,
    processes: usize,
}

impl Tree {
    fn of(process: &ProcessMetrics) -> Self {
        Self {
            usage: ProcessUsage {
                memory_bytes: process.memory_bytes,
                cpu_percent: process.cpu_percent,
            },
            processes: process.processes,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.usage.memory_bytes += other.usage.memory_bytes;
        self.usage.cpu_percent += other.usage.cpu_percent;
        self.processes += other.processes;
    }
}

/// Of all processors, as OpenTelemetry has it.
fn utilization(percent_of_one: f32, processors: f64) -> f64 {
    f64::from(percent_of_one) / 100.0 / processors
}

/// The label of a topic, as OpenTelemetry calls it.
fn destination(topic: &str) -> Label {
    Label::new("messaging.destination.name", topic.to_owned())
}

/// What OpenTelemetry asks of metrics `messaging.*`: the system and the operation.
fn messaging(operation: &'static str, topic: &str) -> Vec<Label> {
    vec![
        destination(topic),
        Label::from_static_parts("messaging.system", SYSTEM),
        Label::from_static_parts("messaging.operation.name", operation),
    ]
}

/// Each of the durations, by the end of its bucket.
fn durations(name: &'static str, labels: Vec<Label>, durations: Option<&DurationSummary>) {
    let Some(durations) = durations else { return };
    let histogram = histogram!(name, labels);
    for (seconds, count) in durations.recorded() {
        histogram.record_many(seconds, usize::try_from(count).unwrap_or(usize::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_busy_threads_are_half_of_four_processors() {
        assert_eq!(utilization(200.0, 4.0), 0.5);
    }
}
