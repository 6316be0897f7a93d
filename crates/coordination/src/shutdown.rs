//! Ending a module: its parts in reverse order of start, and an account of what was left.

use std::fmt;
use std::time::Duration;

use coord_bus::time::Instant;

use crate::CoordinationModule;

/// What a part has to stop in when nothing is left of the deadline: long enough for its tasks to hear
/// of it on a machine that is busy, and too short to matter to whoever waits.
const MOMENT: Duration = Duration::from_millis(100);

/// What [`CoordinationModule::shutdown`] found, part by part; `None` for a part that is switched
/// off. Displayed, it says in one line what was left.
#[derive(Debug, Clone)]
#[must_use = "says whether everything stopped in time"]
#[non_exhaustive]
pub struct ShutdownAccount {
    /// The runs of workflows, which ended first.
    #[cfg(feature = "workflows")]
    pub workflows: Option<coord_bus::ShutdownReport>,
    /// The patterns that were enabled.
    #[cfg(feature = "integration-patterns")]
    pub patterns: Option<coord_patterns::pattern::PatternsReport>,
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

/// What was aborted, and what of it is still running.
type Unstopped<'r> = (&'r Vec<String>, &'r Vec<String>);

impl ShutdownAccount {
    /// Whether every part stopped in time, and left nothing.
    pub fn is_complete(&self) -> bool {
        self.left().is_empty()
    }

    /// What was aborted or left undone, part by part.
    fn left(&self) -> Vec<String> {
        let parts = [
            #[cfg(feature = "workflows")]
            (
                "workflows",
                (self.workflows.as_ref()).map(|report| (&report.aborted, &report.still_running)),
            ),
            #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
            (
                "services",
                (self.services.as_ref()).map(|report| (&report.aborted, &report.still_running)),
            ),
            #[cfg(feature = "performance-monitoring")]
            (
                "the monitor",
                (self.monitor.as_ref()).map(|report| (&report.aborted, &report.still_running)),
            ),
            #[cfg(feature = "error-recovery")]
            (
                "recovery",
                (self.recovery.as_ref()).map(|report| (&report.aborted, &report.still_running)),
            ),
        ];
        let parts: &[(&str, Option<Unstopped<'_>>)] = &parts;
        let mut left = Vec::new();
        for (part, names) in parts {
            if let Some((aborted, still_running)) = names {
                tell_aborted(&mut left, part, aborted, still_running);
            }
        }
        #[cfg(feature = "integration-patterns")]
        for (name, report) in self.patterns.iter().flat_map(|report| &report.stopped) {
            let pattern = format!("pattern `{name}`");
            tell_aborted(&mut left, &pattern, &report.aborted, &report.still_running);
            if report.panicked > 0 {
                let panicked = report.panicked;
                left.push(format!("pattern `{name}` had {panicked} panics"));
            }
        }
        #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
        if let Some(untold @ 1..) = self.services.as_ref().map(|report| report.untold) {
            left.push(format!("services could not tell {untold} events"));
        }
        #[cfg(feature = "event-flows")]
        if let Some(report) = self.flows.as_ref().filter(|report| !report.is_complete()) {
            left.push(report.to_string());
        }
        left
    }
}

fn tell_aborted(left: &mut Vec<String>, part: &str, aborted: &[String], still_running: &[String]) {
    for (what, names) in [("aborted", aborted), ("still running", still_running)] {
        if !names.is_empty() {
            left.push(format!("{part} {what}: {}", names.join(", ")));
        }
    }
}

/// What was left, or that nothing was.
impl fmt::Display for ShutdownAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.left();
        if left.is_empty() {
            return formatter.write_str("everything stopped in time");
        }
        formatter.write_str(&left.join("; "))
    }
}

impl CoordinationModule {
    /// Shuts the parts down, in reverse order of start: runs are cancelled and undone, durable ones
    /// are left as they are, for anybody to resume, patterns and services
    /// stop, flows handle what has been published, and then those stop that watched it all.
    ///
    /// Together they have `deadline`; what still goes on then is aborted. The parts whose turn comes
    /// after that have 100 ms each, in which what stops at once is not aborted, and services that do
    /// not are killed. What holds its thread cannot be aborted: it costs its part
    /// [a moment](coord_bus::ABORT_GRACE) more, and is named as still running. So give it as long as undoing a run and stopping all services one after the
    /// other may take.
    ///
    /// The bus stays open, and what was measured and counted can still be asked for. After this
    /// nothing new is taken, but by the process runner and the optimizer, which own no tasks: what
    /// they do belongs to who asked for it. Called again, it finds that everything has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, some parts have been shut down, one is about to be, and others go
    /// on; it can be called again.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownAccount {
        self.begin_shutdown();
        let begun = Instant::now();
        #[cfg_attr(
            not(any(
                feature = "workflows",
                feature = "event-flows",
                feature = "performance-monitoring",
                feature = "error-recovery",
                feature = "integration-patterns",
            )),
            expect(unused_variables, reason = "there is nothing that takes time to stop")
        )]
        let left = || deadline.saturating_sub(begun.elapsed()).max(MOMENT);
        ShutdownAccount {
            #[cfg(feature = "workflows")]
            workflows: match self.orchestrator() {
                Ok(part) => Some(part.shutdown(left()).await),
                Err(_) => None,
            },
            #[cfg(feature = "integration-patterns")]
            patterns: match self.patterns() {
                Ok(part) => Some(part.shutdown(left()).await),
                Err(_) => None,
            },
            #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
            services: match self.services() {
                Ok(part) => Some(part.shutdown(left()).await),
                Err(_) => None,
            },
            #[cfg(feature = "event-flows")]
            flows: match self.choreographer() {
                Ok(part) => Some(part.shutdown(left()).await),
                Err(_) => None,
            },
            #[cfg(feature = "performance-monitoring")]
            monitor: match self.monitor() {
                Ok(part) => Some(part.shutdown(left()).await),
                Err(_) => None,
            },
            #[cfg(feature = "error-recovery")]
            recovery: match self.recovery() {
                Ok(part) => Some(part.shutdown(left()).await),
                Err(_) => None,
            },
        }
    }
}
