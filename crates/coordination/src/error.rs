//! What can go wrong with the module as a whole.

/// A part of the module could not be started, is not there, or refused something.
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
    /// The bus refused something.
    #[error("the bus of the module refused a topic")]
    Bus(#[from] coord_bus::BusError),
    /// The choreographer, or a flow of it.
    #[cfg(feature = "event-flows")]
    #[error("an event flow could not be run")]
    Flow(#[from] coord_flow::FlowError),
    /// The orchestrator.
    #[cfg(feature = "workflows")]
    #[error("workflows could not be run")]
    Workflow(#[from] coord_workflow::WorkflowError),
    /// The optimizer.
    #[cfg(feature = "optimization")]
    #[error("a stream could not be optimised")]
    Optimize(#[from] coord_optimize::OptimizeError),
    /// The monitor.
    #[cfg(feature = "performance-monitoring")]
    #[error("performance could not be monitored")]
    Monitor(#[from] coord_monitor::MonitorError),
    /// The recovery manager, or the supervisor of services.
    #[cfg(feature = "error-recovery")]
    #[error("recovery could not be set up")]
    Recovery(#[from] coord_recovery::RecoveryError),
    /// The process runner.
    #[cfg(feature = "integration-patterns")]
    #[error("processes could not be run")]
    Process(#[from] coord_patterns::process::ProcessError),
    /// The runner of services.
    #[cfg(feature = "integration-patterns")]
    #[error("services could not be run")]
    Service(#[from] coord_patterns::service::ServiceError),
}
