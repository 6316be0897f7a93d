//! Limits, and when something counts as beyond one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::Instant;
use coord_bus::vocabulary::{AlertState, Severity};

use crate::{MonitorError, PerformanceMetrics};

/// The most thresholds of one monitor.
pub const MAX_THRESHOLDS: usize = 100;

/// The window of a threshold where nothing else is said: five minutes, as in rules of Prometheus and
/// Grafana.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(300);

type Measure = dyn Fn(&PerformanceMetrics) -> Option<f64> + Send + Sync;

/// A limit for something that is measured, and what is said when it is passed.
///
/// An alert opens when what is measured has been beyond the limit for the
/// [least duration](Self::lasting), and closes when it is back at [`clear_at`](Self::clear_at),
/// which is not the limit: so what sways around the limit is one alert, not many. Where nothing is
/// measured, or what measures panics, nothing is beyond a limit.
///
/// What it looks at is what was [since](PerformanceMetrics::since) a [window](Self::over) began: counts,
/// durations and means of the last five minutes, and what is of a moment as it is now. So an alert about
/// what was dropped, failed or slow closes when that is over.
///
/// ```
/// use std::time::Duration;
/// use coord_bus::vocabulary::Severity;
/// use coord_monitor::Threshold;
///
/// let memory = Threshold::above("memory", 512e6, |metrics| {
///     Some(metrics.process.memory_bytes as f64)
/// })
/// .lasting(Duration::from_secs(10))
/// .severity(Severity::Error);
///
/// // Of the orders of the last minute; without any, it is not measured.
/// let slow = Threshold::above("slow-orders", 0.25, |metrics| {
///     Some(metrics.latency("orders")?.total.as_ref()?.p99)
/// })
/// .over(Duration::from_secs(60))
/// .clear_at(0.2);
///
/// // Closes five minutes after the last one was dropped.
/// let dropped = Threshold::above("dropped-orders", 0.0, |metrics| {
///     Some(metrics.topic("orders")?.dropped as f64)
/// });
/// ```
#[derive(Clone)]
pub struct Threshold {
    pub(crate) name: String,
    pub(crate) limit: f64,
    pub(crate) severity: Severity,
    measure: Arc<Measure>,
    is_above: bool,
    clear: f64,
    lasting: Duration,
    pub(crate) window: Duration,
}

impl Threshold {
    /// What is measured should not be more than this.
    pub fn above(
        name: impl Into<String>,
        limit: f64,
        measure: impl Fn(&PerformanceMetrics) -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            limit,
            severity: Severity::Warning,
            measure: Arc::new(measure),
            is_above: true,
            clear: limit - limit.abs() / 10.0,
            lasting: Duration::ZERO,
            window: DEFAULT_WINDOW,
        }
    }

    /// What is measured should not be less than this.
    pub fn below(
        name: impl Into<String>,
        limit: f64,
        measure: impl Fn(&PerformanceMetrics) -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        Self {
            is_above: false,
            clear: limit + limit.abs() / 10.0,
            ..Self::above(name, limit, measure)
        }
    }

    /// Where the alert closes; 10 % within the limit by default.
    #[must_use]
    pub fn clear_at(mut self, clear: f64) -> Self {
        self.clear = clear;
        self
    }

    /// For how long it is to be beyond the limit, each time that the monitor looks, before the alert
    /// opens; no time by default.
    #[must_use]
    pub fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = lasting;
        self
    }

    /// Over what time counts, durations and means are measured; [`DEFAULT_WINDOW`] by default.
    ///
    /// Snapshots are kept as of ten moments of each window, so it may be a tenth longer; and it is as
    /// long as an [interval](crate::MonitorBuilder::interval) of the monitor at least. It begins with
    /// the monitor, and anew with a [reset](crate::PerformanceMonitor::reset): so one of
    /// `Duration::MAX` is all that was counted since.
    #[must_use]
    pub fn over(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// How bad that is; [`Severity::Warning`] by default.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(crate) fn measure(&self, metrics: &PerformanceMetrics) -> Option<f64> {
        (self.measure)(metrics).filter(|value| !value.is_nan())
    }

    /// Whether it can be told when an alert opens and closes.
    pub(crate) fn check(&self) -> Result<(), MonitorError> {
        let is_sound = match self.is_above {
            true => self.clear <= self.limit,
            false => self.clear >= self.limit,
        };
        match is_sound {
            true => Ok(()),
            false => Err(MonitorError::ClearBeyondLimit {
                threshold: self.name.clone(),
                clear: self.clear,
                limit: self.limit,
            }),
        }
    }

    fn is_beyond(&self, value: f64) -> bool {
        match self.is_above {
            true => value > self.limit,
            false => value < self.limit,
        }
    }

    fn is_clear(&self, value: f64) -> bool {
        match self.is_above {
            true => value <= self.clear,
            false => value >= self.clear,
        }
    }
}

/// How something stands to its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    #[default]
    Within,
    /// Beyond, and not for long enough yet.
    Beyond {
        since: Instant,
    },
    Open,
}

impl Standing {
    /// What is measured now. What became of the alert, if that is new.
    pub(crate) fn see(
        &mut self,
        threshold: &Threshold,
        value: Option<f64>,
        now: Instant,
    ) -> Option<AlertState> {
        let is_beyond = value.is_some_and(|value| threshold.is_beyond(value));
        let is_clear = value.is_none_or(|value| threshold.is_clear(value));
        match *self {
            Self::Open if is_clear => {
                *self = Self::Within;
                Some(AlertState::Closed)
            }
            Self::Open => None,
            _ if !is_beyond => {
                *self = Self::Within;
                None
            }
            standing => {
                let since = match standing {
                    Self::Beyond { since } => since,
                    _ => now,
                };
                let is_due = now.duration_since(since) >= threshold.lasting;
                *self = match is_due {
                    true => Self::Open,
                    false => Self::Beyond { since },
                };
                is_due.then_some(AlertState::Opened)
            }
        }
    }
}

impl fmt::Debug for Threshold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Threshold")
            .field("name", &self.name)
            .field("limit", &self.limit)
            .field("clear", &self.clear)
            .field("lasting", &self.lasting)
            .field("window", &self.window)
            .field("severity", &self.severity)
            .finish_non_exhaustive()
    }
}
