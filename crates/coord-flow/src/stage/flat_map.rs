//! A stage that makes any number of items of one.

use std::task::{Context, Poll, ready};

use tokio::task::coop;

use super::{Label, Part, Pulled, Stage, Way};
use crate::course::{add, take_back};
use crate::origin::Origin;
use crate::run::AT_ONCE_MAX;

/// A stage that makes any number of items of one, each when it is asked for.
pub(crate) struct FlatMap<S, F, I> {
    inner: S,
    label: Label,
    change: F,
    /// What is left of the last one.
    rest: Option<Rest<I>>,
    /// How many were made since others were let run: what uses them up may never come to its source.
    at_once: usize,
}

struct Rest<I> {
    items: I,
    origin: Origin,
    /// Whether something came out already.
    more: bool,
}

impl<S, F, I> FlatMap<S, F, I> {
    pub(crate) fn new(inner: S, label: Label, change: F) -> Self {
        Self {
            inner,
            label,
            change,
            rest: None,
            at_once: 0,
        }
    }
}

impl<S, F, T, U> Stage for FlatMap<S, F, T::IntoIter>
where
    S: Stage,
    F: FnMut(S::Out) -> T + Send + 'static,
    T: IntoIterator<Item = U>,
    T::IntoIter: Send + 'static,
    U: Send + 'static,
{
    type Out = U;
    const HOLDS: bool = S::HOLDS;

    fn poll_next(&mut self, cx: &mut Context<'_>, way: &Way) -> Poll<Pulled<U>> {
        let counts = &way.course.counts;
        loop {
            if self.at_once == AT_ONCE_MAX {
                ready!(coop::poll_proceed(cx)).made_progress();
                self.at_once = 0;
            }
            self.at_once += 1;
            // Taken out, so that one that panics is gone.
            if let Some(mut rest) = self.rest.take() {
                if rest.more {
                    add(&counts.added, 1);
                }
                let next = || rest.items.next();
                if let Some(item) = way.watch(Some(self.label), Some(&rest.origin), next) {
                    let origin = rest.origin.clone();
                    rest.more = true;
                    self.rest = Some(rest);
                    return Poll::Ready(Pulled::Item(item, origin));
                }
                match rest.more {
                    true => take_back(&counts.added, 1),
                    false => add(&counts.filtered, 1),
                }
            }
            match ready!(self.inner.poll_next(cx, way)) {
                Pulled::Item(item, origin) => {
                    let change = || (self.change)(item).into_iter();
                    let items = way.watch(Some(self.label), Some(&origin), change);
                    self.rest = Some(Rest {
                        items,
                        origin,
                        more: false,
                    });
                }
                Pulled::Failed(failed) => return Poll::Ready(Pulled::Failed(failed)),
                Pulled::End => return Poll::Ready(Pulled::End),
            }
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
