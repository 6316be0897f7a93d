//! What a monitor tells by itself: `performance-report` at intervals, and lines for the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coord_bus::time;
use coord_bus::vocabulary::{
    AlertState, ErrorDetected, ErrorRecovery, LOG_EVENTS, LogEvent, LogLevel, PERFORMANCE_REPORT,
    PerformanceAlert, PerformanceReport, Recovery, Severity,
};
use coord_bus::{Bus, BusError, BusExt, Publisher, Timestamp};

use crate::measuring::{Measuring, counting_began, is_reset};
use crate::repeats::Repeats;
use crate::{PerformanceMetrics, Unit};

/// Who says it, in the log.
const SOURCE: &str = "performance-monitor";

/// Publishes reports.
pub(crate) struct Reporter {
    reports: Publisher<PerformanceReport>,
    interval: Duration,
}

impl Reporter {
    pub(crate) fn new(bus: &dyn Bus, interval: Duration) -> Result<Self, BusError> {
        Ok(Self {
            reports: bus.publisher(&PERFORMANCE_REPORT)?,
            interval,
        })
    }

    /// Reports in each interval what was since `before`, until the topic is closed. A report that finds no room is not
    /// made: the next one is of the time of both.
    pub(crate) async fn report(&self, measuring: &Measuring, mut before: PerformanceMetrics) {
        loop {
            time::sleep(self.interval).await;
            let now = measuring.metrics();
            let report = match is_reset(counting_began(&before), &now) {
                true => report(&now),
                false => report(&now.since(&before)),
            };
            match self.reports.try_publish(report.clone()) {
                Ok(()) => {
                    measuring.log.report(&report);
                    before = now;
                }
                Err(refused) if refused.is_closed() => return,
                Err(_) => {}
            }
        }
    }
}

fn report(between: &PerformanceMetrics) -> PerformanceReport {
    let sum = |of: fn(&crate::TopicMetrics) -> u64| between.topics.iter().map(of).sum::<u64>();
    let slowest = between.topics.iter().max_by_key(|topic| topic.lag);
    let slowest = slowest.filter(|topic| topic.lag > 0);
    let runs = &between.workflows;
    let mut report = PerformanceReport::new(between.at);
    report.measured = Duration::try_from_secs_f64(between.measured).unwrap_or_default();
    report.published = sum(|topic| topic.published);
    report.delivered = sum(|topic| topic.delivered);
    report.dropped = sum(|topic| topic.dropped);
    if between.measured > 0.0 {
        report.per_second = report.published as f64 / between.measured;
    }
    report.lag = slowest.map_or(0, |topic| topic.lag);
    report.lagging = slowest.map(|topic| topic.topic.clone());
    report.memory_bytes = between.process.memory_bytes;
    report.cpu_percent = between.process.cpu_percent;
    report.active_runs = runs.active;
    report.completed_runs = runs.completed;
    report.other_runs = runs.failed + runs.cancelled + runs.timed_out;
    report.errors = between.errors.detected();
    report.alerts = between.alerts.len();
    report
}

/// Writes into the log of the bus, where that is asked for. Nobody waits for it: what finds no room
/// is counted.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Option<Publisher<LogEvent>>,
    lost: AtomicU64,
    /// Of errors, and of what is done about them.
    repeats: Mutex<Repeats>,
}

impl Log {
    pub(crate) fn new(bus: &dyn Bus, is_kept: bool) -> Result<Self, BusError> {
        Ok(Self {
            lines: match is_kept {
                true => Some(bus.publisher(&LOG_EVENTS)?),
                false => None,
            },
            lost: AtomicU64::new(0),
            repeats: Mutex::default(),
        })
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn reset(&self) {
        self.lost.store(0, Ordering::Relaxed);
    }

    fn write(
        &self,
        at: Timestamp,
        level: LogLevel,
        source: &str,
        message: impl FnOnce() -> String,
    ) {
        let Some(lines) = &self.lines else { return };
        let line = LogEvent {
            at,
            level,
            source: source.to_owned(),
            message: message(),
        };
        if lines.try_publish(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The same, of what may be said again and again.
    fn write_repeated(
        &self,
        at: Timestamp,
        level: LogLevel,
        (source, kind): (&str, &str),
        message: &str,
    ) {
        if self.lines.is_none() {
            return;
        }
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(more) = repeats.admit(source, kind) else {
            return;
        };
        self.write(at, level, source, || match more {
            0 => format!("{kind}: {message}"),
            1 => format!("{kind}: {message}; one more before it was not logged"),
            more => format!("{kind}: {message}; {more} more before it were not logged"),
        });
    }

    fn report(&self, report: &PerformanceReport) {
        self.write(report.at, LogLevel::Info, SOURCE, || {
            format!(
                "{} events, {}; {} behind at most, {} dropped; {}, {} of a core; {} errors",
                Unit::Count.of(report.published as f64),
                Unit::PerSecond.of(report.per_second),
                report.lag,
                report.dropped,
                Unit::Bytes.of(report.memory_bytes as f64),
                Unit::Percent.of(f64::from(report.cpu_percent)),
                report.errors,
            )
        });
    }

    pub(crate) fn alert(&self, alert: &PerformanceAlert) {
        let level = match alert.state {
            AlertState::Opened => level(alert.severity),
            AlertState::Closed => LogLevel::Info,
        };
        self.write(alert.at, level, SOURCE, || {
            let PerformanceAlert {
                alert: name,
                state,
                limit,
                ..
            } = alert;
            match alert.value {
                Some(value) => format!("alert `{name}` {state}: {value}, the limit is {limit}"),
                None => format!("alert `{name}` {state}: it is not measured any more"),
            }
        });
    }

    pub(crate) fn error(&self, error: &ErrorDetected) {
        let of = (&*error.source, &*error.kind);
        self.write_repeated(error.at, level(error.severity), of, &error.message);
    }

    pub(crate) fn recovery(&self, recovery: &ErrorRecovery) {
        let strategy = &recovery.strategy;
        let (level, message) = match &recovery.progress {
            Recovery::Attempting { attempt, wait } => {
                let wait = Unit::Seconds.of(wait.as_secs_f64());
                let message = format!("attempt {attempt} follows in {wait}");
                (LogLevel::Info, message)
            }
            Recovery::Recovered { attempt, duration } => {
                let took = Unit::Seconds.of(duration.as_secs_f64());
                let message = format!("all is well after {took}, attempt {attempt}");
                (LogLevel::Info, message)
            }
            Recovery::GaveUp { attempts, reason } => {
                let message = format!("given up after {attempts} attempts: {reason}");
                (LogLevel::Error, message)
            }
            // A progress that came into the vocabulary later.
            _ => return,
        };
        let of = (&*recovery.source, &**strategy);
        self.write_repeated(recovery.at, level, of, &message);
    }
}

fn level(severity: Severity) -> LogLevel {
    match severity {
        Severity::Info => LogLevel::Info,
        Severity::Warning => LogLevel::Warn,
        Severity::Error | Severity::Critical => LogLevel::Error,
    }
}
