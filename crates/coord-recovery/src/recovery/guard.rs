//! A policy whose calls report what goes wrong.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use coord_bus::text::shortened;
use coord_bus::time::Instant;
use coord_bus::vocabulary::{Recovery, Severity};

use super::NAME_MAX;
use super::desk::Reports;
use crate::policy::{
    BreakerEvent, BreakerState, CircuitBreaker, MAX_LISTENERS, Policy, PolicyAction, PolicyError,
    PolicyEvent,
};

/// Operations under a policy that report what goes wrong: see
/// [`ErrorRecoveryManager::guard`](super::ErrorRecoveryManager::guard).
///
/// | what happens | `error-detected` | `error-recovery` |
/// |---|---|---|
/// | it fails | its [kind](PolicyError::kind), an error | `retry`, given up, if there was more than one attempt |
/// | it succeeds after failing | the last failure, with its kind, a warning | `retry`, or `hedge`, recovered, in which attempt, and how long after the first failure |
/// | another value is given instead | the same | `fallback`, recovered, with the same |
/// | a breaker of the policy opens | `circuit-opened`, an error | |
/// | it closes again | | `circuit-break`, recovered |
/// | it cannot listen to a breaker, which has [`MAX_LISTENERS`] | `breaker-unwatched`, an error | |
///
/// A failure is whatever the policy retries, begins another attempt after, or gives another value for: the operation's own error, a
/// timeout, a call that a breaker, a bulkhead or a rate limit inside of the retry did not let through. An
/// attempt that did not come to the operation is an attempt.
///
/// A call that goes well reports nothing, and one that does not is not held up: what is reported is
/// published beside it. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use coord_bus::vocabulary::ERROR_DETECTED;
/// use coord_bus::{BusExt, LocalBus, time::SystemClock};
/// use coord_recovery::ErrorRecoveryManager;
/// use coord_recovery::policy::{Policy, Retry};
///
/// let bus = LocalBus::new();
/// let mut errors = bus.subscribe(&ERROR_DETECTED)?;
/// let recovery = ErrorRecoveryManager::new(Arc::new(bus), Arc::new(SystemClock))?;
/// let policy = Policy::builder("http").retry(Retry::exponential()).build()?;
/// let fetch = recovery.guard("fetch", policy);
///
/// let failed = fetch.run(|| async { Err::<(), _>(std::io::Error::other("no route")) }).await;
/// assert!(failed.is_err());
/// let error = errors.recv().await.unwrap();
/// assert_eq!((error.source.as_str(), error.message.as_str()), ("fetch", "no route"));
/// # Ok(())
/// # }
/// ```
pub struct Guard<T, E> {
    reporter: Reporter<E>,
    policy: Policy<T, E>,
}

/// Reports what goes wrong in calls.
pub(super) struct Reporter<E> {
    /// The source of what it reports, or the beginning of it where there are keys.
    pub(super) name: Arc<str>,
    pub(super) reports: Reports,
    pub(super) in_words: InWords<E>,
}

/// What an error says, with its causes.
pub(super) type InWords<E> = fn(&E) -> String;

/// The key that a call is for.
pub(super) type Key<'k> = Option<&'k (dyn fmt::Display + Sync)>;

/// What went wrong in a call so far.
pub(super) struct Trouble {
    since: Instant,
    /// With the one that follows.
    attempts: u32,
    /// Of the last failure.
    kind: &'static str,
    message: String,
    /// What follows on it: `retry` or `fallback`.
    by: &'static str,
}

impl<T, E> Guard<T, E> {
    pub(super) fn new(reporter: Reporter<E>, policy: Policy<T, E>) -> Self {
        reporter.watch(&policy, None);
        Self { reporter, policy }
    }

    /// What the errors say is their source.
    pub fn name(&self) -> &str {
        &self.reporter.name
    }

    /// Its policy.
    pub fn policy(&self) -> &Policy<T, E> {
        &self.policy
    }

    /// Runs an operation under the policy, as [`Policy::run`] does, and reports what goes wrong.
    ///
    /// # Errors
    ///
    /// Those of [`Policy::run`].
    ///
    /// # Cancel safety
    ///
    /// That of [`Policy::run`]; a call that is dropped reports nothing.
    pub async fn run<F, Running>(&self, operation: F) -> Result<T, PolicyError<E>>
    where
        F: FnMut() -> Running,
        Running: Future<Output = Result<T, E>>,
    {
        self.reporter.run(&self.policy, None, operation).await
    }
}

