//! All parts on one bus: started in order, asked for by name, shut down in reverse.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coord_bus::Bus;
use coord_bus::time::{Clock, Instant};

use crate::{CoordinationConfig, CoordinationError, ShutdownAccount};

/// What a part has to stop in if nothing is left of the deadline: long enough for tasks to hear of
/// it on a machine that is busy, and too short to matter to whoever waits.
const MOMENT: Duration = Duration::from_millis(100);

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
/// Recovery, monitor, optimizer, flows, processes, services, workflows: each part is started after
/// what it uses, and after those that watch it. [`shutdown`](Self::shutdown) goes the other way:
/// steps that are undone still have their services, and what a part does to its last moment is
/// still carried on, counted and told. Dropped, the module aborts what its parts do.
pub struct CoordinationModule {
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    is_shut_down: AtomicBool,
    // Fields are dropped from the first to the last: in reverse order of start, too.
    #[cfg(feature = "workflows")]
    orchestrator: Option<coord_workflow::WorkflowOrchestrator>,
    #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
    services: Option<crate::Services>,
    #[cfg(feature = "integration-patterns")]
    processes: Option<coord_patterns::process::ProcessRunner>,
    #[cfg(feature = "event-flows")]
    choreographer: Option<coord_flow::EventChoreographer>,
    #[cfg(feature = "optimization")]
    optimizer: Option<coord_optimize::EventStreamOptimizer>,
    #[cfg(feature = "performance-monitoring")]
    monitor: Option<coord_monitor::PerformanceMonitor>,
    #[cfg(feature = "error-recovery")]
    recovery: Option<coord_recovery::ErrorRecoveryManager>,
}

