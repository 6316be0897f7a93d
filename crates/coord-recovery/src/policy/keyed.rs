//! A policy for each key: each customer, each host with its own breaker and limits.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Policy, PolicyError};
use crate::RecoveryError;

/// A policy for each key, made when the key is first seen: so that the breaker of one host does not
/// open for the others.
///
/// Bounded: beyond so many keys ([1000](Self::DEFAULT_MAX_KEYS) by default), the policy of the key
/// that was called least recently and has no call under way makes place, and what it had counted is
/// forgotten. If all have one, the call is refused.
///
/// What a call fails of does not say its key, which who calls has at hand; a breaker says its name, so
/// name it after the key. What goes wrong is reported, with the key, by a
/// [`KeyedGuard`](crate::KeyedGuard). Who wants to hear of all that the
/// policies do [listens](super::PolicyBuilder::listen) to each as it is made.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use coord_recovery::policy::{CircuitBreaker, KeyedPolicy, Policy, Retry};
///
/// let hosts: KeyedPolicy<String, u16, std::io::Error> = KeyedPolicy::new(|host: &String| {
///     Policy::builder("http")
///         .retry(Retry::exponential())
///         .circuit_breaker(CircuitBreaker::new(host))
///         .build()
/// });
/// let status = hosts.run(&"example.org".to_owned(), || async { Ok(200) }).await?;
/// assert_eq!(status, 200);
/// assert_eq!(hosts.len(), 1);
/// # Ok(())
/// # }
/// ```
pub struct KeyedPolicy<K, T, E> {
    make: Make<K, T, E>,
    max_keys: usize,
    kept: Mutex<Kept<K, T, E>>,
}

type Make<K, T, E> = Box<dyn Fn(&K) -> Result<Policy<T, E>, RecoveryError> + Send + Sync>;

struct Kept<K, T, E> {
    policies: HashMap<K, (u64, Policy<T, E>)>,
    /// By when they were last called.
    order: BTreeMap<u64, K>,
    calls: u64,
}

impl<K: fmt::Debug + Clone + Eq + Hash, T, E> KeyedPolicy<K, T, E> {
    /// How many keys there may be where nothing else is said.
    pub const DEFAULT_MAX_KEYS: usize = 1000;

    /// A policy for each key, made by this function under a lock: it should be quick.
    pub fn new(
        make: impl Fn(&K) -> Result<Policy<T, E>, RecoveryError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            make: Box::new(make),
            max_keys: Self::DEFAULT_MAX_KEYS,
            kept: Mutex::new(Kept {
                policies: HashMap::new(),
                order: BTreeMap::new(),
                calls: 0,
            }),
        }
    }

    /// With another number of keys; 0 counts as 1.
    #[must_use]
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys.max(1);
        self
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.lock().policies.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys there are, the one that was called least recently first.
    pub fn keys(&self) -> Vec<K> {
        self.lock().order.values().cloned().collect()
    }

    /// The policy of this key, made if there is none. As long as it is held, its key counts as
    /// having a call under way.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::TooMany`] when there are as many keys as there may be, each with a call
    /// under way; and what the function that makes policies fails of.
    pub fn policy(&self, key: &K) -> Result<Policy<T, E>, RecoveryError> {
        let mut kept = self.lock();
        kept.calls += 1;
        let now = kept.calls;
        let Kept {
            policies, order, ..
        } = &mut *kept;
        if let Some((last, policy)) = policies.get_mut(key) {
            // The key in the order is the one that is there.
            if let Some(key) = order.remove(last) {
                order.insert(now, key);
            }
            *last = now;
            return Ok(policy.clone());
        }
        let makes_place = match policies.len() < self.max_keys {
            true => None,
            false => Some(kept.idle().ok_or_else(|| RecoveryError::TooMany {
                what: "keys of a policy, all with calls under way",
                name: format!("{key:?}"),
                limit: self.max_keys,
            })?),
        };
        // Before: a key of which nothing can be made takes the place of none.
        let policy = (self.make)(key)?;
        if let Some((last, key)) = makes_place {
            kept.order.remove(&last);
            kept.policies.remove(&key);
        }
        kept.policies.insert(key.clone(), (now, policy.clone()));
        kept.order.insert(now, key.clone());
        Ok(policy)
    }

    /// Runs an operation under the policy of this key, as [`Policy::run`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Policy::run`], and [`PolicyError::NoPolicy`] where
    /// [`policy`](Self::policy) has none.
    ///
    /// # Cancel safety
    ///
    /// That of [`Policy::run`].
    pub async fn run<F, Running>(&self, key: &K, operation: F) -> Result<T, PolicyError<E>>
    where
        F: FnMut() -> Running,
        Running: Future<Output = Result<T, E>>,
    {
        self.policy_to_run(key)?.run(operation).await
    }

    /// [`run`](Self::run), and who listens is told what was run, as by [`Policy::run_as`].
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// That of [`Policy::run`].
    pub async fn run_as<F, Running>(
        &self,
        key: &K,
        operation_key: &str,
        operation: F,
    ) -> Result<T, PolicyError<E>>
    where
        F: FnMut() -> Running,
        Running: Future<Output = Result<T, E>>,
    {
        let policy = self.policy_to_run(key)?;
        policy.run_as(operation_key, operation).await
    }

    /// The same, and this is called with each policy that there is or will be.
    pub(crate) fn watched(
        mut self,
        watch: impl Fn(&K, &Policy<T, E>) + Send + Sync + 'static,
    ) -> Self
    where
        K: 'static,
        T: 'static,
        E: 'static,
    {
        for (key, (_, policy)) in &self.lock().policies {
            watch(key, policy);
        }
        let make = self.make;
        self.make = Box::new(move |key| make(key).inspect(|policy| watch(key, policy)));
        self
    }

    pub(crate) fn policy_to_run(&self, key: &K) -> Result<Policy<T, E>, PolicyError<E>> {
        self.policy(key).map_err(|why| PolicyError::NoPolicy {
            why: why.to_string(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Kept<K, T, E>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, T, E> Kept<K, T, E> {
    /// The key that was called least recently and has no call under way, and when that was.
    fn idle(&self) -> Option<(u64, K)> {
        let idle = self.order.iter().find(|(_, key)| {
            let policy = self.policies.get(*key);
            policy.is_some_and(|(_, policy)| policy.is_idle())
        });
        idle.map(|(last, key)| (*last, key.clone()))
    }
}

impl<K, T, E> fmt::Debug for KeyedPolicy<K, T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyedPolicy")
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
