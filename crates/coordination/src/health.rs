//! How the module is, in one value.

use std::fmt;

use coord_bus::Timestamp;
use serde::Serialize;

use crate::CoordinationModule;

/// The most reasons of one [`SystemHealth`]: more than a person reads, and few enough for an event.
pub const MAX_REASONS: usize = 100;

/// How the module is at one moment: [`CoordinationModule::system_health`].
///
/// As JSON its status is `healthy`, `degraded` or `unhealthy`. Displayed, it is the status, and
/// after a colon the reasons.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SystemHealth {
    /// When it was so.
    pub timestamp: Timestamp,
    /// All in all.
    pub status: HealthStatus,
    /// Why it is not [`Healthy`](HealthStatus::Healthy): what, and how it is. At most
    /// [`MAX_REASONS`]; the last of them says how many more there are.
    pub reasons: Vec<String>,
    /// How many flows run; 0 while they are switched off.
    #[cfg(feature = "event-flows")]
    pub active_flows: usize,
    /// How many runs of workflows go on; 0 while they are switched off.
    #[cfg(feature = "workflows")]
    pub active_workflows: usize,
    /// How many patterns are enabled; 0 while they are switched off.
    #[cfg(feature = "integration-patterns")]
    pub active_patterns: usize,
    /// How many services run, ready or not; 0 while they are switched off.
    #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
    pub active_services: usize,
    /// Throughput, durations, memory and processor time; `None` while they are switched off.
    #[cfg(feature = "performance-monitoring")]
    pub performance: Option<coord_monitor::PerformanceMetrics>,
    /// How many events a second were accepted, by all topics together, over the last ten seconds;
    /// `None` while monitoring is switched off.
    #[cfg(feature = "performance-monitoring")]
    pub throughput: Option<f64>,
    /// What went wrong so far; `None` while recovery is switched off.
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
    /// Something waits or is not ready, and will go on by itself.
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
        if self.reasons.is_empty() {
            return Ok(());
        }
        write!(formatter, ": {}", self.reasons.join("; "))
    }
}

/// What is found, as it is found.
#[derive(Default)]
struct Findings(Vec<(HealthStatus, String)>);

impl Findings {
    fn add(&mut self, status: HealthStatus, reason: impl Into<String>) {
        self.0.push((status, reason.into()));
    }

    /// The worst status, and the reasons, the worst ones first.
    fn sum_up(mut self) -> (HealthStatus, Vec<String>) {
        self.0.sort_by_key(|(status, _)| std::cmp::Reverse(*status));
        let worst = self.0.first().map(|(status, _)| *status);
        let mut reasons: Vec<_> = self.0.into_iter().map(|(_, reason)| reason).collect();
        if reasons.len() > MAX_REASONS {
            let more = reasons.len() - (MAX_REASONS - 1);
            reasons.truncate(MAX_REASONS - 1);
            reasons.push(format!("and {more} more"));
        }
        (worst.unwrap_or(HealthStatus::Healthy), reasons)
    }
}

