//! What is measured, through the facade of the crate [`metrics`], under the names of OpenTelemetry
//! where it has one.

use std::time::Duration;

use coord_bus::time;
use metrics::{
    Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::measuring::{Measuring, counting_began, is_reset};
use crate::{DurationSummary, PerformanceMetrics};

/// The label of a topic, as OpenTelemetry calls it.
const DESTINATION: &str = "messaging.destination.name";

/// Exports in each interval, for ever.
pub(crate) async fn export(
    measuring: &Measuring,
    interval: Duration,
    mut before: PerformanceMetrics,
) {
    let panics = &measuring.panics;
    panics.catch(|| "export".to_owned(), describe);
    // What was counted before there was an exporter is counted too.
    let mut between = before.clone();
    loop {
        // The recorder is the program's.
        panics.catch(|| "export".to_owned(), || now(&between));
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

fn describe() {
    describe_counter!(
        "messaging.client.sent.messages",
        Unit::Count,
        "Events accepted by a topic"
    );
    describe_counter!(
        "messaging.client.consumed.messages",
        Unit::Count,
        "Deliveries made"
    );
    describe_counter!(
        "coord.topic.dropped",
        Unit::Count,
        "Deliveries that overflow took"
    );
    describe_counter!(
        "coord.topic.conflated",
        Unit::Count,
        "Deliveries in the place of which a newer event came"
    );
    describe_gauge!("coord.topic.depth", Unit::Count, "Events held");
    describe_gauge!(
        "coord.topic.lag",
        Unit::Count,
        "How far the slowest subscriber is behind"
    );
    describe_gauge!(
        "coord.topic.waiting_publishers",
        Unit::Count,
        "Publishers that wait for room"
    );
    describe_histogram!(
        "messaging.process.duration",
        Unit::Seconds,
        "How long events were handled"
    );
    describe_histogram!(
        "coord.topic.queued",
        Unit::Seconds,
        "From publication until handling began"
    );
    describe_gauge!(
        "process.memory.usage",
        Unit::Bytes,
        "Resident memory of the program"
    );
    describe_gauge!(
        "process.cpu.utilization",
        "Processor time of the program; 1 is a core"
    );
    describe_gauge!("coord.workflow.active", Unit::Count, "Runs that go on");
    describe_counter!(
        "coord.workflow.runs",
        Unit::Count,
        "Runs that ended, by outcome"
    );
    describe_histogram!(
        "coord.workflow.duration",
        Unit::Seconds,
        "How long runs took"
    );
    describe_counter!(
        "coord.step.attempts",
        Unit::Count,
        "Attempts at steps that began"
    );
    describe_counter!(
        "coord.step.failures",
        Unit::Count,
        "Attempts at steps that failed"
    );
    describe_histogram!("coord.step.duration", Unit::Seconds, "How long steps took");
    describe_counter!("coord.errors", Unit::Count, "Errors detected, by severity");
    describe_counter!(
        "coord.recoveries",
        Unit::Count,
        "Recoveries that ended, by outcome"
    );
    describe_gauge!("coord.alerts", Unit::Count, "Alerts that are open");
}

fn now(between: &PerformanceMetrics) {
    for topic in &between.topics {
        let topic_is = || vec![Label::new(DESTINATION, topic.topic.clone())];
        counter!("messaging.client.sent.messages", topic_is()).increment(topic.published);
        counter!("messaging.client.consumed.messages", topic_is()).increment(topic.delivered);
        counter!("coord.topic.dropped", topic_is()).increment(topic.dropped);
        counter!("coord.topic.conflated", topic_is()).increment(topic.conflated);
        gauge!("coord.topic.depth", topic_is()).set(topic.depth as f64);
        gauge!("coord.topic.lag", topic_is()).set(topic.lag as f64);
        let waiting = topic.waiting_publishers as f64;
        gauge!("coord.topic.waiting_publishers", topic_is()).set(waiting);
    }
    for latency in &between.latencies {
        let topic_is = || vec![Label::new(DESTINATION, latency.topic.clone())];
        durations(
            "messaging.process.duration",
            topic_is(),
            latency.handled.as_ref(),
        );
        durations("coord.topic.queued", topic_is(), latency.queued.as_ref());
    }
    gauge!("process.memory.usage").set(between.process.memory_bytes as f64);
    gauge!("process.cpu.utilization").set(f64::from(between.process.cpu_percent) / 100.0);
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
    durations(
        "coord.workflow.duration",
        Vec::new(),
        runs.duration.as_ref(),
    );
    for step in &between.steps {
        let step_is = || vec![Label::new("step", step.step.clone())];
        counter!("coord.step.attempts", step_is()).increment(step.attempts);
        counter!("coord.step.failures", step_is()).increment(step.failures);
        durations("coord.step.duration", step_is(), step.duration.as_ref());
    }
    let errors = &between.errors;
    for (severity, count) in [
        ("info", errors.infos),
        ("warning", errors.warnings),
        ("error", errors.errors),
        ("critical", errors.critical),
    ] {
        counter!("coord.errors", "severity" => severity).increment(count);
    }
    for (outcome, count) in [
        ("recovered", errors.recovered),
        ("gave-up", errors.given_up),
    ] {
        counter!("coord.recoveries", "outcome" => outcome).increment(count);
    }
    gauge!("coord.alerts").set(between.alerts.len() as f64);
}

/// Each of the durations, by the end of its bucket.
fn durations(name: &'static str, labels: Vec<Label>, durations: Option<&DurationSummary>) {
    let Some(durations) = durations else { return };
    let histogram = histogram!(name, labels);
    for (seconds, count) in durations.recorded() {
        histogram.record_many(seconds, usize::try_from(count).unwrap_or(usize::MAX));
    }
}
