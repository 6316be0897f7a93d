//! A stage that may fail, and is tried again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use coord_bus::Failure;
use coord_bus::time::{self, Sleep};

use super::{Failed, Label, Part, Pulled, Stage, Way};
use crate::course::add;
use crate::origin::Origin;

/// A stage that may fail. Later items wait while it is tried again, so that order is kept.
pub(crate) struct TryMap<S: Stage, F> {
    inner: S,
    label: Label,
    change: F,
    trying: Option<Trying<S::Out>>,
}

/// An item that failed and will be tried again.
struct Trying<T> {
    item: T,
    origin: Origin,
    failures: u32,
    wait: Pin<Box<Sleep>>,
}

impl<S: Stage, F> TryMap<S, F> {
    pub(crate) fn new(inner: S, label: Label, change: F) -> Self {
        Self {
            inner,
            label,
            change,
            trying: None,
        }
    }
}

impl<S, F, U, X> Stage for TryMap<S, F>
where
    S: Stage,
    F: FnMut(&S::Out) -> Result<U, X> + Send + 'static,
    U: Send + 'static,
    X: Into<Failure>,
{
    type Out = U;
    const HOLDS: bool = S::HOLDS;

    fn poll_next(&mut self, cx: &mut Context<'_>, way: &Way) -> Poll<Pulled<U>> {
        loop {
            if let Some(trying) = &mut self.trying
                && trying.wait.as_mut().poll(cx).is_pending()
            {
                self.inner.poll_progress(cx, way);
                return Poll::Pending;
            }
            let (item, origin, failures) = match self.trying.take() {
                Some(trying) => (trying.item, trying.origin, trying.failures),
                None => match ready!(self.inner.poll_next(cx, way)) {
                    Pulled::Item(item, origin) => (item, origin, 0),
                    Pulled::Failed(failed) => return Poll::Ready(Pulled::Failed(failed)),
                    Pulled::End => return Poll::Ready(Pulled::End),
                },
            };
            let change = || (self.change)(&item).map_err(X::into);
            let failure = match catch_unwind(AssertUnwindSafe(change)) {
                Ok(Ok(item)) => return Poll::Ready(Pulled::Item(item, origin)),
                Ok(Err(failure)) => failure,
                Err(panic) => Failure::panicked(&*panic),
            };
            let failures = failures + 1;
            let Some(wait) = way.retry.wait(failures, &failure) else {
                let failed = Failed::of(self.label, origin, failure, failures);
                return Poll::Ready(Pulled::Failed(failed));
            };
            add(&way.course.counts.retried, 1);
            self.trying = Some(Trying {
                item,
                origin,
                failures,
                wait: Box::pin(time::sleep(wait)),
            });
        }
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>, way: &Way) {
        self.inner.poll_progress(cx, way);
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn visit(&mut self, visitor: &mut dyn FnMut(Part<'_>)) {
        self.inner.visit(visitor);
    }
}
