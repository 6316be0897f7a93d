//! Why an incarnation of a child failed.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use coord_bus::panic_message;

/// Why a child failed: any error of its own, or what the supervisor found.
///
/// A child returns any error that is `Send + Sync + 'static`; `?` turns it into this. Like
/// `anyhow::Error` it is not itself a [`std::error::Error`], so that it can be made from every one
/// of them; [`cause`](Self::cause) is.
#[derive(Clone)]
pub struct ChildError {
    cause: Arc<dyn std::error::Error + Send + Sync>,
    permanent: bool,
}

/// What a supervisor itself finds wrong with an incarnation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChildFailure {
    /// It panicked.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// It ended well, although it is there to stay.
    #[error("it ended, although it is there to stay")]
    Ended,
    /// It said no more than this.
    #[error("{0}")]
    Failed(String),
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for ChildError {
    fn from(cause: E) -> Self {
        Self {
            cause: Arc::new(cause),
            permanent: false,
        }
    }
}

impl ChildError {
    /// An error that is only a message.
    pub fn message(message: impl Into<String>) -> Self {
        ChildFailure::Failed(message.into()).into()
    }

    /// The same error, not worth a restart: another incarnation would fail in the same way.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.permanent = true;
        self
    }

    /// Whether it is not worth a restart.
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// The error itself.
    pub fn cause(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.cause
    }

    /// The error itself, if it is of this type.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.cause.downcast_ref()
    }

    pub(super) fn panicked(panic: &(dyn Any + Send)) -> Self {
        ChildFailure::Panicked(panic_message(panic).to_owned()).into()
    }
}

/// The error, and after colons what caused it.
impl fmt::Display for ChildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.cause)?;
        let mut source = self.cause.source();
        while let Some(cause) = source {
            write!(formatter, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for ChildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.cause, formatter)
    }
}
