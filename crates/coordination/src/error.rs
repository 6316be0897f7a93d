//! What can go wrong with the module as a whole.

/// A part of the module is not there, could not be started, or refused something. What a part says
/// is said as it says it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoordinationError {
    /// The part is switched off.
    #[error(
        "{part} is switched off: set `{toggle}` in the `CoordinationConfig` that the module is \
         started with"
    )]
    SwitchedOff {
        /// What was asked for.
        part: &'static str,
        /// The field of [`CoordinationConfig`](crate::CoordinationConfig) that switches it on.
        toggle: &'static str,
    },
    /// A file of settings, or the environment, says what cannot be.
    #[cfg(feature = "config-file")]
    #[error(transparent)]
    Config(#[from] crate::ConfigFaults),
    /// A file of settings could not be read.
    #[cfg(feature = "config-file")]
    #[error("the settings in `{file}` could not be read; it is to be a text file of at most 1 MiB")]
    ConfigUnreadable {
        /// The file.
        file: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Of the bus.
    #[error(transparent)]
    Bus(#[from] coord_bus::BusError),
    /// Of the choreographer, or one of its flows.
    #[cfg(feature = "event-flows")]
    #[error(transparent)]
    Flow(#[from] coord_flow::FlowError),
    /// Of the orchestrator, or a run.
    #[cfg(feature = "workflows")]
    #[error(transparent)]
    Workflow(#[from] coord_workflow::WorkflowError),
    /// Of the optimizer.
    #[cfg(feature = "optimization")]
    #[error(transparent)]
    Optimize(#[from] coord_optimize::OptimizeError),
    /// Of the monitor.
    #[cfg(feature = "performance-monitoring")]
    #[error(transparent)]
    Monitor(#[from] coord_monitor::MonitorError),
    /// Of the recovery manager, or the supervisor of services.
    #[cfg(feature = "error-recovery")]
    #[error(transparent)]
    Recovery(#[from] coord_recovery::RecoveryError),
    /// Of a pattern, or their registry.
    #[cfg(feature = "integration-patterns")]
    #[error(transparent)]
    Pattern(#[from] coord_patterns::pattern::PatternError),
    /// Of a process, or the process runner.
    #[cfg(feature = "integration-patterns")]
    #[error(transparent)]
    Process(#[from] coord_patterns::process::ProcessError),
    /// Of a service, or the runner of services.
    #[cfg(feature = "integration-patterns")]
    #[error(transparent)]
    Service(#[from] coord_patterns::service::ServiceError),
    /// Of the interactive command line.
    #[cfg(feature = "interactive-cli")]
    #[error(transparent)]
    Cli(#[from] coord_patterns::cli::CliError),
}