impl CoordinationModule {
    /// How the module is at this moment; for a status that holds, see
    /// [`watch_health`](Self::watch_health). Cheap enough to ask once a second: it reads counts, and
    /// nothing on the way of an event.
    ///
    /// | status | when |
    /// |---|---|
    /// | unhealthy | a service was given up, has failed for good, or did not stop in time; a pattern has failed; a flow was aborted, has failed (it stops at what fails: `OnFailure::Stop`), or its sink was closed; the bus is closed; the module is shut down |
    /// | degraded | publishers wait for room in a topic; a pattern is not as it should be; a service is not ready yet, or waits to be restarted |
    /// | healthy | otherwise |
    ///
    /// Errors that were detected do not count, and neither do runs that failed: they are over. See
    /// [`errors`](SystemHealth#structfield.errors) for those. A service that has ended well, or was
    /// stopped, is as it should be; one that failed counts until its name is used again.
    pub fn system_health(&self) -> SystemHealth {
        let mut findings = Findings::default();
        if self.is_shut_down() {
            findings.add(HealthStatus::Unhealthy, "the module is shut down");
        }
        self.look_at_topics(&mut findings);
        #[cfg(feature = "event-flows")]
        let active_flows = self.look_at_flows(&mut findings);
        #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
        let active_services = self.look_at_services(&mut findings);
        #[cfg(feature = "integration-patterns")]
        let active_patterns = self.look_at_patterns(&mut findings);
        let (status, reasons) = findings.sum_up();
        #[cfg(feature = "performance-monitoring")]
        let performance = self
            .monitor()
            .ok()
            .map(coord_monitor::PerformanceMonitor::performance_metrics);
        SystemHealth {
            timestamp: self.clock().now(),
            status,
            reasons,
            #[cfg(feature = "event-flows")]
            active_flows,
            #[cfg(feature = "workflows")]
            active_workflows: self
                .orchestrator()
                .map_or(0, coord_workflow::WorkflowOrchestrator::active_runs),
            #[cfg(feature = "integration-patterns")]
            active_patterns,
            #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
            active_services,
            #[cfg(feature = "performance-monitoring")]
            throughput: performance.as_ref().map(|measured| {
                let topics = measured.topics.iter();
                topics.map(|topic| topic.rates.ten_seconds).sum()
            }),
            #[cfg(feature = "performance-monitoring")]
            performance,
            #[cfg(feature = "error-recovery")]
            errors: self
                .recovery()
                .ok()
                .map(coord_recovery::ErrorRecoveryManager::error_statistics),
        }
    }

    fn look_at_topics(&self, findings: &mut Findings) {
        if self.bus().is_closed() {
            findings.add(HealthStatus::Unhealthy, "the bus is closed");
        }
        for topic in self.bus().stats() {
            let name = &topic.topic;
            let reason = match topic.waiting_publishers {
                0 => continue,
                1 => {
                    format!("topic `{name}` is full: a publisher waits for its slowest subscriber")
                }
                many => format!(
                    "topic `{name}` is full: {many} publishers wait for its slowest subscriber"
                ),
            };
            findings.add(HealthStatus::Degraded, reason);
        }
    }

    #[cfg(feature = "event-flows")]
    fn look_at_flows(&self, findings: &mut Findings) -> usize {
        use coord_flow::FlowState;

        let flows = self
            .choreographer()
            .map(coord_flow::EventChoreographer::event_flows);
        let mut active = 0;
        for flow in flows.unwrap_or_default() {
            match flow.state {
                FlowState::Running | FlowState::Paused | FlowState::Draining => active += 1,
                FlowState::SinkClosed | FlowState::Failed | FlowState::Aborted => {
                    let reason = format!("flow `{}` has ended: {}", flow.name, flow.state);
                    findings.add(HealthStatus::Unhealthy, reason);
                }
                _ => {}
            }
        }
        active
    }

    #[cfg(feature = "integration-patterns")]
    fn look_at_patterns(&self, findings: &mut Findings) -> usize {
        use coord_patterns::pattern::PatternState;

        let Ok(patterns) = self.patterns() else {
            return 0;
        };
        // A bundle is as its members are.
        let single = patterns.list().into_iter();
        for pattern in single.filter(|pattern| pattern.members.is_empty()) {
            let name = &pattern.name;
            let (status, reason) = match pattern.state {
                PatternState::Degraded { reason } => (HealthStatus::Degraded, reason),
                PatternState::Failed { reason } => (HealthStatus::Unhealthy, reason),
                _ => continue,
            };
            findings.add(status, format!("pattern `{name}`: {reason}"));
        }
        patterns.active()
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
                        let reason = format!("service `{name}` is not ready yet");
                        findings.add(HealthStatus::Degraded, reason);
                    }
                }
                ChildState::Waiting { failures, .. } => {
                    let times = if failures == 1 { "time" } else { "times" };
                    let reason = format!(
                        "service `{name}` failed {failures} {times} in a row, and is to be restarted"
                    );
                    findings.add(HealthStatus::Degraded, reason);
                }
                ChildState::Ended(ChildEnd::GaveUp(gave_up)) => {
                    findings.add(HealthStatus::Unhealthy, format!("service {gave_up}"));
                }
                ChildState::Ended(ref end @ (ChildEnd::Failed { .. } | ChildEnd::Aborted)) => {
                    findings.add(HealthStatus::Unhealthy, format!("service `{name}`: {end}"));
                }
                _ => {}
            }
        }
        active
    }
}
