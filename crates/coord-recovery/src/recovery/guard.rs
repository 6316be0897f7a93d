//! A policy whose calls report what goes wrong.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use coord_bus::time::Instant;
use coord_bus::vocabulary::{Recovery, Severity};

use crate::policy::{BreakerEvent, BreakerState, CircuitBreaker, Policy, PolicyError};
use crate::teller::Teller;

/// Operations under a policy that report what goes wrong: see
/// [`ErrorRecoveryManager::guard`](super::ErrorRecoveryManager::guard).
///
/// | what happens | `error-detected` | `error-recovery` |
/// |---|---|---|
/// | it fails | [kind](PolicyError::kind), an error | `retry`, given up, if there was more than one attempt |
/// | it succeeds after failing | `operation-failed`, a warning | `retry`, recovered, and in which attempt |
/// | another value is given instead | the same | `fallback`, recovered |
/// | a breaker of the policy opens | `circuit-opened`, an error | |
/// | it closes again | | `circuit-break`, recovered |
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
    name: Arc<str>,
    policy: Policy<T, E>,
    teller: Teller,
    in_words: InWords<E>,
}

/// What an error says, with its causes.
type InWords<E> = fn(&E) -> String;

/// What went wrong in a call so far.
struct Trouble {
    since: Instant,
    attempts: u32,
    /// Of the last attempt, if it failed.
    message: Option<String>,
}

impl<T, E> Guard<T, E> {
    pub(super) fn new(
        name: Arc<str>,
        policy: Policy<T, E>,
        teller: Teller,
        in_words: InWords<E>,
    ) -> Self {
        for breaker in policy.circuit_breakers() {
            watch(breaker, Arc::clone(&name), teller.clone());
        }
        Self {
            name,
            policy,
            teller,
            in_words,
        }
    }

    /// What the errors say is their source.
    pub fn name(&self) -> &str {
        &self.name
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
    pub async fn run<F, Running>(&self, mut operation: F) -> Result<T, PolicyError<E>>
    where
        F: FnMut() -> Running,
        Running: Future<Output = Result<T, E>>,
    {
        let trouble = Mutex::new(None);
        let mut attempts = 0;
        let result = self
            .policy
            .run_as(&self.name, || {
                attempts += 1;
                let (attempt, running) = (attempts, operation());
                let trouble = &trouble;
                async move {
                    let result = running.await;
                    self.note(trouble, attempt, &result);
                    result
                }
            })
            .await;
        let trouble = trouble.into_inner().unwrap_or_else(PoisonError::into_inner);
        if result.is_err() || trouble.is_some() {
            self.report(&result, trouble, attempts);
        }
        result
    }

    fn note(&self, trouble: &Mutex<Option<Trouble>>, attempts: u32, result: &Result<T, E>) {
        let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (result, &mut *trouble) {
            (Ok(_), None) => {}
            (Ok(_), Some(trouble)) => (trouble.attempts, trouble.message) = (attempts, None),
            (Err(error), first) => {
                let since = first
                    .as_ref()
                    .map_or_else(Instant::now, |trouble| trouble.since);
                let message = Some((self.in_words)(error));
                *first = Some(Trouble {
                    since,
                    attempts,
                    message,
                });
            }
        }
    }

    #[cold]
    fn report(&self, result: &Result<T, PolicyError<E>>, trouble: Option<Trouble>, attempts: u32) {
        let name = &*self.name;
        if let Err(error) = result {
            let message = error.in_words(self.in_words);
            self.teller
                .detected(name, error.kind(), message.clone(), Severity::Error);
            if attempts > 1 {
                let reason = message;
                let progress = Recovery::GaveUp { attempts, reason };
                self.teller.recovery(name, "retry", progress);
            }
        } else if let Some(trouble) = trouble {
            let (attempt, duration) = (trouble.attempts, trouble.since.elapsed());
            let strategy = match trouble.message {
                None => "retry",
                Some(_) => "fallback",
            };
            let message = match trouble.message {
                Some(message) => message,
                None => format!("it succeeded in attempt {attempt}"),
            };
            let severity = Severity::Warning;
            self.teller
                .detected(name, "operation-failed", message, severity);
            let progress = Recovery::Recovered { attempt, duration };
            self.teller.recovery(name, strategy, progress);
        }
    }
}

/// Reports when this breaker opens, and when it closes again.
fn watch(breaker: &CircuitBreaker, name: Arc<str>, teller: Teller) {
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
                teller.detected(&name, "circuit-opened", message, Severity::Error);
            }
            BreakerState::Closed => {
                if let Some((since, attempt)) = opened.take() {
                    let duration = since.elapsed();
                    let progress = Recovery::Recovered { attempt, duration };
                    teller.recovery(&name, "circuit-break", progress);
                }
            }
            _ => {}
        }
    });
}

impl<T, E> Clone for Guard<T, E> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            policy: self.policy.clone(),
            teller: self.teller.clone(),
            in_words: self.in_words,
        }
    }
}

impl<T, E> fmt::Debug for Guard<T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Guard")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
