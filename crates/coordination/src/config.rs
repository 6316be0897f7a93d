//! Which parts a [`CoordinationModule`](crate::CoordinationModule) has, and how they are set.

#[cfg(feature = "workflows")]
use std::collections::BTreeMap;
#[cfg(feature = "workflows")]
use std::num::NonZeroUsize;
use std::sync::Arc;
#[cfg(any(
    feature = "workflows",
    feature = "performance-monitoring",
    feature = "optimization"
))]
use std::time::Duration;

use coord_bus::time::{Clock, SystemClock};

#[cfg(feature = "optimization")]
mod streams;
#[cfg(feature = "config-file")]
mod setting;
#[cfg(feature = "config-file")]
#[cfg_attr(
    not(feature = "full"),
    allow(dead_code, reason = "not every part has settings of every kind")
)]
mod value;
#[cfg(feature = "config-file")]
mod file;
#[cfg(feature = "config-file")]
mod environment;
#[cfg(feature = "config-file")]
mod fault;

#[cfg(feature = "config-file")]
pub use fault::{ConfigFault, ConfigFaults};
#[cfg(feature = "optimization")]
pub use streams::StreamSettings;

/// How often what is counted is reported where nothing else is said.
#[cfg(any(feature = "performance-monitoring", feature = "optimization"))]
const REPORTING_INTERVAL: Duration = Duration::from_secs(60);

/// Which parts a [`CoordinationModule`](crate::CoordinationModule) starts: a toggle for each
/// feature of this crate, `event_flows_enabled` for `event-flows` and so on. All are on by default.
///
/// A part that is switched off is not started, and asking for it is answered with
/// [`CoordinationError::SwitchedOff`](crate::CoordinationError::SwitchedOff). A part whose feature
/// is off is not there at all, and neither is its toggle.
///
/// ```
/// use coordination::CoordinationConfig;
///
/// let mut config = CoordinationConfig::default();
/// # #[cfg(feature = "optimization")] {
/// config.optimization_enabled = false;
/// # }
/// ```
///
/// # File and environment
///
/// With the feature `config-file` a program reads the same settings, under the same names, from a
/// file ([`with_file`](Self::with_file)) and from its environment
/// ([`with_environment`](Self::with_environment)). Each is a step that changes what is named there and
/// leaves the rest, so the last step wins. The usual order is code, then file, then environment:
///
/// ```no_run
/// # #[cfg(feature = "config-file")]
/// # fn main() -> Result<(), coordination::CoordinationError> {
/// use coordination::CoordinationConfig;
///
/// let config = CoordinationConfig::default()
///     .with_file("coordination.toml".as_ref())?
///     .with_environment()?; // COORDINATION_WORKFLOWS_ENABLED=false
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "config-file"))]
/// # fn main() {}
/// ```
///
/// ```toml
/// optimization_enabled = true
/// performance_reporting_interval = "5m"   # or "never"
/// workflow_resources = { gpu = 1 }
///
/// [ui_update_stream]
/// buffer_size = 50
/// rate_limit = 60                         # batches a second; or "none"
/// ```
///
/// The journal, thresholds and the clock are values of the program: code alone sets them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CoordinationConfig {
    /// The choreographer, with the flows from processes to the log and to notifications.
    #[cfg(feature = "event-flows")]
    pub event_flows_enabled: bool,
    /// The orchestrator.
    #[cfg(feature = "workflows")]
    pub workflows_enabled: bool,
    /// The optimizer of streams.
    #[cfg(feature = "optimization")]
    pub optimization_enabled: bool,
    /// The monitor.
    #[cfg(feature = "performance-monitoring")]
    pub performance_monitoring_enabled: bool,
    /// The recovery manager, which looks for failing steps, and supervision.
    #[cfg(feature = "error-recovery")]
    pub error_recovery_enabled: bool,
    /// The process runner, the registry of patterns, and services where there is supervision.
    #[cfg(feature = "integration-patterns")]
    pub integration_patterns_enabled: bool,
    /// How `process-output` comes in batches; 100 events, 50 times a second, by default.
    #[cfg(feature = "optimization")]
    pub process_output_stream: StreamSettings,
    /// How `cli-command` does; 10 events, 20 times a second, by default.
    #[cfg(feature = "optimization")]
    pub cli_command_stream: StreamSettings,
    /// How `ui-update` does; 50 events, 60 times a second, by default.
    #[cfg(feature = "optimization")]
    pub ui_update_stream: StreamSettings,
    /// How long a cancelled step that watches its token has to come to an end;
    /// [`DEFAULT_GRACE`](coord_workflow::DEFAULT_GRACE) by default.
    #[cfg(feature = "workflows")]
    pub workflow_grace: Duration,
    /// How long undoing a run may take, all together;
    /// [`DEFAULT_COMPENSATION_TIMEOUT`](coord_workflow::DEFAULT_COMPENSATION_TIMEOUT) by default.
    #[cfg(feature = "workflows")]
    pub compensation_timeout: Duration,
    /// How many steps run at once at most, those of all runs counted; no limit by default.
    #[cfg(feature = "workflows")]
    pub workflow_total_concurrency: Option<NonZeroUsize>,
    /// The resources that steps may ask for, and how many permits there are of each; none by default.
    #[cfg(feature = "workflows")]
    pub workflow_resources: BTreeMap<String, u32>,
    /// Where durable runs are kept, such as `RunJournal::of(Arc::new(Journal::open(dir)?))`; nowhere
    /// by default, and then none can be started.
    #[cfg(feature = "workflows")]
    pub workflow_journal: Option<coord_workflow::RunJournal>,
    /// How often a `stream-report` says what became of the events of optimized streams; once a minute by
    /// default, and not more often than that there is something to say. `None`: never.
    #[cfg(feature = "optimization")]
    pub stream_reporting_interval: Option<Duration>,
    /// How often the monitor looks; once a second by default, and 200 ms at least, or the module
    /// does not start.
    #[cfg(feature = "performance-monitoring")]
    pub performance_sampling_interval: Duration,
    /// How many samples the monitor keeps, for reports; 120 by default, and 3600 at most, or the module
    /// does not start.
    #[cfg(feature = "performance-monitoring")]
    pub performance_history: usize,
    /// How often the monitor publishes a `performance-report`; once a minute by default, and not more
    /// often than it looks, or the module does not start. `None`: never.
    #[cfg(feature = "performance-monitoring")]
    pub performance_reporting_interval: Option<Duration>,
    /// Whether the monitor's reports and alerts, errors that were detected and what is done about them
    /// also go to `log-events`; they do by default.
    #[cfg(feature = "performance-monitoring")]
    pub performance_log: bool,
    /// What the monitor holds against a limit, to publish a `performance-alert` where it is beyond;
    /// nothing by default.
    #[cfg(feature = "performance-monitoring")]
    pub performance_thresholds: Vec<coord_monitor::Threshold>,
    /// Whether the monitor gives what it measures to the recorder of the crate `metrics` that the
    /// program has installed; it does by default.
    #[cfg(feature = "metrics")]
    pub performance_export: bool,
    /// What the times in events are taken from; the machine's clock by default.
    pub clock: Arc<dyn Clock>,
}

