//! The tables of a report: what there is nothing of has none.

use std::cmp::Reverse;

use super::{ROWS_MAX, Report, Table};
use crate::{DurationSummary, LatencyMetrics, TopicMetrics, Unit};

pub(super) fn of(report: &Report) -> Vec<Table> {
    let tables = [
        alerts(report),
        topics(report),
        subscribers(report),
        latencies(&report.metrics.latencies),
        steps(report),
        processes(report),
        errors(report),
        readings(report),
    ];
    tables
        .into_iter()
        .filter(|table| !table.rows.is_empty())
        .collect()
}

fn table(title: &'static str, heads: &[&'static str]) -> Table {
    Table {
        title,
        heads: heads.to_vec(),
        rows: Vec::new(),
        rest: None,
    }
}

impl Table {
    /// At most so many rows; what the others are is said in a line.
    fn bounded(mut self, what: &str) -> Self {
        let more = self.rows.len().saturating_sub(ROWS_MAX);
        if more > 0 {
            self.rows.truncate(ROWS_MAX);
            self.rest = Some(format!("and {more} more {what}"));
        }
        self
    }
}

fn count(count: u64) -> String {
    Unit::Count.of(count as f64)
}

fn alerts(report: &Report) -> Table {
    let mut table = table(
        "Alerts",
        &["alert", "severity", "value", "limit", "since (UTC)"],
    );
    table.rows.extend(report.metrics.alerts.iter().map(|alert| {
        vec![
            alert.alert.clone(),
            alert.severity.to_string(),
            alert
                .value
                .map_or_else(|| "–".to_owned(), |value| format!("{value:.3}")),
            format!("{:.3}", alert.limit),
            alert.since.strftime("%H:%M:%S").to_string(),
        ]
    }));
    table
}

fn topics(report: &Report) -> Table {
    let heads = [
        "topic",
        "published",
        "1 s",
        "10 s",
        "1 min",
        "5 min",
        "peak",
        "behind",
        "dropped",
        "of late",
    ];
    let mut table = table("Topics", &heads);
    let is_used = |topic: &&TopicMetrics| topic.published > 0 || topic.lag > 0;
    let mut topics: Vec<_> = report.metrics.topics.iter().filter(is_used).collect();
    topics.sort_by_key(|topic| Reverse(topic.published));
    table.rows.extend(topics.into_iter().map(|topic| {
        let rates = &topic.rates;
        let rate = |rate| Unit::PerSecond.of(rate);
        vec![
            match topic.topics {
                1 => topic.topic.clone(),
                many => format!("{} ({many} topics)", topic.topic),
            },
            count(topic.published),
            rate(rates.second),
            rate(rates.ten_seconds),
            rate(rates.minute),
            rate(rates.five_minutes),
            rate(topic.peak_per_second),
            count(topic.lag),
            count(topic.dropped),
            report.sparkline(&topic.topic),
        ]
    }));
    table.bounded("topics")
}

/// Those that are behind or have lost something: the others are as they should be.
fn subscribers(report: &Report) -> Table {
    let heads = ["subscriber", "delivered", "behind", "conflated", "dropped"];
    let mut table = table("Subscribers behind", &heads);
    let topics = report.metrics.topics.iter();
    let all = topics.flat_map(|topic| topic.subscribers.iter().map(move |it| (topic, it)));
    let mut behind: Vec<_> = all.filter(|(_, it)| it.lag + it.dropped > 0).collect();
    behind.sort_by_key(|(_, it)| Reverse(it.lag.max(it.dropped)));
    table.rows.extend(behind.into_iter().map(|(topic, it)| {
        vec![
            format!("{} ← {}", it.subscriber, topic.topic),
            count(it.delivered),
            count(it.lag),
            count(it.conflated),
            count(it.dropped),
        ]
    }));
    table.bounded("subscribers")
}

fn seconds(summary: &Option<DurationSummary>, of: fn(&DurationSummary) -> f64) -> String {
    let seconds = summary.as_ref().map(of);
    seconds.map_or_else(|| "–".to_owned(), |seconds| Unit::Seconds.of(seconds))
}

pub(crate) fn latencies(latencies: &[LatencyMetrics]) -> Table {
    let heads = [
        "latency",
        "handled",
        "queued p50",
        "queued p99",
        "handled p50",
        "handled p99",
        "total p50",
        "total p99",
        "total p99.9",
        "most",
    ];
    let mut table = table("Latency", &heads);
    let used = latencies.iter().filter(|it| it.handled.is_some());
    table.rows.extend(used.map(|it| {
        let handled = it.handled.as_ref().map_or(0, |handled| handled.count);
        vec![
            it.topic.clone(),
            count(handled),
            seconds(&it.queued, |it| it.p50),
            seconds(&it.queued, |it| it.p99),
            seconds(&it.handled, |it| it.p50),
            seconds(&it.handled, |it| it.p99),
            seconds(&it.total, |it| it.p50),
            seconds(&it.total, |it| it.p99),
            seconds(&it.total, |it| it.p999),
            seconds(&it.total, |it| it.max),
        ]
    }));
    table.bounded("topics")
}

fn steps(report: &Report) -> Table {
    let heads = ["step", "attempts", "failures", "mean", "p50", "p95", "most"];
    let mut table = table("Slowest steps", &heads);
    table.rows.extend(report.metrics.steps.iter().map(|step| {
        vec![
            step.step.clone(),
            count(step.attempts),
            count(step.failures),
            seconds(&step.duration, |it| it.mean),
            seconds(&step.duration, |it| it.p50),
            seconds(&step.duration, |it| it.p95),
            seconds(&step.duration, |it| it.max),
        ]
    }));
    table.bounded("steps")
}

fn processes(report: &Report) -> Table {
    let heads = ["process", "pid", "processes", "memory", "processor"];
    let mut table = table("Processes", &heads);
    table.rows.extend(report.metrics.processes.iter().map(|it| {
        vec![
            it.process.clone(),
            it.pid.to_string(),
            it.processes.to_string(),
            Unit::Bytes.of(it.memory_bytes as f64),
            Unit::Percent.of(it.cpu_percent.into()),
        ]
    }));
    table.bounded("processes")
}

fn errors(report: &Report) -> Table {
    let mut table = table("Errors", &["error", "times"]);
    let errors = &report.metrics.errors;
    let kinds = errors.kinds.iter();
    table
        .rows
        .extend(kinds.map(|it| vec![it.kind.clone(), count(it.count)]));
    let mut table = table.bounded("kinds");
    let recoveries = errors.recovered + errors.given_up;
    if recoveries > 0 {
        let took = seconds(&errors.time_to_recover, |it| it.mean);
        table.rest = Some(format!(
            "{} of {recoveries} recoveries succeeded, in {took} on average",
            errors.recovered
        ));
    }
    table
}

fn readings(report: &Report) -> Table {
    let mut table = table("Readings", &["of", "figure", "value"]);
    let used = report
        .metrics
        .readings
        .iter()
        .filter(|reading| reading.value > 0);
    table.rows.extend(used.map(|reading| {
        vec![
            reading.subject.clone(),
            reading.figure.clone(),
            count(reading.value),
        ]
    }));
    table.bounded("readings")
}
