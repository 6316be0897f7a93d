//! After which errors another attempt is worth it.

use std::any::Any;

use coord_bus::Failure;

use super::PolicyError;

/// What is asked of an error.
pub(super) type Decide<E> = Box<dyn Fn(&PolicyError<E>) -> bool + Send + Sync>;

/// After which errors another attempt is worth it: where nothing is said, after all but those of an operation
/// that say of themselves that they are permanent.
pub(super) struct Worth<E> {
    only_if: Option<Decide<E>>,
    as_failure: fn(&E) -> Option<&Failure>,
}

impl<E: 'static> Default for Worth<E> {
    fn default() -> Self {
        Self {
            only_if: None,
            as_failure: |error| (error as &dyn Any).downcast_ref(),
        }
    }
}

impl<E> Worth<E> {
    /// Only after those of which this is true.
    pub(super) fn only_if(
        &mut self,
        only_if: impl Fn(&PolicyError<E>) -> bool + Send + Sync + 'static,
    ) {
        self.only_if = Some(Box::new(only_if));
    }

    /// The operation's own error, if that says of itself what to do.
    pub(super) fn failure<'e>(&self, error: &'e PolicyError<E>) -> Option<&'e Failure> {
        error.operation().and_then(self.as_failure)
    }

    pub(super) fn is_after(&self, error: &PolicyError<E>) -> bool {
        match &self.only_if {
            Some(only_if) => only_if(error),
            None => self
                .failure(error)
                .is_none_or(|failure| !failure.is_permanent()),
        }
    }
}
