//! The monitor: samples counts and usage, reads what workflows and processes tell.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{Clock, SystemClock};
use coord_bus::{Bus, ShutdownReport, TaskScope};

use crate::alerts::Alerts;
use crate::measuring::{Heard, Measuring};
use crate::panics::Panics;
use crate::telling::{Log, Reporter};
use crate::usage::Usage;
use crate::{
    DEFAULT_HISTORY, History, LatencyProbe, MAX_HISTORY, MAX_THRESHOLDS, MonitorError,
    PerformanceMetrics, Reading, Report, Threshold,
};

/// How often a monitor samples where nothing else is said.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest interval: systems count processor time too coarsely for a shorter one.
pub const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// Measures what goes on on a bus and what that costs.
///
/// It has a task that samples the counts of topics and the usage of processes, once in each
/// interval, and one that reads `workflow-events`, `process-lifecycle`, `error-detected` and
/// `error-recovery`; where they are asked for, one that publishes
/// [reports](MonitorBuilder::report_every) and one that looks at
/// [thresholds](MonitorBuilder::threshold). Dropping the monitor ends them.
///
/// A threshold, a [source](Self::add_source) or a recorder of the crate `metrics` that panics is left
/// out that time, and everything else goes on: it is counted in
/// [`panicked`](PerformanceMetrics::panicked), and the first panic of each is an event on
/// `error-detected`. So is one of a task itself, which ends then.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use coord_bus::LocalBus;
/// use coord_monitor::PerformanceMonitor;
///
/// let monitor = PerformanceMonitor::builder(Arc::new(LocalBus::new()))
///     .interval(Duration::from_millis(500))
///     .history(600)
///     .build()?;
/// let metrics = monitor.performance_metrics();
/// println!("{} KiB", metrics.process.memory_bytes / 1024);
/// # Ok(())
/// # }
/// ```
pub struct PerformanceMonitor {
    measuring: Arc<Measuring>,
    scope: TaskScope,
}

/// How a monitor is to be: see [`PerformanceMonitor::builder`].
#[must_use = "a monitor is started by `build`"]
pub struct MonitorBuilder {
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    interval: Duration,
    history: usize,
    reports: Option<Duration>,
    is_logging: bool,
    thresholds: Vec<Threshold>,
    #[cfg(feature = "metrics")]
    is_exporting: bool,
}

impl PerformanceMonitor {
    /// A monitor of this bus, with the defaults.
    ///
    /// # Errors
    ///
    /// [`MonitorError::Bus`] when a topic that it reads cannot be opened.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(bus: Arc<dyn Bus>) -> Result<Self, MonitorError> {
        Self::builder(bus).build()
    }

    /// A monitor of this bus, where the defaults are not what is wanted.
    pub fn builder(bus: Arc<dyn Bus>) -> MonitorBuilder {
        MonitorBuilder {
            bus,
            clock: Arc::new(SystemClock),
            interval: DEFAULT_INTERVAL,
            history: DEFAULT_HISTORY,
            reports: None,
            is_logging: false,
            thresholds: Vec::new(),
            #[cfg(feature = "metrics")]
            is_exporting: false,
        }
    }

    /// What was measured so far. Counts of topics are of this moment.
    pub fn performance_metrics(&self) -> PerformanceMetrics {
        self.measuring.metrics()
    }

    /// The last samples, for sparklines.
    pub fn history(&self) -> History {
        self.measuring.history()
    }

    /// What was measured so far, with the history: as text, as JSON, or as a page of HTML.
    pub fn generate_report(&self) -> Report {
        Report::new(self.performance_metrics(), self.history())
    }

    /// Begins to count anew, after a warm-up for one: counts, durations, peaks and the history are
    /// empty again. Runs that are active stay so, and processes that run are watched on. Alerts that are
    /// open stay so until the monitor looks next, which is at what was counted since: one about what has
    /// been counted before closes then, one about what is so now stays open.
    pub fn reset(&self) {
        self.measuring.reset();
    }

    /// A probe by which the latency of this topic is measured, from publication until an event is
    /// handled. All probes of a topic count in one row; beyond
    /// [`MAX_LATENCY_TOPICS`](crate::MAX_LATENCY_TOPICS) topics, in [`OTHER`](crate::OTHER).
    pub fn latency(&self, topic: &str) -> LatencyProbe {
        let clock = Arc::clone(&self.measuring.clock);
        self.measuring.latencies.probe(topic, clock)
    }

    /// Puts what somebody else counts into the snapshots: it is asked once for each of them, and
    /// should not wait. One that panics gives none. At most [`MAX_READINGS`](crate::MAX_READINGS) of all sources are told.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::sync::Arc;
    /// # use std::sync::atomic::{AtomicU64, Ordering};
    /// # use coord_bus::LocalBus;
    /// # use coord_monitor::{PerformanceMonitor, Reading};
    /// # let monitor = PerformanceMonitor::new(Arc::new(LocalBus::new()))?;
    /// let hits = Arc::new(AtomicU64::new(0));
    /// let counted = Arc::clone(&hits);
    /// monitor.add_source(move || {
    ///     vec![Reading::new("cache", "hits", counted.load(Ordering::Relaxed))]
    /// })?;
    /// hits.store(7, Ordering::Relaxed);
    /// assert_eq!(monitor.performance_metrics().readings[0].value, 7);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`MonitorError::TooManySources`] beyond [`MAX_SOURCES`](crate::MAX_SOURCES).
    pub fn add_source(
        &self,
        source: impl Fn() -> Vec<Reading> + Send + Sync + 'static,
    ) -> Result<(), MonitorError> {
        self.measuring.sources.add(Arc::new(source))
    }

    /// Reads what has been published by now, of each topic at most [`DEFAULT_CAPACITY`](coord_bus::DEFAULT_CAPACITY) events, and
    /// stops measuring; what has not stopped within `deadline` is aborted. What was measured can
    /// still be asked for.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the tasks have been asked to stop, and do so.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.scope.shutdown(deadline).await
    }
}

