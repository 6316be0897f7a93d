//! Stages that make at most one item of one, at once: filters, maps, and what remembers.

use std::task::{Context, Poll, ready};

use super::{Label, Part, Pulled, Stage, Way};
use crate::course::add;

/// A stage that makes at most one item of one.
pub(crate) struct Change<S, F> {
    inner: S,
    label: Label,
    change: F,
}

impl<S, F> Change<S, F> {
    pub(crate) fn new(inner: S, label: Label, change: F) -> Self {
        Self {
            inner,
            label,
            change,
        }
    }
}

impl<S, F, U> Stage for Change<S, F>
where
    S: Stage,
    F: FnMut(S::Out) -> Option<U> + Send + 'static,
    U: Send + 'static,
{
    type Out = U;
    const HOLDS: bool = S::HOLDS;

    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>, way: &Way) -> Poll<Pulled<U>> {
        loop {
            let pulled = match ready!(self.inner.poll_next(cx, way)) {
                Pulled::Item(item, origin) => {
                    let change = || (self.change)(item);
                    match way.watch(Some(self.label), Some(&origin), change) {
                        Some(item) => Pulled::Item(item, origin),
                        None => {
                            add(&way.course.counts.filtered, 1);
                            continue;
                        }
                    }
                }
                Pulled::Failed(failed) => Pulled::Failed(failed),
                Pulled::End => Pulled::End,
            };
            return Poll::Ready(pulled);
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
