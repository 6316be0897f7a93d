//! How the module is, in one value.

use std::fmt;

use coord_bus::Timestamp;
use serde::Serialize;

use crate::CoordinationModule;

/// How the module is at one moment: [`CoordinationModule::system_health`].
///
/// Displayed, it is its status and the reasons for it; serialised, an object with its fields.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SystemHealth {
    /// When it was so.
    pub timestamp: Timestamp,
    /// All in all.
    pub status: HealthStatus,
    /// Why it is not [`Healthy`](HealthStatus::Healthy), a sentence each.
    pub reasons: Vec<String>,
    /// The flows that run.
    #[cfg(feature = "event-flows")]
    pub active_flows: usize,
    /// The runs of workflows that go on.
    #[cfg(feature = "workflows")]
    pub active_workflows: usize,
    /// The services that run, also those that are not ready.
    #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
    pub active_services: usize,
    /// Throughput, durations, memory and processor time; `None` while they are not monitored.
    #[cfg(feature = "performance-monitoring")]
    pub performance: Option<coord_monitor::PerformanceMetrics>,
    /// What went wrong so far; `None` while nobody looks.
    #[cfg(feature = "error-recovery")]
    pub errors: Option<coord_recovery::ErrorStatistics>,
}

/// How it is all in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HealthStatus {
    /// Everything does what it is for.
    Healthy,
    /// Something is slower than it should be, or is being restarted.
    Degraded,
    /// Something does not do what it is for, and will not by itself.
    Unhealthy,
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        })
    }
}

impl fmt::Display for SystemHealth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(formatter)?;
        for (index, reason) in self.reasons.iter().enumerate() {
            let before = if index == 0 { ": " } else { "; " };
            write!(formatter, "{before}{reason}")?;
        }
        Ok(())
    }
}

/// What is found, as it is found.
struct Findings {
    status: HealthStatus,
    reasons: Vec<String>,
}

impl Findings {
    fn add(&mut self, status: HealthStatus, reason: String) {
        self.status = self.status.max(status);
        self.reasons.push(reason);
    }
}

impl CoordinationModule {
    /// How the module is.
    ///
    /// | status | when |
    /// |---|---|
    /// | unhealthy | the module is shut down; the bus is closed; a service was given up or has failed; a flow has ended, because its sink was closed or it was aborted |
    /// | degraded | a service is not ready, or waits to be restarted; publishers wait for a topic that is full |
    /// | healthy | otherwise |
    ///
    /// It is looked at when it is asked for, and costs nothing in between.
    pub fn system_health(&self) -> SystemHealth {
        let mut findings = Findings {
            status: HealthStatus::Healthy,
            reasons: Vec::new(),
        };
        if self.is_shut_down() {
            let reason = "the module is shut down".to_owned();
            findings.add(HealthStatus::Unhealthy, reason);
        }
        self.look_at_topics(&mut findings);
        #[cfg(feature = "event-flows")]
        let active_flows = self.look_at_flows(&mut findings);
        #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
        let active_services = self.look_at_services(&mut findings);
        SystemHealth {
            timestamp: self.clock().now(),
            status: findings.status,
            reasons: findings.reasons,
            #[cfg(feature = "event-flows")]
            active_flows,
            #[cfg(feature = "workflows")]
            active_workflows: self
                .orchestrator()
                .map_or(0, coord_workflow::WorkflowOrchestrator::active_runs),
            #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
            active_services,
            #[cfg(feature = "performance-monitoring")]
            performance: self
                .monitor()
                .ok()
                .map(coord_monitor::PerformanceMonitor::performance_metrics),
            #[cfg(feature = "error-recovery")]
            errors: self
                .recovery()
                .ok()
                .map(coord_recovery::ErrorRecoveryManager::error_statistics),
        }
    }

    fn look_at_topics(&self, findings: &mut Findings) {
        let topics = self.bus().stats();
        if topics.iter().any(|topic| topic.closed) {
            let reason = "the bus is closed".to_owned();
            findings.add(HealthStatus::Unhealthy, reason);
        }
        for topic in topics {
            let waiting = match topic.waiting_publishers {
                0 => continue,
                1 => "1 publisher waits".to_owned(),
                waiting => format!("{waiting} publishers wait"),
            };
            let name = topic.topic;
            let reason = format!("topic `{name}` is full: {waiting} for its slowest subscriber");
            findings.add(HealthStatus::Degraded, reason);
        }
    }

    #[cfg(feature = "event-flows")]
    fn look_at_flows(&self, findings: &mut Findings) -> usize {
        use coord_flow::{EventChoreographer, FlowState};

        let flows = self.choreographer().map(EventChoreographer::event_flows);
        let mut active = 0;
        for flow in flows.unwrap_or_default() {
            match flow.state {
                FlowState::Running | FlowState::Draining => active += 1,
                FlowState::SinkClosed | FlowState::Aborted => {
                    let reason = format!("flow `{}` has ended: {}", flow.name, flow.state);
                    findings.add(HealthStatus::Unhealthy, reason);
                }
                _ => {}
            }
        }
        active
    }

    #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
    fn look_at_services(&self, findings: &mut Findings) -> usize {
        use coord_recovery::{ChildEnd, ChildState};

        let services = self.services().map(crate::Services::list);
        let mut active = 0;
        for service in services.unwrap_or_default() {
            let name = &service.name;
            match service.state {
                ChildState::Running { ready, .. } => {
                    active += 1;
                    if !ready {
                        let reason = format!("service `{name}` is not ready");
                        findings.add(HealthStatus::Degraded, reason);
                    }
                }
                ChildState::Waiting { .. } => {
                    let reason = format!("service `{name}` has failed, and will be restarted");
                    findings.add(HealthStatus::Degraded, reason);
                }
                ChildState::Ended(ChildEnd::Failed { error }) => {
                    let reason = format!("service `{name}` has failed: {error}");
                    findings.add(HealthStatus::Unhealthy, reason);
                }
                ChildState::Ended(ChildEnd::GaveUp(gave_up)) => {
                    let (reason, error) = (gave_up.reason, gave_up.error);
                    let reason = format!("service `{name}` was given up: {reason}: {error}");
                    findings.add(HealthStatus::Unhealthy, reason);
                }
                _ => {}
            }
        }
        active
    }
}
