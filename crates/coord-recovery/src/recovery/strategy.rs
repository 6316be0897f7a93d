//! What to do about an error.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use coord_bus::BoxFuture;
use coord_bus::time::Instant;
use coord_bus::vocabulary::ErrorDetected;

use crate::Supervisor;
use crate::policy::{BreakerState, CircuitBreaker, Policy};

/// What to do about an error of some kind.
///
/// A strategy is attempted once for each error, and what comes of it is published. One that fails
/// gives up, and the error [escalates](super::RECOVERY_FAILED): it is never attempted again for that
/// error. A panic is a failure.
///
/// # Limits
///
/// There is no limit to a strategy's time: one that may hang has to bring its own, such as
/// [`time::timeout`](coord_bus::time::timeout) or a [policy's](crate::policy). Only
/// [`MAX_RECOVERING`](super::MAX_RECOVERING) errors are attended to at once: when as many strategies hang,
/// no error is attended to any more, whatever its strategy. They wait, and those for which there is no room are
/// counted as [`unhandled`](super::ErrorStatistics::unhandled).
///
/// ```
/// use coord_bus::vocabulary::ErrorDetected;
/// use coord_recovery::RecoveryStrategy;
///
/// let clear_cache = RecoveryStrategy::custom("clear-cache", |error: ErrorDetected| async move {
///     println!("{} failed; clearing its cache", error.source);
///     Ok::<(), std::io::Error>(())
/// });
/// assert_eq!(clear_cache.name(), "clear-cache");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RecoveryStrategy {
    /// Tells a person, by a [`Notification`](coord_bus::vocabulary::Notification) on the topic
    /// `notification`, and goes on. Where that is full it is told once there is room; it fails where 4000
    /// others wait for that.
    NotifyAndContinue,
    /// Does nothing itself: the error [escalates](super::RECOVERY_FAILED) at once.
    Escalate,
    /// Anything else: see [`custom`](Self::custom), [`own`](Self::own), [`retry`](Self::retry),
    /// [`restart`](Self::restart), [`fallback`](Self::fallback) and
    /// [`circuit_break`](Self::circuit_break).
    Custom(CustomStrategy),
}

/// A strategy of the user's own, as a type: what [`RecoveryStrategy::custom`] is as a function.
pub trait Recover: Send + Sync {
    /// What it is called, in kebab-case.
    fn name(&self) -> &str;

    /// Does what is to be done about an error.
    ///
    /// # Errors
    ///
    /// Why it could not be done.
    fn recover(
        &self,
        error: ErrorDetected,
    ) -> BoxFuture<'_, Result<(), Box<dyn Error + Send + Sync>>>;
}

/// A strategy of the user's own.
#[derive(Clone)]
pub struct CustomStrategy(Does);

#[derive(Clone)]
enum Does {
    Own(Arc<dyn Recover>),
    /// It has to know when the error was detected.
    Restart(SupervisorOf),
}

/// The supervisor that has the child of this name.
pub(super) type SupervisorOf = Arc<dyn Fn(&str) -> Weak<Supervisor> + Send + Sync>;

/// How long a child that was [restarted](RecoveryStrategy::restart) and is not ready yet has to run for
/// it to have come back.
pub const RESTART_SETTLED: Duration = Duration::from_secs(10);

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// A function as a strategy.
struct Function<F> {
    name: Arc<str>,
    run: F,
}

impl<F, Recovering, E> Recover for Function<F>
where
    F: Fn(ErrorDetected) -> Recovering + Send + Sync,
    Recovering: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn recover(&self, error: ErrorDetected) -> BoxFuture<'_, Result<(), BoxError>> {
        let recovering = (self.run)(error);
        Box::pin(async move { recovering.await.map_err(Into::into) })
    }
}

