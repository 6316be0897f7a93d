//! How each part is started, if it is switched on.

use std::sync::Arc;

use coord_bus::Bus;
#[cfg(feature = "event-flows")]
use coord_flow::EventChoreographer;
#[cfg(feature = "performance-monitoring")]
use coord_monitor::PerformanceMonitor;
#[cfg(feature = "optimization")]
use coord_optimize::EventStreamOptimizer;
#[cfg(feature = "integration-patterns")]
use coord_patterns::pattern::IntegrationPatterns;
#[cfg(feature = "integration-patterns")]
use coord_patterns::process::ProcessRunner;
#[cfg(feature = "error-recovery")]
use coord_recovery::ErrorRecoveryManager;
#[cfg(feature = "workflows")]
use coord_workflow::WorkflowOrchestrator;

use crate::{CoordinationConfig, CoordinationError};

type Started<T> = Result<Option<T>, CoordinationError>;

#[cfg(feature = "error-recovery")]
pub(super) fn recovery(
    bus: &Arc<dyn Bus>,
    config: &CoordinationConfig,
) -> Started<ErrorRecoveryManager> {
    if !config.error_recovery_enabled {
        return Ok(None);
    }
    let recovery = ErrorRecoveryManager::new(Arc::clone(bus), Arc::clone(&config.clock))?;
    recovery.register_error_pattern(coord_recovery::ErrorPattern::failing_steps())?;
    recovery.default_patterns()?;
    Ok(Some(recovery))
}

#[cfg(feature = "performance-monitoring")]
pub(super) fn monitor(
    bus: &Arc<dyn Bus>,
    config: &CoordinationConfig,
) -> Started<PerformanceMonitor> {
    if !config.performance_monitoring_enabled {
        return Ok(None);
    }
    let mut monitor = PerformanceMonitor::builder(Arc::clone(bus))
        .clock(Arc::clone(&config.clock))
        .interval(config.performance_sampling_interval)
        .history(config.performance_history)
        .log(config.performance_log);
    if let Some(interval) = config.performance_reporting_interval {
        monitor = monitor.report_every(interval);
    }
    for threshold in &config.performance_thresholds {
        monitor = monitor.threshold(threshold.clone());
    }
    #[cfg(feature = "metrics")]
    {
        monitor = monitor.export(config.performance_export);
    }
    Ok(Some(monitor.build()?))
}

#[cfg(feature = "optimization")]
pub(super) fn optimizer(
    bus: &Arc<dyn Bus>,
    config: &CoordinationConfig,
) -> Started<EventStreamOptimizer> {
    use coord_bus::vocabulary::{CLI_COMMAND, PROCESS_OUTPUT, UI_UPDATE};

    if !config.optimization_enabled {
        return Ok(None);
    }
    let optimizer = EventStreamOptimizer::new(Arc::clone(bus));
    config
        .process_output_stream
        .apply(&optimizer, &PROCESS_OUTPUT)?;
    config.cli_command_stream.apply(&optimizer, &CLI_COMMAND)?;
    config.ui_update_stream.apply(&optimizer, &UI_UPDATE)?;
    Ok(Some(optimizer))
}

/// Who owns the task that reports on streams, if they are reported on.
#[cfg(feature = "optimization")]
pub(super) fn stream_reports(
    bus: &Arc<dyn Bus>,
    config: &CoordinationConfig,
    optimizer: Option<&EventStreamOptimizer>,
) -> Started<coord_bus::TaskScope> {
    let (Some(optimizer), Some(interval)) = (optimizer, config.stream_reporting_interval) else {
        return Ok(None);
    };
    let clock = &config.clock;
    let scope = coord_bus::TaskScope::reporting("stream-reports", &**bus, Arc::clone(clock))?;
    optimizer.report_every(interval, Arc::clone(clock), &scope)?;
    Ok(Some(scope))
}

#[cfg(feature = "event-flows")]
pub(super) fn choreographer(
    bus: &Arc<dyn Bus>,
    config: &CoordinationConfig,
) -> Started<Arc<EventChoreographer>> {
    use coord_flow::builtin::{process_crash_to_notification, process_lifecycle_to_log};

    if !config.event_flows_enabled {
        return Ok(None);
    }
    let choreographer = EventChoreographer::with_clock(Arc::clone(bus), Arc::clone(&config.clock))?;
    #[cfg(feature = "performance-monitoring")]
    if config.performance_monitoring_enabled && config.performance_log {
        choreographer.errors_reach(coord_bus::vocabulary::LOG_EVENTS.name());
    }
    choreographer.add_event_flow(process_lifecycle_to_log())?;
    choreographer.add_event_flow(process_crash_to_notification())?;
    Ok(Some(Arc::new(choreographer)))
}

