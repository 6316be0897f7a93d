//! The patterns that the original began with, each with its strategy.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use coord_bus::vocabulary::{
    ErrorDetected, PROCESS_LIFECYCLE, ProcessLifecycle, ProcessState, SERVICE_LIFECYCLE,
    ServiceLifecycle, ServiceState,
};

use super::{ErrorPattern, Matched, RecoveryStrategy};
use crate::Supervisor;
use crate::policy::CircuitBreaker;

impl ErrorPattern {
    /// `process-restart`: a process that was not started, or has failed or was killed, makes the
    /// supervisor restart the child of its name.
    pub fn process_restart(supervisor: &Arc<Supervisor>) -> Self {
        Self::on(&PROCESS_LIFECYCLE, "process-restart", failed_process)
            .strategy(RecoveryStrategy::restart(supervisor))
    }

    /// `cli-fallback`: what is done instead of a process that was not started, or has failed or was
    /// killed.
    pub fn cli_fallback<F, Recovering, E>(instead: F) -> Self
    where
        F: Fn(ErrorDetected) -> Recovering + Send + Sync + 'static,
        Recovering: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        Self::on(&PROCESS_LIFECYCLE, "cli-fallback", failed_process)
            .strategy(RecoveryStrategy::fallback(instead))
    }

    /// `service-circuit-break`: a service that is unhealthy, or did not become ready, opens the
    /// circuit breaker that this function knows for it.
    pub fn service_circuit_break(
        breaker_of: impl Fn(&ErrorDetected) -> Option<CircuitBreaker> + Send + Sync + 'static,
    ) -> Self {
        Self::on(&SERVICE_LIFECYCLE, "service-circuit-break", sick_service)
            .strategy(RecoveryStrategy::circuit_break(breaker_of))
    }
}

pub(super) fn failed_process(event: &ProcessLifecycle) -> Option<Matched> {
    let message = match &event.state {
        ProcessState::NotStarted { error } => error.clone(),
        ProcessState::Exited(exit) if !exit.is_success() => exit.to_string(),
        _ => return None,
    };
    Some(Matched::new(&event.process, message))
}

pub(super) fn sick_service(event: &ServiceLifecycle) -> Option<Matched> {
    let message = match &event.state {
        ServiceState::NotReady { answer } => format!("it did not become ready: {answer}"),
        ServiceState::Unhealthy { answer } => format!("it is unhealthy: {answer}"),
        _ => return None,
    };
    Some(Matched::new(&event.service, message))
}
