//! All parts on one bus: started in order, and asked for by name.

#[cfg(any(
    feature = "event-flows",
    feature = "workflows",
    feature = "optimization",
    feature = "performance-monitoring",
    feature = "error-recovery",
    feature = "integration-patterns",
))]
mod parts;
#[cfg(any(
    feature = "event-flows",
    feature = "workflows",
    feature = "error-recovery",
    feature = "integration-patterns",
))]
mod create;
#[cfg(all(
    feature = "event-flows",
    any(
        all(feature = "integration-patterns", feature = "error-recovery"),
        all(feature = "optimization", feature = "_pattern-streams")
    )
))]
mod bundles;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coord_bus::Bus;
use coord_bus::time::Clock;

use crate::{CoordinationConfig, CoordinationError};

/// The parts of the coordination module on one bus.
///
/// Each part that its [`CoordinationConfig`] switches on is started; each is reached by its name,
/// which answers with [`CoordinationError::SwitchedOff`] when it is off. The bus is its user's own,
/// and outlives the module.
///
/// ```
/// # #[cfg(all(feature = "workflows", feature = "performance-monitoring"))]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use coordination::bus::LocalBus;
/// use coordination::workflow::{StepError, Workflow};
/// use coordination::{CoordinationConfig, CoordinationModule, HealthStatus};
///
/// let module = CoordinationModule::start(
///     Arc::new(LocalBus::new()),
///     CoordinationConfig::default(),
/// )?;
///
/// let mut workflow = Workflow::builder("release");
/// workflow.step("build").run(async || Ok::<_, StepError>(()));
/// module.orchestrator()?.execute_workflow(&workflow.build()?, ()).await?;
///
/// assert_eq!(module.system_health().status, HealthStatus::Healthy);
/// let report = module.shutdown(Duration::from_secs(5)).await;
/// assert!(report.is_complete());
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "workflows", feature = "performance-monitoring")))]
/// # fn main() {}
/// ```
///
/// # Order
///
/// Recovery, monitor, optimizer, flows, processes, services, patterns, workflows: each part is started after
/// what it uses, and after those that watch it. [`shutdown`](Self::shutdown) goes the other way:
/// steps that are undone still have their services, and flows carry on what those say last. What
/// happens in the very last moment is counted unless the monitor or the recovery manager had fallen
/// behind, for they then read no further. Dropped, the module aborts what its parts do: nothing is
/// undone, and processes are killed.
pub struct CoordinationModule {
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    is_shut_down: AtomicBool,
    // Fields are dropped from the first to the last: in reverse order of start, too.
    #[cfg(feature = "workflows")]
    orchestrator: Option<coord_workflow::WorkflowOrchestrator>,
    #[cfg(feature = "integration-patterns")]
    patterns: Option<coord_patterns::pattern::IntegrationPatterns>,
    #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
    services: Option<Arc<crate::Services>>,
    #[cfg(feature = "integration-patterns")]
    processes: Option<coord_patterns::process::ProcessRunner>,
    #[cfg(feature = "event-flows")]
    choreographer: Option<Arc<coord_flow::EventChoreographer>>,
    #[cfg(all(
        feature = "event-flows",
        feature = "optimization",
        feature = "_pattern-streams"
    ))]
    streams: Option<crate::streams::Streams>,
    #[cfg(feature = "optimization")]
    optimizer: Option<coord_optimize::EventStreamOptimizer>,
    #[cfg(feature = "optimization")]
    stream_reports: Option<coord_bus::TaskScope>,
    #[cfg(feature = "performance-monitoring")]
    monitor: Option<coord_monitor::PerformanceMonitor>,
    #[cfg(feature = "error-recovery")]
    recovery: Option<coord_recovery::ErrorRecoveryManager>,
}

