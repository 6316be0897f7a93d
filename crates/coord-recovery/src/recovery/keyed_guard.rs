//! A policy for each key whose calls report what goes wrong.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use super::guard::Reporter;
use crate::policy::{KeyedPolicy, Policy, PolicyError};

/// Operations under a policy for each key that report what goes wrong, and of which key: see
/// [`ErrorRecoveryManager::guard_keyed`](super::ErrorRecoveryManager::guard_keyed).
///
/// It reports what a [`Guard`](super::Guard) does. The source of a key's errors is `NAME/KEY`, with at
/// most 100 characters of the key: so each is counted, and is a storm, for itself. There are as many keys
/// at once as the [policy may have](KeyedPolicy::max_keys), and who counts by source
/// [bounds it](crate::MAX_NAMES). A call for which there is [no policy](PolicyError::NoPolicy) is an error
/// of `NAME` alone.
///
/// A key that makes place for another is forgotten with its breaker: one that was open is not told to
/// have closed. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use coord_bus::vocabulary::ERROR_DETECTED;
/// use coord_bus::{BusExt, LocalBus, time::SystemClock};
/// use coord_recovery::ErrorRecoveryManager;
/// use coord_recovery::policy::{CircuitBreaker, KeyedPolicy, Policy};
///
/// let bus = LocalBus::new();
/// let mut errors = bus.subscribe(&ERROR_DETECTED)?;
/// let recovery = ErrorRecoveryManager::new(Arc::new(bus), Arc::new(SystemClock))?;
/// let hosts = KeyedPolicy::new(|host: &String| {
///     Policy::builder("http").circuit_breaker(CircuitBreaker::new(host)).build()
/// });
/// let fetch = recovery.guard_keyed("fetch", hosts);
///
/// let host = "example.org".to_owned();
/// let failed = fetch.run(&host, || async { Err::<(), _>(std::io::Error::other("no route")) }).await;
/// assert!(failed.is_err());
/// assert_eq!(errors.recv().await.unwrap().source, "fetch/example.org");
/// # Ok(())
/// # }
/// ```
pub struct KeyedGuard<K, T, E> {
    reporter: Reporter<E>,
    policies: Arc<KeyedPolicy<K, T, E>>,
}

impl<K, T, E> KeyedGuard<K, T, E>
where
    K: fmt::Debug + fmt::Display + Clone + Eq + Hash + Sync,
{
    pub(super) fn new(reporter: Reporter<E>, policies: KeyedPolicy<K, T, E>) -> Self
    where
        K: 'static,
        T: 'static,
        E: 'static,
    {
        let watching = reporter.clone();
        let watch = move |key: &K, policy: &Policy<T, E>| watching.watch(policy, Some(key));
        Self {
            reporter,
            policies: Arc::new(policies.watched(watch)),
        }
    }

    /// What the sources of errors begin with.
    pub fn name(&self) -> &str {
        &self.reporter.name
    }

    /// Its policies.
    pub fn policies(&self) -> &KeyedPolicy<K, T, E> {
        &self.policies
    }

    /// Runs an operation under the policy of this key, as [`KeyedPolicy::run`] does, and reports what
    /// goes wrong.
    ///
    /// # Errors
    ///
    /// Those of [`KeyedPolicy::run`].
    ///
    /// # Cancel safety
    ///
    /// That of [`Policy::run`]; a call that is dropped reports nothing.
    pub async fn run<F, Running>(&self, key: &K, operation: F) -> Result<T, PolicyError<E>>
    where
        F: FnMut() -> Running,
        Running: Future<Output = Result<T, E>>,
    {
        let policy = self.policies.policy_to_run(key).inspect_err(|error| {
            self.reporter.report(self.name(), Some(error), None);
        })?;
        self.reporter.run(&policy, Some(key), operation).await
    }
}

impl<K, T, E> Clone for KeyedGuard<K, T, E> {
    fn clone(&self) -> Self {
        Self {
            reporter: self.reporter.clone(),
            policies: Arc::clone(&self.policies),
        }
    }
}

impl<K, T, E> fmt::Debug for KeyedGuard<K, T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyedGuard")
            .field("name", &self.reporter.name)
            .field("policies", &self.policies)
            .finish()
    }
}
