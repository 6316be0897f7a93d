//! What happened between two snapshots.

use std::collections::HashMap;

use crate::measuring::counting_began;
use crate::{
    DurationSummary, ErrorKind, ErrorMetrics, LatencyMetrics, PerformanceMetrics, StepCounts,
    StepMetrics, SubscriberMetrics, TopicMetrics, WorkflowMetrics,
};

impl PerformanceMetrics {
    /// What was counted between an earlier snapshot and this one: counts, durations, and rates,
    /// which are means of the time between. What is of a moment (depth, lag, memory, processor
    /// time, what is active, alerts), peaks, [`rates`](TopicMetrics::rates) and
    /// [`readings`](Self::readings) are those of this snapshot; [`measured`](Self::measured) is the
    /// time between.
    ///
    /// Both are to be of one monitor, without a [reset](crate::PerformanceMonitor::reset) between:
    /// a count that went down is 0. Durations are `None` where one of the two was written and read
    /// back, as histograms are not written; an empty `earlier` is as good as none.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use coord_bus::{BusExt, LocalBus, Topic};
    /// # use coord_monitor::PerformanceMonitor;
    /// # const TICKS: Topic<u32> = Topic::new("ticks");
    /// # let bus = LocalBus::new();
    /// # let monitor = PerformanceMonitor::new(Arc::new(bus.clone()))?;
    /// # let ticks = bus.publisher(&TICKS)?;
    /// ticks.publish(1).await?;
    /// let before = monitor.performance_metrics();
    /// ticks.publish(2).await?;
    /// ticks.publish(3).await?;
    /// coord_bus::time::sleep(Duration::from_millis(100)).await;
    /// let between = monitor.performance_metrics().since(&before);
    /// let ticks = between.topic("ticks").unwrap();
    /// assert_eq!((ticks.published, ticks.per_second), (2, 20.0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let seconds = (self.uptime - earlier.uptime).max(0.0);
        let topics = paired(&self.topics, &earlier.topics, |topic| &topic.topic);
        let latencies = paired(&self.latencies, &earlier.latencies, |it| &it.topic);
        let steps = paired(&self.steps, &earlier.steps, |step| &step.step);
        Self {
            measured: seconds,
            topics: topics
                .map(|(now, then)| topic(now, then, seconds))
                .collect(),
            latencies: latencies.map(|(now, then)| latency(now, then)).collect(),
            workflows: workflows(&self.workflows, &earlier.workflows),
            steps: steps.map(|(now, then)| step(now, then)).collect(),
            errors: errors(&self.errors, &earlier.errors),
            missed: self.missed.saturating_sub(earlier.missed),
            unlogged: self.unlogged.saturating_sub(earlier.unlogged),
            panicked: self.panicked.saturating_sub(earlier.panicked),
            unwatched: self.unwatched.saturating_sub(earlier.unwatched),
            ..self.clone()
        }
    }

    /// What a snapshot would have been when counting began: there was nothing yet.
    pub(crate) fn when_counting_began(&self) -> Self {
        Self {
            uptime: counting_began(self),
            measured: 0.0,
            topics: Vec::new(),
            latencies: Vec::new(),
            workflows: WorkflowMetrics::default(),
            steps: Vec::new(),
            errors: ErrorMetrics::default(),
            missed: 0,
            unlogged: 0,
            panicked: 0,
            unwatched: 0,
            ..self.clone()
        }
    }
}

/// Each row of now with the one of its name of then.
fn paired<'a, R>(
    now: &'a [R],
    then: &'a [R],
    name: fn(&R) -> &String,
) -> impl Iterator<Item = (&'a R, Option<&'a R>)> {
    let then: HashMap<&String, &R> = then.iter().map(|row| (name(row), row)).collect();
    now.iter()
        .map(move |row| (row, then.get(name(row)).copied()))
}