impl CoordinationModule {
    /// Starts the parts that are switched on, on this bus.
    ///
    /// Some are there from the start, so that a program which asks for nothing is told of what
    /// matters:
    ///
    /// - two flows, `process-lifecycle-to-log` and `process-crash-to-notification`;
    /// - the pattern `failing-steps`, which makes errors of steps that fail;
    /// - the patterns `process-restart`, `cli-fallback`, `service-circuit-break` and
    ///   `service-error-storm`, which act upon what is named to
    ///   [`default_patterns`](coord_recovery::ErrorRecoveryManager::default_patterns) of
    ///   [`recovery`](Self::recovery).
    ///
    /// # Errors
    ///
    /// When a part could not be started: a topic of its is of another type on this bus, the bus is
    /// closed, or a setting is out of its bounds. Parts that were started are ended again.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, and in one without timers (`enable_time`): each part would panic there, in a
    /// task. Processes want a runtime with IO, too (`enable_all`).
    pub fn start(bus: Arc<dyn Bus>, config: CoordinationConfig) -> Result<Self, CoordinationError> {
        // To make a timer says whether there are any.
        drop(coord_bus::time::sleep(std::time::Duration::ZERO));
        #[cfg(feature = "error-recovery")]
        let recovery = parts::recovery(&bus, &config)?;
        #[cfg(feature = "performance-monitoring")]
        let monitor = parts::monitor(&bus, &config)?;
        #[cfg(feature = "optimization")]
        let optimizer = parts::optimizer(&bus, &config)?;
        #[cfg(feature = "optimization")]
        let stream_reports = parts::stream_reports(&bus, &config, optimizer.as_ref())?;
        #[cfg(feature = "event-flows")]
        let choreographer = parts::choreographer(&bus, &config)?;
        #[cfg(all(feature = "performance-monitoring", feature = "optimization"))]
        if let (Some(monitor), Some(optimizer)) = (&monitor, &optimizer) {
            parts::read_streams(monitor, optimizer)?;
        }
        #[cfg(all(feature = "performance-monitoring", feature = "event-flows"))]
        if let (Some(monitor), Some(choreographer)) = (&monitor, &choreographer) {
            parts::read_flows(monitor, choreographer)?;
        }
        #[cfg(all(
            feature = "event-flows",
            feature = "optimization",
            feature = "_pattern-streams"
        ))]
        let streams = optimizer.clone().map(crate::streams::Streams::new);
        #[cfg(feature = "integration-patterns")]
        let processes = parts::processes(&*bus, &config)?;
        #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
        let services = parts::services(&*bus, &config, processes.as_ref())?;
        #[cfg(feature = "integration-patterns")]
        let patterns = parts::patterns(&bus, &config);
        #[cfg(feature = "workflows")]
        let orchestrator = parts::orchestrator(&*bus, &config)?;
        Ok(Self {
            bus,
            clock: config.clock,
            is_shut_down: AtomicBool::new(false),
            #[cfg(feature = "workflows")]
            orchestrator,
            #[cfg(feature = "integration-patterns")]
            patterns,
            #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
            services,
            #[cfg(feature = "integration-patterns")]
            processes,
            #[cfg(feature = "event-flows")]
            choreographer,
            #[cfg(all(
                feature = "event-flows",
                feature = "optimization",
                feature = "_pattern-streams"
            ))]
            streams,
            #[cfg(feature = "optimization")]
            optimizer,
            #[cfg(feature = "optimization")]
            stream_reports,
            #[cfg(feature = "performance-monitoring")]
            monitor,
            #[cfg(feature = "error-recovery")]
            recovery,
        })
    }

    /// The bus that it is on.
    pub fn bus(&self) -> &Arc<dyn Bus> {
        &self.bus
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.is_shut_down.load(Ordering::Acquire)
    }

    pub(crate) fn begin_shutdown(&self) {
        self.is_shut_down.store(true, Ordering::Release);
        #[cfg(feature = "optimization")]
        if let Some(reports) = &self.stream_reports {
            reports.abort();
        }
    }

    /// The choreographer of flows.
    ///
    /// # Errors
    ///
    /// When `event_flows_enabled` is off.
    #[cfg(feature = "event-flows")]
    pub fn choreographer(&self) -> Result<&coord_flow::EventChoreographer, CoordinationError> {
        self.choreographer
            .as_deref()
            .ok_or(CoordinationError::SwitchedOff {
                part: "the choreographer",
                toggle: "event_flows_enabled",
            })
    }

    /// The orchestrator of workflows.
    ///
    /// # Errors
    ///
    /// When `workflows_enabled` is off.
    #[cfg(feature = "workflows")]
    pub fn orchestrator(&self) -> Result<&coord_workflow::WorkflowOrchestrator, CoordinationError> {
        self.orchestrator
            .as_ref()
            .ok_or(CoordinationError::SwitchedOff {
                part: "the orchestrator",
                toggle: "workflows_enabled",
            })
    }

    /// The optimizer of streams.
    ///
    /// # Errors
    ///
    /// When `optimization_enabled` is off.
    #[cfg(feature = "optimization")]
    pub fn optimizer(&self) -> Result<&coord_optimize::EventStreamOptimizer, CoordinationError> {
        self.optimizer
            .as_ref()
            .ok_or(CoordinationError::SwitchedOff {
                part: "the optimizer",
                toggle: "optimization_enabled",
            })
    }

    /// The monitor.
    ///
    /// # Errors
    ///
    /// When `performance_monitoring_enabled` is off.
    #[cfg(feature = "performance-monitoring")]
    pub fn monitor(&self) -> Result<&coord_monitor::PerformanceMonitor, CoordinationError> {
        self.monitor.as_ref().ok_or(CoordinationError::SwitchedOff {
            part: "the monitor",
            toggle: "performance_monitoring_enabled",
        })
    }

    /// The recovery manager.
    ///
    /// # Errors
    ///
    /// When `error_recovery_enabled` is off.
    #[cfg(feature = "error-recovery")]
    pub fn recovery(&self) -> Result<&coord_recovery::ErrorRecoveryManager, CoordinationError> {
        self.recovery
            .as_ref()
            .ok_or(CoordinationError::SwitchedOff {
                part: "the recovery manager",
                toggle: "error_recovery_enabled",
            })
    }

    /// The runner of processes.
    ///
    /// # Errors
    ///
    /// When `integration_patterns_enabled` is off.
    #[cfg(feature = "integration-patterns")]
    pub fn processes(&self) -> Result<&coord_patterns::process::ProcessRunner, CoordinationError> {
        self.processes
            .as_ref()
            .ok_or(CoordinationError::SwitchedOff {
                part: "the process runner",
                toggle: "integration_patterns_enabled",
            })
    }

    /// The integration patterns, by name. None is registered from the start.
    ///
    /// # Errors
    ///
    /// When `integration_patterns_enabled` is off.
    #[cfg(feature = "integration-patterns")]
    pub fn patterns(
        &self,
    ) -> Result<&coord_patterns::pattern::IntegrationPatterns, CoordinationError> {
        self.patterns
            .as_ref()
            .ok_or(CoordinationError::SwitchedOff {
                part: "the registry of patterns",
                toggle: "integration_patterns_enabled",
            })
    }

    #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
    fn weak_services(&self) -> Result<std::sync::Weak<crate::Services>, CoordinationError> {
        self.services()?;
        let services = self.services.as_ref();
        Ok(services.map_or_else(std::sync::Weak::new, Arc::downgrade))
    }

    /// The services, under supervision.
    ///
    /// # Errors
    ///
    /// When `integration_patterns_enabled` or `error_recovery_enabled` is off.
    #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
    pub fn services(&self) -> Result<&crate::Services, CoordinationError> {
        let toggle = match self.processes {
            Some(_) => "error_recovery_enabled",
            None => "integration_patterns_enabled",
        };
        self.services
            .as_deref()
            .ok_or(CoordinationError::SwitchedOff {
                part: "the supervisor of services",
                toggle,
            })
    }
}

impl fmt::Debug for CoordinationModule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CoordinationModule")
            .field("is_shut_down", &self.is_shut_down())
            .finish_non_exhaustive()
    }
}
