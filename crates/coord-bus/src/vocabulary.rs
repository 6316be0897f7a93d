//! The events that the crates of this workspace share, with their topics.
//!
//! Each event says of itself when it happened (`at`, by a [`Clock`](crate::time::Clock)) and
//! serialises to flat JSON, so that it reads well as a line of a log.

mod process;
mod signal;
mod service;
mod workflow;
mod error;
mod log;
mod performance;
mod stream;
mod cli;
mod ui;
mod config;
mod dashboard;
mod audit;

pub use audit::AuditEvent;
pub use cli::{CliCommand, CliFault, CliParse, CliState};
pub use config::{ConfigChange, ConfigValue};
pub use dashboard::{DashboardAlert, DashboardRow, DashboardUpdate};
pub use error::{ErrorDetected, ErrorRecovery, Recovery, Severity};
pub use log::{LogEvent, LogLevel, Notification};
pub use performance::{AlertState, PerformanceAlert, PerformanceReport};
pub use process::{
    Exit, OutputStream, ProbeKind, ProcessHealth, ProcessLifecycle, ProcessOutput, ProcessState,
};
pub use service::{ServiceLifecycle, ServiceState};
pub use signal::SignalName;
pub use stream::{StreamFigures, StreamReport};
pub use ui::{Appearance, UiChange, UiUpdate};
pub use workflow::{Transition, WorkflowEvent};

use crate::Topic;

/// How processes start and end.
pub const PROCESS_LIFECYCLE: Topic<ProcessLifecycle> = Topic::new("process-lifecycle");
/// What processes print, line by line.
pub const PROCESS_OUTPUT: Topic<ProcessOutput> = Topic::new("process-output");
/// Whether processes are well.
pub const PROCESS_HEALTH: Topic<ProcessHealth> = Topic::new("process-health");
/// How services get on.
pub const SERVICE_LIFECYCLE: Topic<ServiceLifecycle> = Topic::new("service-lifecycle");
/// How workflows and their steps get on.
pub const WORKFLOW_EVENTS: Topic<WorkflowEvent> = Topic::new("workflow-events");
/// Errors that somebody should know of.
pub const ERROR_DETECTED: Topic<ErrorDetected> = Topic::new("error-detected");
/// What is done about them.
pub const ERROR_RECOVERY: Topic<ErrorRecovery> = Topic::new("error-recovery");
/// How the program performs, at intervals. One report waits for its readers at most: a slow one
/// gets fewer, each of a longer time.
pub const PERFORMANCE_REPORT: Topic<PerformanceReport> =
    Topic::new("performance-report").capacity(1);
/// What is beyond its limit, and what no longer is.
pub const PERFORMANCE_ALERT: Topic<PerformanceAlert> = Topic::new("performance-alert");
/// What became of the events of optimized streams, at intervals. One report waits for its readers at
/// most: a slow one gets fewer, each of a longer time.
pub const STREAM_REPORT: Topic<StreamReport> = Topic::new("stream-report").capacity(1);
/// What is to be written down.
pub const LOG_EVENTS: Topic<LogEvent> = Topic::new("log-events");
/// What a person should be told at once.
pub const NOTIFICATION: Topic<Notification> = Topic::new("notification");
/// How commands that a person gives get on.
pub const CLI_COMMAND: Topic<CliCommand> = Topic::new("cli-command");
/// What is understood of what a person types.
pub const CLI_PARSE: Topic<CliParse> = Topic::new("cli-parse");
/// What a screen is to show anew.
pub const UI_UPDATE: Topic<UiUpdate> = Topic::new("ui-update");
/// Settings that changed.
pub const CONFIG_CHANGE: Topic<ConfigChange> = Topic::new("config-change");
/// How all that is watched does, at a glance.
pub const DASHBOARD_UPDATE: Topic<DashboardUpdate> = Topic::new("dashboard-update");
/// What is to be kept for good: who did what.
pub const AUDIT_LOG: Topic<AuditEvent> = Topic::new("audit-log");

/// Durations as seconds, and however long: nobody has written them by hand.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de};

    pub(super) use crate::duration::serialize;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(de::Error::custom)
    }
}
