//! The monitor: samples counts and usage, reads what workflows and processes tell.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{Clock, SystemClock};
use coord_bus::{Bus, ShutdownReport, TaskScope};
use tokio::select;

use crate::measuring::{Heard, Measuring};
use crate::usage::Usage;
use crate::{
    DEFAULT_HISTORY, History, LatencyProbe, MAX_HISTORY, MonitorError, PerformanceMetrics, Reading,
};

/// How often a monitor samples where nothing else is said.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest interval: systems count processor time too coarsely for a shorter one.
pub const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// Measures what goes on on a bus and what that costs.
///
/// It has two tasks: one samples the counts of topics and the usage of processes, once in each
/// interval; one reads `workflow-events`, `process-lifecycle`, `error-detected` and
/// `error-recovery`. Dropping the monitor ends them.
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

    /// Begins to count anew, after a warm-up for one: counts, durations, peaks and the history are
    /// empty again. Runs that are active stay so, and processes that run are watched on.
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
    /// should not wait. At most [`MAX_READINGS`](crate::MAX_READINGS) of all sources are told.
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

    /// Reads what has been published by now, of each topic at most [`DEFAULT_CAPACITY`] events, and
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
        let Self {
            bus,
            clock,
            interval,
            history,
        } = self;
        if interval < MIN_INTERVAL {
            return Err(MonitorError::IntervalTooShort { interval });
        }
        if history > MAX_HISTORY {
            return Err(MonitorError::HistoryTooLong { samples: history });
        }
        let scope = TaskScope::reporting("performance-monitor", &*bus, Arc::clone(&clock))?;
        let heard = Heard::of(&*bus)?;
        let mut usage = Usage::new();
        let measuring = Arc::new(Measuring::new(bus, clock, &mut usage, history));

        let (stop, shared) = (scope.token(), Arc::clone(&measuring));
        scope.spawn("sample", async move {
            select! {
                () = stop.cancelled() => {}
                () = shared.sample(usage, interval) => {}
            }
        });
        let (stop, shared) = (scope.token(), Arc::clone(&measuring));
        scope.spawn("read", async move { shared.read(heard, stop).await });
        Ok(PerformanceMonitor { measuring, scope })
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
