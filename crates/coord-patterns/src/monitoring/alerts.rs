//! Alerts on what a process takes: opened once, closed once.

use coord_bus::Timestamp;
use coord_bus::time::Instant;
use coord_bus::vocabulary::{DashboardAlert, Notification, Severity};

use super::census::Reading;
use super::{ProcessMonitoringConfig, Threshold};

/// What there can be an alert on.
#[derive(Debug, Clone, Copy)]
enum Value {
    Cpu,
    Memory,
    Processes,
}

const VALUES: [Value; 3] = [Value::Cpu, Value::Memory, Value::Processes];

/// The alerts of one process, a place for each value.
#[derive(Debug, Default)]
pub(super) struct Alerts([Alert; 3]);

#[derive(Debug, Default)]
struct Alert {
    above_since: Option<Instant>,
    open: Option<DashboardAlert>,
}

impl Alerts {
    /// Those that are open.
    pub(super) fn open(&self) -> impl Iterator<Item = &DashboardAlert> {
        self.0.iter().filter_map(|alert| alert.open.as_ref())
    }

    /// Opens and closes what this reading does, and says so; no reading closes all.
    pub(super) fn judge(
        &mut self,
        name: &str,
        reading: Option<&Reading>,
        config: &ProcessMonitoringConfig,
        (now, at): (Instant, Timestamp),
    ) -> Vec<Notification> {
        let alerts = VALUES.iter().zip(&mut self.0);
        let told = alerts.filter_map(|(value, alert)| {
            let threshold = value.threshold(config)?;
            let measured = reading.map(|reading| value.of(reading));
            let (severity, message) = alert.judge(name, *value, measured, threshold, (now, at))?;
            Some(Notification {
                at,
                severity,
                title: format!("{} of {name}", value.name()),
                message,
            })
        });
        told.collect()
    }

    /// Closes those that are open, and says why.
    pub(super) fn close(&mut self, name: &str, why: &str, at: Timestamp) -> Vec<Notification> {
        let alerts = VALUES.iter().zip(&mut self.0);
        let told = alerts.filter_map(|(value, alert)| {
            std::mem::take(alert).open?;
            Some(Notification {
                at,
                severity: Severity::Info,
                title: format!("{} of {name}", value.name()),
                message: format!("over: {why}"),
            })
        });
        told.collect()
    }
}

impl Alert {
    fn judge(
        &mut self,
        name: &str,
        value: Value,
        measured: Option<f64>,
        threshold: &Threshold,
        (now, at): (Instant, Timestamp),
    ) -> Option<(Severity, String)> {
        let Some(measured) = measured else {
            self.above_since = None;
            self.open.take()?;
            return Some((Severity::Info, "over: the process has ended".to_owned()));
        };
        let shown = value.shown(measured);
        let limit = value.shown(threshold.above);
        if let Some(open) = &mut self.open {
            open.message = format!("{} {shown}, above {limit}", value.name());
            if measured > threshold.until() {
                return None;
            }
            self.open = None;
            self.above_since = None;
            return Some((Severity::Info, format!("over: {shown}")));
        }
        if measured <= threshold.above {
            self.above_since = None;
            return None;
        }
        let since = *self.above_since.get_or_insert(now);
        if now.duration_since(since) < threshold.hold {
            return None;
        }
        self.open = Some(DashboardAlert {
            name: name.to_owned(),
            since: at,
            severity: threshold.severity,
            message: format!("{} {shown}, above {limit}", value.name()),
        });
        Some((threshold.severity, format!("{shown}, above {limit}")))
    }
}

impl Value {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "processor time",
            Self::Memory => "memory",
            Self::Processes => "number of processes",
        }
    }

    fn threshold(self, config: &ProcessMonitoringConfig) -> Option<&Threshold> {
        match self {
            Self::Cpu => config.cpu_percent.as_ref(),
            Self::Memory => config.memory_bytes.as_ref(),
            Self::Processes => config.processes.as_ref(),
        }
    }

    fn of(self, reading: &Reading) -> f64 {
        match self {
            Self::Cpu => reading.cpu_percent.into(),
            Self::Memory => reading.memory_bytes as f64,
            Self::Processes => reading.processes as f64,
        }
    }

    fn shown(self, value: f64) -> String {
        match self {
            Self::Cpu => format!("{value:.0} %"),
            Self::Memory => format!("{:.1} MiB", value / f64::from(1 << 20)),
            Self::Processes => format!("{value:.0}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What is told of the readings of so many processes, one a second, above 10 for 2 seconds.
    fn told(readings: &[Option<usize>]) -> Vec<(usize, String)> {
        let threshold = Threshold {
            hold: Duration::from_secs(2),
            ..Threshold::above(10.0)
        };
        let config = ProcessMonitoringConfig {
            processes: Some(threshold),
            ..ProcessMonitoringConfig::default()
        };
        let (mut alerts, begin) = (Alerts::default(), Instant::now());
        let mut told = Vec::new();
        for (second, processes) in readings.iter().enumerate() {
            let reading = processes.map(|processes| Reading {
                processes,
                ..Reading::default()
            });
            let now = begin + Duration::from_secs(second as u64);
            let times = (now, Timestamp::UNIX_EPOCH);
            let notifications = alerts.judge("api", reading.as_ref(), &config, times);
            told.extend(notifications.into_iter().map(|one| (second, one.message)));
        }
        told
    }

    #[test]
    fn an_alert_opens_after_its_time_and_closes_once_at_its_lower_bound() {
        let readings = [20, 9, 20, 20, 12, 10, 11, 9, 9].map(Some);
        let opened = (4, "12, above 10".to_owned());
        assert_eq!(told(&readings), [opened, (7, "over: 9".to_owned())]);
    }

    #[test]
    fn an_alert_ends_with_its_process() {
        let readings = [Some(20), Some(20), Some(20), None, None];
        let messages: Vec<_> = told(&readings).into_iter().map(|(_, told)| told).collect();
        assert_eq!(messages, ["20, above 10", "over: the process has ended"]);
    }
}
