//! How processes are monitored.

use std::time::Duration;

use coord_bus::vocabulary::Severity;
use serde::{Deserialize, Serialize};

use super::MonitoringError;

/// How processes are monitored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProcessMonitoringConfig {
    /// What the pattern, and its dashboard, are called; `process-monitoring` by default.
    pub name: String,
    /// From one reading to the next; `"1s"` by default, and at least `"100ms"`. A number is one of
    /// seconds, here and in [`Threshold::hold`].
    #[serde(with = "coord_bus::duration")]
    pub interval: Duration,
    /// From when on the processor time of a process is worth an alert, in percent of one
    /// processor; never by default.
    pub cpu_percent: Option<Threshold>,
    /// From when on its memory is, in bytes; never by default.
    pub memory_bytes: Option<Threshold>,
    /// From when on the number of its processes is; never by default.
    pub processes: Option<Threshold>,
}

impl Default for ProcessMonitoringConfig {
    fn default() -> Self {
        Self {
            name: "process-monitoring".to_owned(),
            interval: Duration::from_secs(1),
            cpu_percent: None,
            memory_bytes: None,
            processes: None,
        }
    }
}

impl ProcessMonitoringConfig {
    /// Whether every value can be told from its thresholds.
    pub(super) fn check(&self) -> Result<(), MonitoringError> {
        let thresholds = [
            ("cpu_percent", &self.cpu_percent),
            ("memory_bytes", &self.memory_bytes),
            ("processes", &self.processes),
        ];
        for (threshold, of) in thresholds {
            let Some(Threshold { above, until, .. }) = of else {
                continue;
            };
            for (bound, value) in [("above", Some(*above)), ("until", *until)] {
                if let Some(value) = value.filter(|value| !value.is_finite()) {
                    return Err(MonitoringError::NotFinite {
                        threshold,
                        bound,
                        value,
                    });
                }
            }
        }
        Ok(())
    }

    pub(super) fn pace(&self) -> Duration {
        self.interval.max(Duration::from_millis(100))
    }
}

/// When a value is worth an alert, and when it is not any more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Threshold {
    /// An alert opens above this, a finite number.
    pub above: f64,
    /// It closes at this or below; nine tenths of `above` by default.
    #[serde(default)]
    pub until: Option<f64>,
    /// How long the value has to be above; `"5s"` by default.
    #[serde(default = "hold", with = "coord_bus::duration")]
    pub hold: Duration,
    /// How bad that is; a warning by default.
    #[serde(default = "severity")]
    pub severity: Severity,
}

impl Threshold {
    /// Above this value, with the defaults.
    pub fn above(value: f64) -> Self {
        Self {
            above: value,
            until: None,
            hold: hold(),
            severity: severity(),
        }
    }

    pub(super) fn until(&self) -> f64 {
        self.until.unwrap_or(self.above * 0.9).min(self.above)
    }
}

fn hold() -> Duration {
    Duration::from_secs(5)
}

fn severity() -> Severity {
    Severity::Warning
}