impl CoordinationModule {
    /// Starts the parts that are switched on, on this bus.
    ///
    /// The choreographer begins with the flows of [`flow::builtin`](crate::flow::builtin) from
    /// process lifecycle to the log and from crashes to notifications, the recovery manager with
    /// the pattern for failing steps.
    ///
    /// # Errors
    ///
    /// When a part could not be started; those that were are ended again.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(bus: Arc<dyn Bus>, config: CoordinationConfig) -> Result<Self, CoordinationError> {
        let clock = config.clock;
        #[cfg(feature = "error-recovery")]
        let recovery = start_if(config.error_recovery, || {
            use coord_recovery::{ErrorPattern, ErrorRecoveryManager};
            let recovery = ErrorRecoveryManager::new(Arc::clone(&bus), Arc::clone(&clock))?;
            recovery.register_error_pattern(ErrorPattern::failing_steps())?;
            Ok(recovery)
        })?;
        #[cfg(feature = "performance-monitoring")]
        let monitor = start_if(config.performance_monitoring, || {
            let monitor = coord_monitor::PerformanceMonitor::builder(Arc::clone(&bus))
                .clock(Arc::clone(&clock))
                .interval(config.performance_sampling_interval);
            Ok(monitor.build()?)
        })?;
        #[cfg(feature = "optimization")]
        let optimizer = start_if(config.optimization, || {
            Ok(coord_optimize::EventStreamOptimizer::new(Arc::clone(&bus)))
        })?;
        #[cfg(feature = "event-flows")]
        let choreographer = start_if(config.event_flows, || {
            use coord_flow::{EventChoreographer, builtin};
            let choreographer = EventChoreographer::with_clock(Arc::clone(&bus), clock.clone())?;
            choreographer.add_event_flow(builtin::process_lifecycle_to_log())?;
            choreographer.add_event_flow(builtin::process_crash_to_notification())?;
            Ok(choreographer)
        })?;
        #[cfg(feature = "integration-patterns")]
        let processes = start_if(config.integration_patterns, || {
            let runner = coord_patterns::process::ProcessRunner::new(&*bus)?;
            Ok(runner.with_clock(Arc::clone(&clock)))
        })?;
        #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
        let services = match &processes {
            Some(runner) if config.error_recovery => {
                Some(crate::Services::new(&*bus, runner.clone(), &clock)?)
            }
            _ => None,
        };
        #[cfg(feature = "workflows")]
        let orchestrator = start_if(config.workflows, || {
            let orchestrator = coord_workflow::WorkflowOrchestrator::builder(&*bus)
                .clock(Arc::clone(&clock))
                .grace(config.workflow_grace)
                .compensation_timeout(config.compensation_timeout);
            Ok(orchestrator.build()?)
        })?;
        Ok(Self {
            bus,
            clock,
            is_shut_down: AtomicBool::new(false),
            #[cfg(feature = "workflows")]
            orchestrator,
            #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
            services,
            #[cfg(feature = "integration-patterns")]
            processes,
            #[cfg(feature = "event-flows")]
            choreographer,
            #[cfg(feature = "optimization")]
            optimizer,
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

    /// The choreographer of flows.
    ///
    /// # Errors
    ///
    /// When `event_flows` is off.
    #[cfg(feature = "event-flows")]
    pub fn choreographer(&self) -> Result<&coord_flow::EventChoreographer, CoordinationError> {
        part(&self.choreographer, "the choreographer", "event_flows")
    }

    /// The orchestrator of workflows.
    ///
    /// # Errors
    ///
    /// When `workflows` is off.
    #[cfg(feature = "workflows")]
    pub fn orchestrator(&self) -> Result<&coord_workflow::WorkflowOrchestrator, CoordinationError> {
        part(&self.orchestrator, "the orchestrator", "workflows")
    }

    /// The optimizer of streams.
    ///
    /// # Errors
    ///
    /// When `optimization` is off.
    #[cfg(feature = "optimization")]
    pub fn optimizer(&self) -> Result<&coord_optimize::EventStreamOptimizer, CoordinationError> {
        part(&self.optimizer, "the optimizer", "optimization")
    }

    /// The monitor.
    ///
    /// # Errors
    ///
    /// When `performance_monitoring` is off.
    #[cfg(feature = "performance-monitoring")]
    pub fn monitor(&self) -> Result<&coord_monitor::PerformanceMonitor, CoordinationError> {
        part(&self.monitor, "the monitor", "performance_monitoring")
    }

    /// The recovery manager.
    ///
    /// # Errors
    ///
    /// When `error_recovery` is off.
    #[cfg(feature = "error-recovery")]
    pub fn recovery(&self) -> Result<&coord_recovery::ErrorRecoveryManager, CoordinationError> {
        part(&self.recovery, "the recovery manager", "error_recovery")
    }

    /// The runner of processes.
    ///
    /// # Errors
    ///
    /// When `integration_patterns` is off.
    #[cfg(feature = "integration-patterns")]
    pub fn processes(&self) -> Result<&coord_patterns::process::ProcessRunner, CoordinationError> {
        part(
            &self.processes,
            "the process runner",
            "integration_patterns",
        )
    }

    /// The services, under supervision.
    ///
    /// # Errors
    ///
    /// When `integration_patterns` or `error_recovery` is off.
    #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
    pub fn services(&self) -> Result<&crate::Services, CoordinationError> {
        let toggle = match self.processes {
            Some(_) => "error_recovery",
            None => "integration_patterns",
        };
        part(&self.services, "the supervisor of services", toggle)
    }

    /// Shuts the parts down, in reverse order of start: runs are cancelled and undone, services
    /// stop, flows handle what has been published, and then those stop that watched it all.
    /// Together they have `deadline`; what still goes on then is aborted, and the account says so. A
    /// part whose turn comes later has 100 ms, so that one which stops at once is not aborted.
    ///
    /// The bus stays open, and a part that was shut down takes nothing more. Called again, it waits
    /// for what still goes on, and its account has what was left since.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, some parts have been shut down and others go on; it can be
    /// called again.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownAccount {
        let begun = Instant::now();
        let left = || deadline.saturating_sub(begun.elapsed()).max(MOMENT);
        self.is_shut_down.store(true, Ordering::Release);
        ShutdownAccount {
            #[cfg(feature = "workflows")]
            workflows: match &self.orchestrator {
                Some(part) => Some(part.shutdown(left()).await),
                None => None,
            },
            #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
            services: match &self.services {
                Some(part) => Some(part.shutdown(left()).await),
                None => None,
            },
            #[cfg(feature = "event-flows")]
            flows: match &self.choreographer {
                Some(part) => Some(part.shutdown(left()).await),
                None => None,
            },
            #[cfg(feature = "performance-monitoring")]
            monitor: match &self.monitor {
                Some(part) => Some(part.shutdown(left()).await),
                None => None,
            },
            #[cfg(feature = "error-recovery")]
            recovery: match &self.recovery {
                Some(part) => Some(part.shutdown(left()).await),
                None => None,
            },
        }
    }
}

/// Starts a part if it is switched on.
fn start_if<T>(
    on: bool,
    start: impl FnOnce() -> Result<T, CoordinationError>,
) -> Result<Option<T>, CoordinationError> {
    on.then(start).transpose()
}

fn part<'m, T>(
    part: &'m Option<T>,
    name: &'static str,
    toggle: &'static str,
) -> Result<&'m T, CoordinationError> {
    part.as_ref()
        .ok_or(CoordinationError::SwitchedOff { part: name, toggle })
}

impl fmt::Debug for CoordinationModule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CoordinationModule")
            .field("is_shut_down", &self.is_shut_down())
            .finish_non_exhaustive()
    }
}
