//! What is added to the parts of a module, by the names that users of the original know.

#[cfg(feature = "event-flows")]
use coord_flow::EventFlow;
#[cfg(feature = "integration-patterns")]
use coord_patterns::pattern::{Pattern, PatternHandle};
#[cfg(feature = "error-recovery")]
use coord_recovery::{ErrorPattern, RecoveryStrategy};
#[cfg(feature = "workflows")]
use coord_workflow::{Run, Workflow};

use crate::{CoordinationError, CoordinationModule};

impl CoordinationModule {
    /// Adds a flow to the choreographer: from now on it carries what is published to its sources.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    ///
    /// use coordination::bus::{BusExt, LocalBus, Topic};
    /// use coordination::flow::EventFlow;
    /// use coordination::{CoordinationConfig, CoordinationModule};
    ///
    /// const CELSIUS: Topic<f64> = Topic::new("celsius");
    /// const FAHRENHEIT: Topic<f64> = Topic::new("fahrenheit");
    ///
    /// let bus = Arc::new(LocalBus::new());
    /// let module = CoordinationModule::start(bus.clone(), CoordinationConfig::default())?;
    /// let flow = EventFlow::from(&CELSIUS).map(|celsius| celsius * 1.8 + 32.0);
    /// module.create_event_flow(flow.to(&FAHRENHEIT))?;
    ///
    /// let mut fahrenheit = bus.subscribe(&FAHRENHEIT)?;
    /// bus.publisher(&CELSIUS)?.publish(100.0).await?;
    /// assert_eq!(*fahrenheit.recv().await.unwrap(), 212.0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`add_event_flow`](coord_flow::EventChoreographer::add_event_flow), and when
    /// `event_flows_enabled` is off.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[cfg(feature = "event-flows")]
    pub fn create_event_flow(&self, flow: EventFlow) -> Result<(), CoordinationError> {
        Ok(self.choreographer()?.add_event_flow(flow)?)
    }

    /// Creates a run of a workflow and begins it. The [`Run`] says how it gets on, cancels it, and
    /// is awaited; dropped, the run goes on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    ///
    /// use coordination::bus::LocalBus;
    /// use coordination::workflow::{Status, StepError, Workflow};
    /// use coordination::{CoordinationConfig, CoordinationModule};
    ///
    /// let bus = Arc::new(LocalBus::new());
    /// let module = CoordinationModule::start(bus, CoordinationConfig::default())?;
    /// let mut workflow = Workflow::builder("release");
    /// workflow.step("build").run(async || Ok::<_, StepError>(()));
    /// let run = module.create_workflow(&workflow.build()?, ())?;
    /// assert_eq!(run.outcome().await?.status, Status::Completed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`start_workflow`](coord_workflow::WorkflowOrchestrator::start_workflow), and when
    /// `workflows_enabled` is off.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[cfg(feature = "workflows")]
    pub fn create_workflow<I: std::any::Any + Send + Sync, K>(
        &self,
        workflow: &Workflow<I, K>,
        input: I,
    ) -> Result<Run, CoordinationError> {
        Ok(self.orchestrator()?.start_workflow(workflow, input)?)
    }

    /// Registers a pattern and enables it, or does neither: one that could not start is configured
    /// otherwise and given again. Its handle says how it is and stops it; it is also stopped with the
    /// module.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, what the pattern has begun is aborted, and it is not registered.
    ///
    /// # Errors
    ///
    /// Those of
    /// [`register_and_enable`](coord_patterns::pattern::IntegrationPatterns::register_and_enable), and
    /// when `integration_patterns_enabled` is off.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[cfg(feature = "integration-patterns")]
    #[track_caller]
    pub fn configure_integration_pattern(
        &self,
        pattern: impl Pattern + 'static,
    ) -> impl Future<Output = Result<PatternHandle, CoordinationError>> + Send {
        // In no closure: the place is to be the caller's.
        let enabling = match self.patterns() {
            Ok(patterns) => Ok(patterns.register_and_enable(pattern)),
            Err(off) => Err(off),
        };
        async move { Ok(enabling?.await?) }
    }

    /// Registers an audit trail in this log, not enabled, and gives it back; what it records besides
    /// `audit-log` is said in `describe`: [`AuditTrail::topic`](coord_patterns::audit::AuditTrail::topic).
    /// It needs no flows and no settings of streams, only the registry of patterns.
    ///
    /// ```
    /// # #[cfg(feature = "audit-trail")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    ///
    /// use coordination::bus::{LocalBus, MemoryEventLog};
    /// use coordination::patterns::audit::AuditConfig;
    /// use coordination::{CoordinationConfig, CoordinationModule};
    ///
    /// let bus = Arc::new(LocalBus::new());
    /// let module = CoordinationModule::start(bus, CoordinationConfig::default())?;
    /// let log = Arc::new(MemoryEventLog::new());
    /// let trail = module.create_audit_trail_pattern(log, AuditConfig::default(), |trail| trail)?;
    /// module.patterns()?.enable("audit-trail").await?;
    /// assert_eq!(trail.head().entries, 0);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "audit-trail"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`register`](coord_patterns::pattern::IntegrationPatterns::register), and when
    /// `integration_patterns_enabled` is off.
    #[cfg(feature = "audit-trail")]
    #[track_caller]
    pub fn create_audit_trail_pattern(
        &self,
        log: std::sync::Arc<dyn coord_bus::EventLog>,
        config: coord_patterns::audit::AuditConfig,
        describe: impl FnOnce(coord_patterns::audit::AuditTrail) -> coord_patterns::audit::AuditTrail,
    ) -> Result<coord_patterns::audit::AuditTrail, CoordinationError> {
        let patterns = self.patterns()?;
        Ok(patterns.create_audit_trail_pattern(log, config, describe)?)
    }

    /// Has the recovery manager look for errors of this pattern from now on.
    ///
    /// # Errors
    ///
    /// Those of
    /// [`register_error_pattern`](coord_recovery::ErrorRecoveryManager::register_error_pattern), and
    /// when `error_recovery_enabled` is off.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[cfg(feature = "error-recovery")]
    pub fn register_error_pattern(&self, pattern: ErrorPattern) -> Result<(), CoordinationError> {
        Ok(self.recovery()?.register_error_pattern(pattern)?)
    }

    /// Says what is done about errors of this kind, in the place of what was done before.
    ///
    /// # Errors
    ///
    /// Those of
    /// [`register_recovery_strategy`](coord_recovery::ErrorRecoveryManager::register_recovery_strategy),
    /// and when `error_recovery_enabled` is off.
    #[cfg(feature = "error-recovery")]
    pub fn register_recovery_strategy(
        &self,
        kind: impl Into<String>,
        strategy: RecoveryStrategy,
    ) -> Result<(), CoordinationError> {
        let recovery = self.recovery()?;
        Ok(recovery.register_recovery_strategy(kind, strategy)?)
    }

    /// A process under supervision, to be started in order with services that need it or that it
    /// needs: [`SupervisedService`](crate::SupervisedService).
    ///
    /// # Errors
    ///
    /// When `integration_patterns_enabled` or `error_recovery_enabled` is off.
    #[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
    pub fn supervised_service(
        &self,
        child: coord_recovery::ChildSpec,
        service: coord_patterns::service::ServiceSpec,
    ) -> Result<crate::SupervisedService, CoordinationError> {
        Ok(crate::SupervisedService {
            services: self.weak_services()?,
            child,
            service,
        })
    }
}