impl<E> Reporter<E> {
    pub(super) async fn run<T, F, Running>(
        &self,
        policy: &Policy<T, E>,
        key: Key<'_>,
        operation: F,
    ) -> Result<T, PolicyError<E>>
    where
        F: FnMut() -> Running,
        Running: Future<Output = Result<T, E>>,
    {
        let trouble = Mutex::new(None);
        let observer = |event: &PolicyEvent<'_, E>| self.note(&trouble, event);
        let result = policy.run_observed(&self.name, &observer, operation).await;
        let trouble = trouble.into_inner().unwrap_or_else(PoisonError::into_inner);
        if result.is_err() || trouble.is_some() {
            self.report(&self.source(key), result.as_ref().err(), trouble);
        }
        result
    }

    /// Reports when the breakers of this policy open and close.
    pub(super) fn watch<T>(&self, policy: &Policy<T, E>, key: Key<'_>) {
        for breaker in policy.circuit_breakers() {
            let source = self.source(key);
            if !watch(breaker, Arc::clone(&source), self.reports.clone()) {
                let message = format!(
                    "circuit breaker `{}` has {MAX_LISTENERS} listeners, the limit: this guard does not \
                     report when it opens; clone one guard instead of making many, and give each key a \
                     breaker of its own",
                    breaker.name()
                );
                self.reports
                    .detected(&source, "breaker-unwatched", message, Severity::Error);
            }
        }
    }

    /// What the errors of this key say is their source.
    fn source(&self, key: Key<'_>) -> Arc<str> {
        let Some(key) = key else {
            return Arc::clone(&self.name);
        };
        let key = key.to_string();
        format!("{}/{}", self.name, shortened(&key, NAME_MAX)).into()
    }

    /// Notes what the policy recovers from: whatever else it does ends in the call's own error.
    fn note(&self, trouble: &Mutex<Option<Trouble>>, event: &PolicyEvent<'_, E>) {
        let (by, retries) = match event.action {
            PolicyAction::Retry { .. } => ("retry", 1),
            PolicyAction::Hedge { .. } => ("hedge", 1),
            PolicyAction::Fallback => ("fallback", 0),
            _ => return,
        };
        // A hedge for what is only slow is no trouble.
        let Some(error) = event.error else { return };
        let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, attempts) = match &*trouble {
            Some(earlier) => (earlier.since, earlier.attempts),
            None => (Instant::now(), 1),
        };
        *trouble = Some(Trouble {
            since,
            attempts: attempts.saturating_add(retries),
            kind: error.kind(),
            message: error.in_words(self.in_words),
            by,
        });
    }

    #[cold]
    pub(super) fn report(
        &self,
        source: &str,
        error: Option<&PolicyError<E>>,
        trouble: Option<Trouble>,
    ) {
        let attempts = trouble.as_ref().map_or(1, |trouble| trouble.attempts);
        if let Some(error) = error {
            let message = error.in_words(self.in_words);
            self.reports
                .detected(source, error.kind(), message.clone(), Severity::Error);
            if attempts > 1 {
                let reason = message;
                let progress = Recovery::GaveUp { attempts, reason };
                self.reports.recovery(source, "retry", progress);
            }
        } else if let Some(trouble) = trouble {
            let duration = trouble.since.elapsed();
            self.reports
                .detected(source, trouble.kind, trouble.message, Severity::Warning);
            let attempt = attempts;
            let progress = Recovery::Recovered { attempt, duration };
            self.reports.recovery(source, trouble.by, progress);
        }
    }
}

/// Reports when this breaker opens, and when it closes again, if it has room for one more listener.
fn watch(breaker: &CircuitBreaker, name: Arc<str>, reports: Reports) -> bool {
    let breaker_name = breaker.name().to_owned();
    let opened = Mutex::new(None);
    breaker.listen(move |event| {
        let BreakerEvent::Transition { to, .. } = event else {
            return;
        };
        let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        match to {
            BreakerState::Open => {
                let (since, times) = opened.unwrap_or_else(|| (Instant::now(), 0_u32));
                *opened = Some((since, times.saturating_add(1)));
                let message = format!("circuit breaker `{breaker_name}` is open");
                reports.detected(&name, "circuit-opened", message, Severity::Error);
            }
            BreakerState::Closed => {
                if let Some((since, attempt)) = opened.take() {
                    let duration = since.elapsed();
                    let progress = Recovery::Recovered { attempt, duration };
                    reports.recovery(&name, "circuit-break", progress);
                }
            }
            _ => {}
        }
    })
}

impl<T, E> Clone for Guard<T, E> {
    fn clone(&self) -> Self {
        Self {
            reporter: self.reporter.clone(),
            policy: self.policy.clone(),
        }
    }
}

impl<E> Clone for Reporter<E> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            reports: self.reports.clone(),
            in_words: self.in_words,
        }
    }
}

impl<T, E> fmt::Debug for Guard<T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Guard")
            .field("name", &self.reporter.name)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
