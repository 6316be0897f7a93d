//! Policies around any async operation: retry, hedge, timeout, circuit breaker, bulkhead, rate limit,
//! fallback, in the order in which they are added.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use coord_recovery::policy::{Bulkhead, CircuitBreaker, Policy, Retry};
//!
//! let policy: Policy<String, std::io::Error> = Policy::builder("quotes")
//!     .fallback_value("no quote today".to_owned())
//!     .retry(Retry::exponential())
//!     .circuit_breaker(CircuitBreaker::new("quotes"))
//!     .timeout(Duration::from_secs(2))
//!     .bulkhead(Bulkhead::default())
//!     .build()?;
//! assert_eq!(
//!     policy.to_string(),
//!     "fallback → retry(3 attempts) → circuit_breaker(quotes) → timeout(2s) → bulkhead(25) → call"
//! );
//!
//! let mut attempts = 0;
//! let quote = policy.run(|| {
//!     attempts += 1;
//!     let is_up = attempts == 3;
//!     async move {
//!         if !is_up {
//!             return Err(std::io::Error::other("the server is down"));
//!         }
//!         Ok("it is up".to_owned())
//!     }
//! });
//! assert_eq!(quote.await?, "it is up");
//! # Ok(())
//! # }
//! ```
//!
//! # Order
//!
//! The first part that is added is the outermost. The usual order is
//! fallback → retry → circuit breaker → rate limit → timeout → bulkhead: each attempt asks the
//! breaker and has its own timeout. A timeout outside of the retry bounds all attempts and the waits
//! between them. A hedge is further in than the retry, and further out than what each of its attempts is to have. A call
//! that a timeout drops is a failure for what is outside of that timeout; a
//! breaker inside of it does not count the call.
//!
//! A composition that cannot work is refused by [`PolicyBuilder::build`]: an inner timeout longer than
//! the outer, a fallback inside of which nothing is left to retry.
//!
//! # What it costs
//!
//! A call is one future, whatever the parts: no part but a [`Hedge`] allocates, and there is no timer, and no look at
//! the clock, for an operation that is done when it is first polled. So **time counts from when
//! something first waits**: an operation that holds its thread takes no time before it first awaits.
//! Nothing is told of a call that goes well, except to those who [listen](CircuitBreaker::listen) to a
//! breaker.
//!
//! # Cancelling
//!
//! Dropped at any await, a call gives back what it holds: places in bulkheads and queues, permits of
//! half-open breakers, retries of a budget. It does not count in a breaker. The operation is dropped
//! before.

mod error;
mod budget;
mod worth;
mod retry;
mod hedge;
mod hedged;
mod breaker;
mod places;
mod bulkhead;
mod rate_limit;
mod event;
mod layer;
mod check;
mod run;
mod keyed;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::RecoveryError;
use layer::{Fallback, Instead, Layer};

pub use breaker::{
    BreakerEvent, BreakerMetrics, BreakerPermit, BreakerState, CircuitBreaker,
    CircuitBreakerBuilder, MAX_LISTENERS, SlidingWindow,
};
pub use budget::RetryBudget;
pub use bulkhead::Bulkhead;
pub use error::{NotPermitted, PolicyError, Refused};
pub use event::{PolicyAction, PolicyEvent};
pub use hedge::Hedge;
pub use keyed::KeyedPolicy;
pub use rate_limit::RateLimit;
pub use retry::Retry;

/// What is done around an operation that gives a `T` or fails of an `E`: see the
/// [module](crate::policy).
///
/// Cheap to clone; clones share their breakers, bulkheads and limits. It prints its order.
pub struct Policy<T, E> {
    parts: Arc<Parts<T, E>>,
}

struct Parts<T, E> {
    name: Box<str>,
    /// The outermost first.
    layers: Box<[Layer<T, E>]>,
    /// Which of them is a hedge, if one is.
    hedge: Option<usize>,
    listeners: Box<[Listener<E>]>,
}