impl RecoveryStrategy {
    /// Runs this function for each error. Its name, in kebab-case, is the
    /// [`strategy`](coord_bus::vocabulary::ErrorRecovery::strategy) of what is published: that it
    /// is attempted, and then that the error is recovered from, or given up with the reason.
    pub fn custom<F, Recovering, E>(name: impl Into<Arc<str>>, run: F) -> Self
    where
        F: Fn(ErrorDetected) -> Recovering + Send + Sync + 'static,
        Recovering: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let name = name.into();
        Self::own(Function { name, run })
    }

    /// A strategy that is a type of the user's own.
    pub fn own(strategy: impl Recover + 'static) -> Self {
        Self::Custom(CustomStrategy(Does::Own(Arc::new(strategy))))
    }

    /// Does again what failed, under a policy: `retry`. The policy says how often, and how long it
    /// may take.
    pub fn retry<F, Running>(policy: Policy<(), coord_bus::Failure>, again: F) -> Self
    where
        F: Fn(ErrorDetected) -> Running + Clone + Send + Sync + 'static,
        Running: Future<Output = Result<(), coord_bus::Failure>> + Send + 'static,
    {
        Self::custom("retry", move |error: ErrorDetected| {
            let (policy, again) = (policy.clone(), again.clone());
            async move {
                let done = policy.run(|| again(error.clone())).await;
                done.map_err(|error| error.into_failure().to_string())
            }
        })
    }

    /// Restarts the child that has the name of the error's source, and waits until it is ready, or has
    /// run for [`RESTART_SETTLED`] (10 s) without having said so: `restart`. Fails where there is no such
    /// child, where it has ended for good, and where it fails again before that.
    ///
    /// It is restarted as if it had failed: after its [backoff](crate::ChildSpec::backoff), as often as its
    /// [intensity](crate::ChildSpec::intensity) allows, and with those that its supervisor restarts with
    /// it. So a child whose work fails at once is given up, and not restarted without end. Several errors
    /// that were detected before it was restarted are one restart.
    ///
    /// Of the supervisor's own `child-failed` there is nothing to restart: it does that.
    pub fn restart(supervisor: &Arc<Supervisor>) -> Self {
        // The manager must not keep a supervisor that is dropped.
        let supervisor = Arc::downgrade(supervisor);
        Self::restart_of(Arc::new(move |_| supervisor.clone()))
    }

    pub(super) fn restart_of(supervisor: SupervisorOf) -> Self {
        Self::Custom(CustomStrategy(Does::Restart(supervisor)))
    }

    /// Puts something else in the place of what failed: `fallback`.
    pub fn fallback<F, Recovering, E>(instead: F) -> Self
    where
        F: Fn(ErrorDetected) -> Recovering + Send + Sync + 'static,
        Recovering: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        Self::custom("fallback", instead)
    }

    /// Opens the circuit breaker of the error's source: `circuit-break`. Fails where this function
    /// knows none, and where it was disabled, or told to count only, by hand: so it stays.
    pub fn circuit_break(
        breaker_of: impl Fn(&ErrorDetected) -> Option<CircuitBreaker> + Send + Sync + 'static,
    ) -> Self {
        Self::custom("circuit-break", move |error: ErrorDetected| {
            let breaker = breaker_of(&error);
            std::future::ready(match breaker {
                None => Err(format!("`{}` has no circuit breaker", error.source)),
                Some(breaker) => match breaker.open_unless_by_hand() {
                    BreakerState::Open | BreakerState::ForcedOpen => Ok(()),
                    state => Err(format!(
                        "circuit breaker `{}` is {state} by hand, and stays so",
                        breaker.name()
                    )),
                },
            })
        })
    }

    /// The strategy's name, in kebab-case.
    pub fn name(&self) -> &str {
        match self {
            Self::NotifyAndContinue => "notify-and-continue",
            Self::Escalate => "escalate",
            Self::Custom(custom) => custom.name(),
        }
    }
}

impl CustomStrategy {
    pub(super) fn name(&self) -> &str {
        match &self.0 {
            Does::Own(own) => own.name(),
            Does::Restart(_) => "restart",
        }
    }

    /// Does what is to be done about an error that was detected then.
    pub(super) async fn run(&self, error: ErrorDetected, since: Instant) -> Result<(), BoxError> {
        match &self.0 {
            Does::Own(own) => own.recover(error).await,
            Does::Restart(supervisor) => {
                let supervisor = supervisor(&error.source).upgrade();
                let child = supervisor.and_then(|it| it.child(&error.source));
                let child = child.ok_or_else(|| format!("there is no child `{}`", error.source))?;
                Ok(child.restart_as_failed(since, RESTART_SETTLED).await?)
            }
        }
    }
}

impl fmt::Debug for CustomStrategy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CustomStrategy")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