impl Default for CoordinationConfig {
    fn default() -> Self {
        Self {
            #[cfg(feature = "event-flows")]
            event_flows_enabled: true,
            #[cfg(feature = "workflows")]
            workflows_enabled: true,
            #[cfg(feature = "optimization")]
            optimization_enabled: true,
            #[cfg(feature = "performance-monitoring")]
            performance_monitoring_enabled: true,
            #[cfg(feature = "error-recovery")]
            error_recovery_enabled: true,
            #[cfg(feature = "integration-patterns")]
            integration_patterns_enabled: true,
            #[cfg(feature = "optimization")]
            process_output_stream: StreamSettings::new(100, 50),
            #[cfg(feature = "optimization")]
            cli_command_stream: StreamSettings::new(10, 20),
            #[cfg(feature = "optimization")]
            ui_update_stream: StreamSettings::new(50, 60),
            #[cfg(feature = "workflows")]
            workflow_grace: coord_workflow::DEFAULT_GRACE,
            #[cfg(feature = "workflows")]
            compensation_timeout: coord_workflow::DEFAULT_COMPENSATION_TIMEOUT,
            #[cfg(feature = "workflows")]
            workflow_total_concurrency: None,
            #[cfg(feature = "workflows")]
            workflow_resources: BTreeMap::new(),
            #[cfg(feature = "workflows")]
            workflow_journal: None,
            #[cfg(feature = "optimization")]
            stream_reporting_interval: Some(REPORTING_INTERVAL),
            #[cfg(feature = "performance-monitoring")]
            performance_sampling_interval: coord_monitor::DEFAULT_INTERVAL,
            #[cfg(feature = "performance-monitoring")]
            performance_history: coord_monitor::DEFAULT_HISTORY,
            #[cfg(feature = "performance-monitoring")]
            performance_reporting_interval: Some(REPORTING_INTERVAL),
            #[cfg(feature = "performance-monitoring")]
            performance_log: true,
            #[cfg(feature = "performance-monitoring")]
            performance_thresholds: Vec::new(),
            #[cfg(feature = "metrics")]
            performance_export: true,
            clock: Arc::new(SystemClock),
        }
    }
}