type Listener<E> = Box<dyn Fn(&PolicyEvent<'_, E>) + Send + Sync>;

/// Is told of one call.
pub(crate) type Observer<'o, E> = &'o (dyn Fn(&PolicyEvent<'_, E>) + Sync);

/// Builds a [`Policy`]; the first part that is added is the outermost.
#[must_use = "it does nothing before it is built"]
pub struct PolicyBuilder<T, E> {
    name: Box<str>,
    layers: Vec<Layer<T, E>>,
    listeners: Vec<Listener<E>>,
}

impl<T, E> Policy<T, E> {
    /// A policy of this name, which is told to those who listen.
    pub fn builder(name: impl Into<Box<str>>) -> PolicyBuilder<T, E> {
        PolicyBuilder {
            name: name.into(),
            layers: Vec::new(),
            listeners: Vec::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// Runs an operation under it: once, or once for each attempt.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Operation`] with the operation's own error, of the last attempt; otherwise what
    /// the policy made of it.
    ///
    /// # Cancel safety
    ///
    /// See the [module](crate::policy#cancelling).
    ///
    /// # Panics
    ///
    /// Where the operation does. What the call holds is given back, and breakers count a failure.
    pub async fn run<F, Running>(&self, operation: F) -> Result<T, PolicyError<E>>
    where
        F: FnMut() -> Running,
        Running: Future<Output = Result<T, E>>,
    {
        self.parts.run(None, None, operation).await
    }

    /// [`run`](Self::run), and who listens is told what was run.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// That of [`run`](Self::run).
    pub async fn run_as<F, Running>(
        &self,
        operation_key: &str,
        operation: F,
    ) -> Result<T, PolicyError<E>>
    where
        F: FnMut() -> Running,
        Running: Future<Output = Result<T, E>>,
    {
        self.parts.run(Some(operation_key), None, operation).await
    }

    /// [`run_as`](Self::run_as), and this is called with what the policy does in this call, after those
    /// who listen to all of them.
    pub(crate) async fn run_observed<F, Running>(
        &self,
        operation_key: &str,
        observer: Observer<'_, E>,
        operation: F,
    ) -> Result<T, PolicyError<E>>
    where
        F: FnMut() -> Running,
        Running: Future<Output = Result<T, E>>,
    {
        let name = Some(operation_key);
        self.parts.run(name, Some(observer), operation).await
    }

    /// The circuit breakers in it, the outermost first.
    pub fn circuit_breakers(&self) -> impl Iterator<Item = &CircuitBreaker> {
        self.parts.layers.iter().filter_map(|layer| match layer {
            Layer::Breaker(breaker, _) => Some(breaker),
            _ => None,
        })
    }

    /// Whether nobody else holds it, as a call does.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.parts) == 1
    }
}

impl<T, E> Parts<T, E> {
    /// The hedge in it, and where it is.
    #[inline]
    fn hedge(&self) -> Option<(usize, &Hedge<E>)> {
        let place = self.hedge?;
        match &self.layers[place] {
            Layer::Hedge(hedge) => Some((place, hedge)),
            _ => None,
        }
    }

    fn tell(&self, event: &PolicyEvent<'_, E>) {
        #[cfg(feature = "tracing")]
        event.trace();
        for listener in &self.listeners {
            listener(event);
        }
    }
}

impl<T, E> PolicyBuilder<T, E> {
    /// Tries again what fails further in.
    pub fn retry(self, retry: Retry<E>) -> Self {
        self.with(Layer::Retry(retry))
    }

    /// Begins further attempts beside one that is slow or has failed, and gives what the first to succeed gives. So the
    /// operation is called again while it is under way, and has to be one for which that is well.
    pub fn hedge(self, hedge: Hedge<E>) -> Self {
        self.with(Layer::Hedge(hedge))
    }

    /// Drops what takes longer, and fails with [`PolicyError::TimedOut`].
    pub fn timeout(self, after: Duration) -> Self {
        self.with(Layer::Timeout(after))
    }

    /// [`timeout`](Self::timeout) after [`Self::DEFAULT_TIMEOUT`].
    pub fn default_timeout(self) -> Self {
        self.timeout(Self::DEFAULT_TIMEOUT)
    }

    /// How long a call may take where nothing else is said.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// Does not call while this breaker is open, for which every error is a failure.
    pub fn circuit_breaker(self, breaker: CircuitBreaker) -> Self {
        self.with(Layer::Breaker(breaker, None))
    }

    /// [`circuit_breaker`](Self::circuit_breaker), with another opinion of what is a failure: this
    /// says of each result whether it is one, and nothing if it is not to count.
    pub fn circuit_breaker_if(
        self,
        breaker: CircuitBreaker,
        is_failure: impl Fn(Result<&T, &PolicyError<E>>) -> Option<bool> + Send + Sync + 'static,
    ) -> Self {
        self.with(Layer::Breaker(breaker, Some(Box::new(is_failure))))
    }

    /// Lets so many calls through at once.
    pub fn bulkhead(self, bulkhead: Bulkhead) -> Self {
        self.with(Layer::Bulkhead(bulkhead))
    }

    /// Lets so many calls through in a period.
    pub fn rate_limit(self, limit: RateLimit) -> Self {
        self.with(Layer::RateLimit(limit))
    }

    /// Gives this value instead of any error.
    pub fn fallback_value(self, value: T) -> Self
    where
        T: Clone + Send + Sync + 'static,
    {
        self.with(Layer::Fallback(Fallback {
            fallback_if: None,
            instead: Instead::Value(Box::new(move || value.clone())),
        }))
    }

    /// Runs this instead of failing; it may fail in its turn.
    pub fn fallback<F, Running>(self, fallback: F) -> Self
    where
        F: Fn(PolicyError<E>) -> Running + Send + Sync + 'static,
        Running: Future<Output = Result<T, PolicyError<E>>> + Send + 'static,
    {
        self.with(Layer::Fallback(Fallback {
            fallback_if: None,
            instead: Instead::Run(Box::new(move |error| Box::pin(fallback(error)))),
        }))
    }

    /// Runs this instead of failing, after errors of which `fallback_if` is true.
    pub fn fallback_if<F, Running>(
        self,
        fallback_if: impl Fn(&PolicyError<E>) -> bool + Send + Sync + 'static,
        fallback: F,
    ) -> Self
    where
        F: Fn(PolicyError<E>) -> Running + Send + Sync + 'static,
        Running: Future<Output = Result<T, PolicyError<E>>> + Send + 'static,
    {
        self.with(Layer::Fallback(Fallback {
            fallback_if: Some(Box::new(fallback_if)),
            instead: Instead::Run(Box::new(move |error| Box::pin(fallback(error)))),
        }))
    }

    /// Calls this with whatever the policy does that is not simply the call. It is called in the
    /// midst of the call, and should be quick.
    pub fn listen(
        mut self,
        listener: impl Fn(&PolicyEvent<'_, E>) + Send + Sync + 'static,
    ) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    fn with(mut self, layer: Layer<T, E>) -> Self {
        self.layers.push(layer);
        self
    }

    /// The policy.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Composition`] when its parts cannot work in this order.
    pub fn build(self) -> Result<Policy<T, E>, RecoveryError> {
        let fault = check::fault(&self.layers);
        let mut layers = self.layers.iter();
        let hedge = layers.position(|layer| matches!(layer, Layer::Hedge(_)));
        let policy = Policy {
            parts: Arc::new(Parts {
                name: self.name,
                layers: self.layers.into(),
                hedge,
                listeners: self.listeners.into(),
            }),
        };
        match fault {
            None => Ok(policy),
            Some(fault) => Err(RecoveryError::Composition {
                policy: policy.name().to_owned(),
                order: policy.to_string(),
                fault,
            }),
        }
    }
}

impl<T, E> Clone for Policy<T, E> {
    fn clone(&self) -> Self {
        Self {
            parts: Arc::clone(&self.parts),
        }
    }
}

/// Its parts, the outermost first.
impl<T, E> fmt::Display for Policy<T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for layer in &self.parts.layers {
            write!(formatter, "{layer} → ")?;
        }
        formatter.write_str("call")
    }
}

impl<T, E> fmt::Debug for Policy<T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Policy({}: {self})", self.name())
    }
}

impl<T, E> fmt::Debug for PolicyBuilder<T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PolicyBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