impl MonitorBuilder {
    /// With this clock for the times in what it says, instead of the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// With another interval between samples; [`DEFAULT_INTERVAL`] by default, and
    /// [`MIN_INTERVAL`] at least.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// With as many samples in its [history](PerformanceMonitor::history);
    /// [`DEFAULT_HISTORY`] by default, and [`MAX_HISTORY`] at most.
    pub fn history(mut self, samples: usize) -> Self {
        self.history = samples;
        self
    }

    /// Publishes what was counted to `performance-report` in each of these intervals; not at all by
    /// default.
    ///
    /// They never pile up: one waits for its slowest lossless reader at most. As long as it does, none
    /// is made, and the next one is of all the time since then.
    pub fn report_every(mut self, interval: Duration) -> Self {
        self.reports = Some(interval);
        self
    }

    /// Writes reports, alerts, errors that were detected and what is done about them to `log-events`
    /// too, so that whatever logs that sees them; off by default. It never waits for room: what finds
    /// none is counted as [`unlogged`](PerformanceMetrics::unlogged). Of errors of one source and kind ten are
    /// written in five seconds, and with the next one how many more there were: where what is logged leads to an
    /// error, that would lead to the next.
    pub fn log(mut self, is_logging: bool) -> Self {
        self.is_logging = is_logging;
        self
    }

    /// Looks in each interval whether something is beyond this threshold, as measured over its
    /// [window](Threshold::over), and publishes to `performance-alert` when that begins and ends, once each. As long as that topic is full,
    /// an alert is told later, or if it is over by then, not at all.
    pub fn threshold(mut self, threshold: Threshold) -> Self {
        self.thresholds.push(threshold);
        self
    }

    /// Gives what is measured to the recorder of the crate `metrics` in each interval, whichever the
    /// program has installed; off by default. See the [crate](crate#through-metrics) for the names.
    #[cfg(feature = "metrics")]
    pub fn export(mut self, is_exporting: bool) -> Self {
        self.is_exporting = is_exporting;
        self
    }

    /// Starts the monitor.
    ///
    /// # Errors
    ///
    /// See [`MonitorError`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn build(self) -> Result<PerformanceMonitor, MonitorError> {
        self.check()?;
        let Self {
            bus,
            clock,
            interval,
            history,
            reports,
            is_logging,
            thresholds,
            #[cfg(feature = "metrics")]
            is_exporting,
        } = self;
        let scope = TaskScope::reporting("performance-monitor", &*bus, Arc::clone(&clock))?;
        let heard = Heard::of(&*bus)?;
        let reporter = reports.map(|interval| Reporter::new(&*bus, interval));
        let reporter = reporter.transpose()?;
        let is_watching = !thresholds.is_empty();
        let telling = (
            Alerts::new(&*bus, thresholds)?,
            Log::new(&*bus, is_logging)?,
            Panics::new(&*bus, Arc::clone(&clock))?,
        );
        let mut usage = Usage::new();
        let measuring = Measuring::new(bus, clock, &mut usage, history, telling);
        let measuring = Arc::new(measuring);

        let (stop, shared) = (scope.token(), Arc::clone(&measuring));
        scope.spawn("sample", async move {
            stop.run_until_cancelled(shared.sample(usage, interval))
                .await;
        });
        let (stop, shared) = (scope.token(), Arc::clone(&measuring));
        scope.spawn("read", async move { shared.read(heard, stop).await });
        if is_watching {
            let (stop, shared) = (scope.token(), Arc::clone(&measuring));
            let before = measuring.metrics();
            scope.spawn("watch", async move {
                stop.run_until_cancelled(shared.watch(interval, before))
                    .await;
            });
        }
        #[cfg(feature = "metrics")]
        if is_exporting {
            let (stop, shared) = (scope.token(), Arc::clone(&measuring));
            let before = measuring.metrics();
            scope.spawn("export", async move {
                stop.run_until_cancelled(crate::export::export(&shared, interval, before))
                    .await;
            });
        }
        if let Some(reporter) = reporter {
            let (stop, shared) = (scope.token(), Arc::clone(&measuring));
            let before = measuring.metrics();
            scope.spawn("report", async move {
                stop.run_until_cancelled(reporter.report(&shared, before))
                    .await;
            });
        }
        Ok(PerformanceMonitor { measuring, scope })
    }

    fn check(&self) -> Result<(), MonitorError> {
        let (interval, samples) = (self.interval, self.history);
        if interval < MIN_INTERVAL {
            return Err(MonitorError::IntervalTooShort { interval });
        }
        if samples > MAX_HISTORY {
            return Err(MonitorError::HistoryTooLong { samples });
        }
        if let Some(reports) = self.reports.filter(|reports| *reports < interval) {
            return Err(MonitorError::ReportsTooOften {
                interval: reports,
                sampling: interval,
            });
        }
        let thresholds = self.thresholds.len();
        if thresholds > MAX_THRESHOLDS {
            return Err(MonitorError::TooManyThresholds { thresholds });
        }
        let mut names = HashSet::new();
        for threshold in &self.thresholds {
            threshold.check()?;
            if !names.insert(&threshold.name) {
                return Err(MonitorError::DuplicateThreshold {
                    threshold: threshold.name.clone(),
                });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PerformanceMonitor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PerformanceMonitor")
            .field("tasks", &self.scope.running())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MonitorBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MonitorBuilder")
            .field("interval", &self.interval)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}