#[cfg(feature = "integration-patterns")]
pub(super) fn processes(bus: &dyn Bus, config: &CoordinationConfig) -> Started<ProcessRunner> {
    if !config.integration_patterns_enabled {
        return Ok(None);
    }
    let runner = ProcessRunner::new(bus)?;
    Ok(Some(runner.with_clock(Arc::clone(&config.clock))))
}

#[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
pub(super) fn services(
    bus: &dyn Bus,
    config: &CoordinationConfig,
    processes: Option<&ProcessRunner>,
) -> Started<Arc<crate::Services>> {
    let Some(runner) = processes.filter(|_| config.error_recovery_enabled) else {
        return Ok(None);
    };
    let services = crate::Services::new(bus, runner.clone(), &config.clock)?;
    Ok(Some(Arc::new(services)))
}

#[cfg(feature = "workflows")]
pub(super) fn orchestrator(
    bus: &dyn Bus,
    config: &CoordinationConfig,
) -> Started<WorkflowOrchestrator> {
    if !config.workflows_enabled {
        return Ok(None);
    }
    let mut orchestrator = WorkflowOrchestrator::builder(bus)
        .clock(Arc::clone(&config.clock))
        .grace(config.workflow_grace)
        .compensation_timeout(config.compensation_timeout);
    if let Some(steps) = config.workflow_total_concurrency {
        orchestrator = orchestrator.total_concurrency(steps);
    }
    for (name, permits) in &config.workflow_resources {
        orchestrator = orchestrator.resource(name, *permits);
    }
    if let Some(journal) = &config.workflow_journal {
        orchestrator = orchestrator.journal(journal.clone());
    }
    Ok(Some(orchestrator.build()?))
}

#[cfg(feature = "integration-patterns")]
pub(super) fn patterns(
    bus: &Arc<dyn Bus>,
    config: &CoordinationConfig,
) -> Option<IntegrationPatterns> {
    let (bus, clock) = (Arc::clone(bus), Arc::clone(&config.clock));
    let is_on = config.integration_patterns_enabled;
    is_on.then(|| IntegrationPatterns::with_clock(bus, clock))
}

/// Puts what flows count into the monitor's snapshots, as long as there is a choreographer.
#[cfg(all(feature = "performance-monitoring", feature = "event-flows"))]
pub(super) fn read_flows(
    monitor: &PerformanceMonitor,
    choreographer: &Arc<EventChoreographer>,
) -> Result<(), CoordinationError> {
    let choreographer = Arc::downgrade(choreographer);
    let read = move || {
        let flows = choreographer.upgrade().map(|flows| flows.event_flows());
        let readings = flows.unwrap_or_default().into_iter().flat_map(|flow| {
            let figures = [
                ("received", flow.stats.received),
                ("published", flow.stats.published),
                ("filtered", flow.stats.filtered),
                ("failed", flow.stats.failed),
                ("dead", flow.stats.dead),
                ("lost", flow.stats.lost),
                ("retried", flow.stats.retried),
                ("left", flow.left),
            ];
            figures.map(|(figure, value)| {
                coord_monitor::Reading::new(format!("flow {}", flow.name), figure, value)
            })
        });
        readings.collect()
    };
    Ok(monitor.add_source(read)?)
}

/// Puts what the optimizer counts into the monitor's snapshots.
#[cfg(all(feature = "performance-monitoring", feature = "optimization"))]
pub(super) fn read_streams(
    monitor: &PerformanceMonitor,
    optimizer: &EventStreamOptimizer,
) -> Result<(), CoordinationError> {
    let optimizer = optimizer.clone();
    let read = move || {
        let readings = optimizer.statistics().into_iter().flat_map(|stream| {
            let ledger = stream.ledger;
            let figures = [
                ("received", ledger.received),
                ("given out", ledger.given_out),
                ("merged", ledger.merged),
                ("dropped", ledger.dropped.total()),
                ("held", ledger.held),
            ];
            figures.map(|(figure, value)| {
                coord_monitor::Reading::new(format!("stream {}", stream.topic), figure, value)
            })
        });
        readings.collect()
    };
    Ok(monitor.add_source(read)?)
}