fn topic(now: &TopicMetrics, then: Option<&TopicMetrics>, seconds: f64) -> TopicMetrics {
    let count = |of: fn(&TopicMetrics) -> u64| of(now).saturating_sub(then.map_or(0, of));
    let published = count(|topic| topic.published);
    let before = then.map_or(&[][..], |then| &then.subscribers);
    let subscribers = paired(&now.subscribers, before, |it| &it.subscriber);
    TopicMetrics {
        published,
        delivered: count(|topic| topic.delivered),
        conflated: count(|topic| topic.conflated),
        dropped: count(|topic| topic.dropped),
        per_second: if seconds > 0.0 {
            published as f64 / seconds
        } else {
            0.0
        },
        subscribers: subscribers
            .map(|(now, then)| subscriber(now, then))
            .collect(),
        ..now.clone()
    }
}

fn subscriber(now: &SubscriberMetrics, then: Option<&SubscriberMetrics>) -> SubscriberMetrics {
    let count = |of: fn(&SubscriberMetrics) -> u64| of(now).saturating_sub(then.map_or(0, of));
    SubscriberMetrics {
        delivered: count(|it| it.delivered),
        conflated: count(|it| it.conflated),
        dropped: count(|it| it.dropped),
        ..now.clone()
    }
}

fn latency(now: &LatencyMetrics, then: Option<&LatencyMetrics>) -> LatencyMetrics {
    let part = |of: fn(&LatencyMetrics) -> &Option<DurationSummary>| {
        between(of(now), then.and_then(|then| of(then).as_ref()))
    };
    LatencyMetrics {
        topic: now.topic.clone(),
        queued: part(|it| &it.queued),
        handled: part(|it| &it.handled),
        total: part(|it| &it.total),
        unstamped: now
            .unstamped
            .saturating_sub(then.map_or(0, |then| then.unstamped)),
    }
}

fn between(
    now: &Option<DurationSummary>,
    then: Option<&DurationSummary>,
) -> Option<DurationSummary> {
    now.as_ref()?.since(then)
}

fn workflows(now: &WorkflowMetrics, then: &WorkflowMetrics) -> WorkflowMetrics {
    let (steps, before) = (now.steps, then.steps);
    WorkflowMetrics {
        active: now.active,
        completed: now.completed.saturating_sub(then.completed),
        failed: now.failed.saturating_sub(then.failed),
        cancelled: now.cancelled.saturating_sub(then.cancelled),
        timed_out: now.timed_out.saturating_sub(then.timed_out),
        steps: StepCounts {
            completed: steps.completed.saturating_sub(before.completed),
            failed: steps.failed.saturating_sub(before.failed),
            skipped: steps.skipped.saturating_sub(before.skipped),
            retried: steps.retried.saturating_sub(before.retried),
        },
        duration: between(&now.duration, then.duration.as_ref()),
    }
}

fn step(now: &StepMetrics, then: Option<&StepMetrics>) -> StepMetrics {
    let count = |of: fn(&StepMetrics) -> u64| of(now).saturating_sub(then.map_or(0, of));
    StepMetrics {
        step: now.step.clone(),
        attempts: count(|step| step.attempts),
        failures: count(|step| step.failures),
        duration: between(&now.duration, then.and_then(|then| then.duration.as_ref())),
    }
}

fn errors(now: &ErrorMetrics, then: &ErrorMetrics) -> ErrorMetrics {
    let count = |of: fn(&ErrorMetrics) -> u64| of(now).saturating_sub(of(then));
    let kinds = paired(&now.kinds, &then.kinds, |kind| &kind.kind);
    let kinds = kinds.map(|(now, then)| ErrorKind {
        kind: now.kind.clone(),
        count: now.count.saturating_sub(then.map_or(0, |then| then.count)),
    });
    ErrorMetrics {
        infos: count(|it| it.infos),
        warnings: count(|it| it.warnings),
        errors: count(|it| it.errors),
        critical: count(|it| it.critical),
        kinds: kinds.filter(|kind| kind.count > 0).collect(),
        attempts: count(|it| it.attempts),
        recovered: count(|it| it.recovered),
        given_up: count(|it| it.given_up),
        time_to_recover: between(&now.time_to_recover, then.time_to_recover.as_ref()),
    }
}
