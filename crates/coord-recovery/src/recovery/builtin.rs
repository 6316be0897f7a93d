//! The patterns that the original began with, each with its strategy.

use std::collections::VecDeque;
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use coord_bus::vocabulary::{
    ErrorDetected, PROCESS_LIFECYCLE, ProcessLifecycle, ProcessState, SERVICE_LIFECYCLE,
    ServiceLifecycle, ServiceState,
};

use super::{ErrorPattern, Matched, RecoveryStrategy};
use crate::Supervisor;
use crate::policy::CircuitBreaker;

/// How many processes that were asked to stop, and have not ended yet, a pattern remembers: more than
/// a program stops at once. Beyond that the one asked first is forgotten, and its end may be a failure.
const STOPPING_MAX: usize = 1000;

impl ErrorPattern {
    /// `process-restart`: a process that was not started, or has failed or was killed, makes the
    /// supervisor restart the child of its name. One that was [asked to stop](ProcessState::Stopping)
    /// has not failed, however it ends.
    ///
    /// It is for processes whose end is not their child's end: a child that fails with its process, as
    /// the services of the facade do, is restarted by its supervisor, and would be twice.
    pub fn process_restart(supervisor: &Arc<Supervisor>) -> Self {
        Self::on(&PROCESS_LIFECYCLE, "process-restart", failed_process())
            .strategy(RecoveryStrategy::restart(supervisor))
    }

    /// `cli-fallback`: what is done instead of a process that was not started, or has failed or was
    /// killed, unless it was [asked to stop](ProcessState::Stopping).
    pub fn cli_fallback<F, Recovering, E>(instead: F) -> Self
    where
        F: Fn(ErrorDetected) -> Recovering + Send + Sync + 'static,
        Recovering: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        Self::on(&PROCESS_LIFECYCLE, "cli-fallback", failed_process())
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

/// What finds a process that was not started, or has ended badly without having been asked to.
pub(super) fn failed_process() -> impl Fn(&ProcessLifecycle) -> Option<Matched> + Send + Sync {
    let stopping = Mutex::new(VecDeque::<String>::new());
    move |event| {
        let mut stopping = stopping.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever comes next of this name, it is not stopping any more.
        let place = stopping.iter().position(|name| *name == event.process);
        let was_asked = place.and_then(|place| stopping.remove(place)).is_some();
        let message = match &event.state {
            ProcessState::NotStarted { error } => error.clone(),
            ProcessState::Exited(exit) if !was_asked && !exit.is_success() => exit.to_string(),
            ProcessState::Stopping { .. } => {
                if stopping.len() >= STOPPING_MAX {
                    stopping.pop_front();
                }
                stopping.push_back(event.process.clone());
                return None;
            }
            _ => return None,
        };
        Some(Matched::new(&event.process, message))
    }
}

pub(super) fn sick_service(event: &ServiceLifecycle) -> Option<Matched> {
    let message = match &event.state {
        ServiceState::NotReady { answer } => format!("it did not become ready: {answer}"),
        ServiceState::Unhealthy { answer } => format!("it is unhealthy: {answer}"),
        _ => return None,
    };
    Some(Matched::new(&event.service, message))
}
