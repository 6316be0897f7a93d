//! What was left when a module was shut down.

use std::fmt;

/// What [`CoordinationModule::shutdown`](crate::CoordinationModule::shutdown) found, part by part;
/// `None` for a part that was off.
///
/// Displayed, it is a sentence: that everything has stopped, or what was left.
#[derive(Debug, Clone)]
#[must_use = "says whether everything stopped in time"]
#[non_exhaustive]
pub struct ShutdownAccount {
    /// The runs of workflows, which ended first.
    #[cfg(feature = "workflows")]
    pub workflows: Option<coord_bus::ShutdownReport>,
    /// The services.
    #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
    pub services: Option<coord_recovery::SupervisorReport>,
    /// The flows, with the events that they left.
    #[cfg(feature = "event-flows")]
    pub flows: Option<coord_flow::ShutdownReport>,
    /// The monitor's own tasks.
    #[cfg(feature = "performance-monitoring")]
    pub monitor: Option<coord_bus::ShutdownReport>,
    /// The recovery manager's own tasks.
    #[cfg(feature = "error-recovery")]
    pub recovery: Option<coord_bus::ShutdownReport>,
}

impl ShutdownAccount {
    /// Whether every part stopped in time, and left nothing.
    pub fn is_complete(&self) -> bool {
        self.left().is_empty()
    }

    /// What was left, a phrase for each part that left anything, in the order in which they were
    /// shut down.
    pub fn left(&self) -> Vec<String> {
        let parts: &[Option<String>] = &[
            #[cfg(feature = "workflows")]
            tasks("workflows", self.workflows.as_ref()),
            #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
            self.services.as_ref().and_then(services),
            #[cfg(feature = "event-flows")]
            self.flows
                .as_ref()
                .filter(|flows| !flows.is_complete())
                .map(|flows| format!("flows: {flows}")),
            #[cfg(feature = "performance-monitoring")]
            tasks("the monitor", self.monitor.as_ref()),
            #[cfg(feature = "error-recovery")]
            tasks("the recovery manager", self.recovery.as_ref()),
        ];
        parts.iter().flatten().cloned().collect()
    }
}

fn tasks(part: &str, report: Option<&coord_bus::ShutdownReport>) -> Option<String> {
    let report = report.filter(|report| !report.aborted.is_empty())?;
    Some(format!("{part}: {report}"))
}

#[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
fn services(report: &coord_recovery::SupervisorReport) -> Option<String> {
    let mut left = Vec::new();
    if !report.aborted.is_empty() {
        left.push(format!(
            "did not stop in time: {}",
            report.aborted.join(", ")
        ));
    }
    match report.untold {
        0 => {}
        1 => left.push("1 event was not published".to_owned()),
        untold => left.push(format!("{untold} events were not published")),
    }
    (!left.is_empty()).then(|| format!("services: {}", left.join(", and ")))
}

impl fmt::Display for ShutdownAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.left()[..] {
            [] => formatter.write_str("everything stopped"),
            left => formatter.write_str(&left.join("; ")),
        }
    }
}
