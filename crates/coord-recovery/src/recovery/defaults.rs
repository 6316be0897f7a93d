//! The patterns of the original, for what is named to them: which process is restarted, which command
//! has a fallback, which service a breaker.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use coord_bus::BoxFuture;
use coord_bus::vocabulary::{
    ERROR_DETECTED, ErrorDetected, PROCESS_LIFECYCLE, ProcessLifecycle, SERVICE_LIFECYCLE,
    ServiceLifecycle, Severity,
};

use super::builtin::{failed_process, sick_service};
use super::strategy::BoxError;
use super::{ErrorPattern, Matched, RecoveryStrategy};
use crate::policy::CircuitBreaker;
use crate::{RecoveryError, Supervisor};

/// The most processes, commands and services, of each, that [`DefaultPatterns`] may be told of.
pub const MAX_NAMED: usize = 1000;

/// How many errors of a service within [`STORM_WITHIN`] open its breaker.
pub const STORM_ERRORS: u32 = 5;

/// See [`STORM_ERRORS`].
pub const STORM_WITHIN: Duration = Duration::from_secs(60);

/// Kinds of errors that say what a policy did, and nothing of the service: that a breaker is open, or
/// too many calls are under way. A storm of these would open a breaker because it is open.
const OF_POLICIES: [&str; 4] = [
    "circuit-open",
    "circuit-opened",
    "bulkhead-full",
    "rate-limited",
];

/// What the patterns that a manager can have from the start act upon: see
/// [`ErrorRecoveryManager::default_patterns`](super::ErrorRecoveryManager::default_patterns).
///
/// | pattern | what it looks for | what is done |
/// |---|---|---|
/// | `process-restart` | a process that was not started, has failed or was killed, and was not [asked to stop](coord_bus::vocabulary::ProcessState::Stopping) | the child of its name is [restarted](Self::restart) |
/// | `cli-fallback` | the same | its [fallback](Self::fallback) is run |
/// | `service-circuit-break` | a service that is unhealthy, or did not become ready | its [breaker](Self::circuit_break) is opened |
/// | `service-error-storm` | [`STORM_ERRORS`] errors of a service on `error-detected` within [`STORM_WITHIN`], without those by which a policy refuses calls (`circuit-open`, `circuit-opened`, `bulkhead-full`, `rate-limited`) | the same |
///
/// They look for nobody who was not named: what happens to others is no error of theirs. Cheap to
/// clone; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct DefaultPatterns {
    named: Arc<Mutex<Named>>,
}

type Instead = Arc<dyn Fn(ErrorDetected) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

#[derive(Default)]
struct Named {
    restarts: HashMap<String, Weak<Supervisor>>,
    fallbacks: HashMap<String, Instead>,
    breakers: HashMap<String, CircuitBreaker>,
}

impl DefaultPatterns {
    /// When this process fails, this supervisor restarts its child of that name, [as if that had
    /// failed](RecoveryStrategy::restart); in the place of what was said of it before. The supervisor is
    /// not kept alive by that.
    ///
    /// It is for processes whose end is not their child's end: a child that fails with its process is
    /// restarted by its supervisor, and need not be named.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::TooMany`] when there are [`MAX_NAMED`].
    pub fn restart(
        &self,
        process: impl Into<String>,
        supervisor: &Arc<Supervisor>,
    ) -> Result<(), RecoveryError> {
        let restarts = &mut self.named().restarts;
        insert(restarts, process.into(), Arc::downgrade(supervisor))
    }

    /// When this command fails, or cannot be started, this is done instead; in the place of what was
    /// said of it before.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::TooMany`] when there are [`MAX_NAMED`].
    pub fn fallback<F, Recovering, E>(
        &self,
        command: impl Into<String>,
        instead: F,
    ) -> Result<(), RecoveryError>
    where
        F: Fn(ErrorDetected) -> Recovering + Send + Sync + 'static,
        Recovering: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let instead: Instead = Arc::new(move |error| {
            let doing = instead(error);
            Box::pin(async move { doing.await.map_err(Into::into) })
        });
        insert(&mut self.named().fallbacks, command.into(), instead)
    }

    /// When this service is sick, or has a storm of errors, this breaker is opened; in the place of one
    /// that was named before. One that was put into another state by hand [stays
    /// there](RecoveryStrategy::circuit_break).
    ///
    /// # Errors
    ///
    /// [`RecoveryError::TooMany`] when there are [`MAX_NAMED`].
    pub fn circuit_break(
        &self,
        service: impl Into<String>,
        breaker: &CircuitBreaker,
    ) -> Result<(), RecoveryError> {
        insert(&mut self.named().breakers, service.into(), breaker.clone())
    }

    fn named(&self) -> MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The patterns, each with its strategy.
    pub(super) fn patterns(&self) -> [ErrorPattern; 4] {
        let process = |name, knows: fn(&Named, &str) -> bool| {
            let (known, failed) = (self.clone(), failed_process());
            ErrorPattern::on(&PROCESS_LIFECYCLE, name, move |event: &ProcessLifecycle| {
                let is_known = knows(&known.named(), &event.process);
                is_known.then(|| failed(event)).flatten()
            })
        };
        let (restarts, fallbacks) = (self.clone(), self.clone());
        let (sick, stormy) = (self.clone(), self.clone());
        [
            process("process-restart", |named, process| {
                named.restarts.contains_key(process)
            })
            .strategy(RecoveryStrategy::restart_of(Arc::new(move |process| {
                let supervisor = restarts.named().restarts.get(process).cloned();
                supervisor.unwrap_or_default()
            }))),
            process("cli-fallback", |named, command| {
                named.fallbacks.contains_key(command)
            })
            .strategy(RecoveryStrategy::fallback(move |error: ErrorDetected| {
                let instead = fallbacks.named().fallbacks.get(&error.source).cloned();
                async move {
                    match instead {
                        Some(instead) => instead(error).await,
                        None => Err("it has no fallback".into()),
                    }
                }
            })),
            ErrorPattern::on(
                &SERVICE_LIFECYCLE,
                "service-circuit-break",
                move |event: &ServiceLifecycle| {
                    sick_service(event).filter(|_| sick.has_breaker(&event.service))
                },
            )
            .strategy(self.opening()),
            ErrorPattern::on(
                &ERROR_DETECTED,
                "service-error-storm",
                move |error: &ErrorDetected| {
                    let counts = error.severity >= Severity::Error
                        && !OF_POLICIES.contains(&error.kind.as_str())
                        && stormy.has_breaker(&error.source);
                    counts.then(|| Matched::new(&error.source, &error.message))
                },
            )
            .window(STORM_ERRORS, STORM_WITHIN)
            .strategy(self.opening()),
        ]
    }

    fn has_breaker(&self, service: &str) -> bool {
        self.named().breakers.contains_key(service)
    }

    fn opening(&self) -> RecoveryStrategy {
        let breakers = self.clone();
        RecoveryStrategy::circuit_break(move |error| {
            breakers.named().breakers.get(&error.source).cloned()
        })
    }
}

fn insert<T>(named: &mut HashMap<String, T>, name: String, remedy: T) -> Result<(), RecoveryError> {
    if named.len() >= MAX_NAMED && !named.contains_key(&name) {
        return Err(RecoveryError::TooMany {
            what: "names of that kind",
            name,
            limit: MAX_NAMED,
        });
    }
    named.insert(name, remedy);
    Ok(())
}

impl std::fmt::Debug for Named {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Named")
            .field("restarts", &self.restarts.keys())
            .field("fallbacks", &self.fallbacks.keys())
            .field("breakers", &self.breakers.keys())
            .finish()
    }
}
