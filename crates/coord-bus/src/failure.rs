//! Why something failed that may be tried again: one type for steps, children and whatever else is
//! somebody's code.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::panic_message;

/// Why something failed: any error, whether trying again could help, and when.
///
/// A function that returns `Result<_, Failure>` returns any error that is `Send + Sync + 'static`:
/// `?` turns it into this. Like `anyhow::Error` it is not itself a [`std::error::Error`], so that it
/// can be made from every one of them; [`cause`](Self::cause) is. Cheap to clone. What is no error, as a text is not,
/// becomes one by [`message`](Self::message), and what is boxed by [`from_boxed`](Self::from_boxed).
///
/// ```
/// use coord_bus::Failure;
///
/// fn port(text: &str) -> Result<u16, Failure> {
///     Ok(text.parse::<u16>()?)
/// }
///
/// let failure = port("http").unwrap_err().permanent();
/// assert!(failure.is_permanent());
/// assert_eq!(failure.to_string(), "invalid digit found in string");
/// ```
///
/// From and to a boxed error, and so `anyhow::Error`, it goes by [`from_boxed`](Self::from_boxed) and
/// by `?`: a `main` that returns `Result<_, Box<dyn Error>>` returns it.
#[derive(Clone)]
pub struct Failure {
    cause: Arc<dyn Error + Send + Sync>,
    permanent: bool,
    retry_after: Option<Duration>,
}

/// That something panicked, as an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it panicked: {message}")]
#[non_exhaustive]
pub struct Panicked {
    /// What the panic said.
    pub message: String,
}

/// An error that is only a message.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Message(String);

/// What was being done when an error came up.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Context {
    what: String,
    source: Arc<dyn Error + Send + Sync>,
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self {
            cause: Arc::new(cause),
            permanent: false,
            retry_after: None,
        }
    }
}

impl From<Failure> for Box<dyn Error + Send + Sync> {
    fn from(failure: Failure) -> Self {
        Box::new(failure.cause)
    }
}

impl From<Failure> for Box<dyn Error> {
    fn from(failure: Failure) -> Self {
        Box::new(failure.cause)
    }
}

impl Failure {
    /// A failure that is only a message.
    pub fn message(message: impl Into<String>) -> Self {
        Message(message.into()).into()
    }

    /// A failure of an error that is boxed already, such as an `anyhow::Error`: its causes stay, and
    /// [`downcast_ref`](Self::downcast_ref) finds what is in the box.
    ///
    /// ```
    /// use coord_bus::Failure;
    ///
    /// fn deploy() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    ///     Err("no such host".into())
    /// }
    ///
    /// let deployed = deploy().map_err(|error| Failure::from_boxed(error).context("deploying to `north`"));
    /// assert_eq!(deployed.unwrap_err().to_string(), "deploying to `north`: no such host");
    /// ```
    pub fn from_boxed(error: Box<dyn Error + Send + Sync>) -> Self {
        // One that comes from a failure has a share in a box.
        let cause = error
            .downcast::<Arc<dyn Error + Send + Sync>>()
            .map_or_else(Arc::from, |shared| *shared);
        Self {
            cause,
            permanent: false,
            retry_after: None,
        }
    }

    /// The same failure, with what was being done: this comes first, and what it was before is its
    /// source.
    #[must_use]
    pub fn context(mut self, what: impl Into<String>) -> Self {
        self.cause = Arc::new(Context {
            what: what.into(),
            source: self.cause,
        });
        self
    }

    /// A panic, whose message is a [`Panicked`].
    pub fn panicked(panic: &(dyn Any + Send)) -> Self {
        Panicked {
            message: panic_message(panic).to_owned(),
        }
        .into()
    }

    /// The same failure, not worth another attempt: that would fail in the same way.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.permanent = true;
        self
    }

    /// Whether another attempt is not worth it.
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// The same failure, which says itself how long to wait before another attempt, as a server does
    /// with `Retry-After`. Whoever tries again waits exactly so long, whatever its backoff: handlers,
    /// flows, policies, supervisors, and steps of workflows.
    ///
    /// ```
    /// use std::time::Duration;
    /// use coord_bus::Failure;
    ///
    /// let busy = Failure::message("too many requests").retry_after(Duration::from_secs(30));
    /// assert_eq!(busy.retry_delay(), Some(Duration::from_secs(30)));
    /// ```
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// How long to wait before another attempt, if the failure says so.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The error itself.
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.cause
    }

    /// The error itself, to be the source of another.
    pub fn into_cause(self) -> Arc<dyn Error + Send + Sync> {
        self.cause
    }

    /// What went wrong, and then what caused that: a message for each, for what outlives the error.
    pub fn chain(&self) -> Vec<String> {
        let mut chain = vec![self.cause.to_string()];
        let mut source = self.cause.source();
        while let Some(cause) = source {
            chain.push(cause.to_string());
            source = cause.source();
        }
        chain
    }

    /// The error itself, whatever its [`context`](Self::context), if it is of this type.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        let mut cause: &(dyn Error + 'static) = &*self.cause;
        while let Some(context) = cause.downcast_ref::<Context>() {
            cause = &*context.source;
        }
        cause.downcast_ref()
    }
}

/// The error, and after colons what caused it.
impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        WithCauses(&*self.cause).fmt(formatter)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.cause, formatter)
    }
}

/// What is told of in one line with its causes: any error, and a [`Failure`], which is none.
pub trait Causes: 'static {
    /// What went wrong, and after colons what caused it.
    fn with_causes(&self) -> String;
}

impl<E: Error + 'static> Causes for E {
    fn with_causes(&self) -> String {
        WithCauses(self).to_string()
    }
}

impl Causes for Failure {
    fn with_causes(&self) -> String {
        self.to_string()
    }
}

/// Displays an error, and after colons what caused it, in one line: for logs and events, which
/// outlive the error.
#[derive(Debug, Clone, Copy)]
pub struct WithCauses<'e>(pub &'e (dyn Error + 'static));

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(formatter, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::ParseIntError;

    use super::*;

    fn port(text: &str) -> Result<u16, Box<dyn Error + Send + Sync>> {
        Ok(text.parse()?)
    }

    #[test]
    fn an_error_that_comes_in_a_box_is_found_in_the_failure_and_goes_on_in_another_box() {
        let failure = Failure::from_boxed(port("http").unwrap_err());
        assert!(failure.downcast_ref::<ParseIntError>().is_some());
        let failure = failure.permanent().context("reading the port");
        assert!(failure.is_permanent());
        assert_eq!(
            failure.chain(),
            ["reading the port", "invalid digit found in string"]
        );
        let mains = || -> Result<(), Box<dyn Error>> { Err(failure.clone())? };
        let error = mains().unwrap_err();
        assert_eq!(error.to_string(), "reading the port");
        assert_eq!(
            error.source().unwrap().to_string(),
            "invalid digit found in string"
        );
        // And back again.
        let sent: Box<dyn Error + Send + Sync> = failure.clone().into();
        let back = Failure::from_boxed(sent);
        assert_eq!(back.chain(), failure.chain());
        assert!(back.downcast_ref::<ParseIntError>().is_some());
    }
}
