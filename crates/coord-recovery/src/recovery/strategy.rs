//! What to do about an error.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use coord_bus::BoxFuture;
use coord_bus::vocabulary::ErrorDetected;

/// What to do about an error of some kind.
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
    /// `notification`, and goes on.
    NotifyAndContinue,
    /// Anything else: see [`custom`](Self::custom).
    Custom(CustomStrategy),
}

/// A strategy of the user's own.
#[derive(Clone)]
pub struct CustomStrategy {
    name: Arc<str>,
    run: Run,
}

type Run = Arc<dyn Fn(ErrorDetected) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;
pub(super) type Failure = Box<dyn Error + Send + Sync>;

impl RecoveryStrategy {
    /// Runs this function for each error. Its name, in kebab-case, is the
    /// [`strategy`](coord_bus::vocabulary::ErrorRecovery::strategy) of what is published: that it
    /// is attempted, and then that the error is recovered from, or given up with the reason.
    ///
    /// A panic is a failure like an error. There is no limit to its time: a strategy that may hang
    /// should bring its own.
    pub fn custom<F, Recovering, E>(name: impl Into<Arc<str>>, run: F) -> Self
    where
        F: Fn(ErrorDetected) -> Recovering + Send + Sync + 'static,
        Recovering: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self::Custom(CustomStrategy {
            name: name.into(),
            run: Arc::new(move |error| {
                let recovering = run(error);
                Box::pin(async move { recovering.await.map_err(Into::into) })
            }),
        })
    }

    /// The strategy's name, in kebab-case.
    pub fn name(&self) -> &str {
        match self {
            Self::NotifyAndContinue => "notify-and-continue",
            Self::Custom(custom) => custom.name(),
        }
    }
}

impl CustomStrategy {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn run(&self, error: ErrorDetected) -> Result<(), Failure> {
        (self.run)(error).await
    }
}

impl fmt::Debug for CustomStrategy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CustomStrategy")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
