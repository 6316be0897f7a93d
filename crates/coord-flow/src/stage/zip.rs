//! Two flows whose items go together, the first with the first.

use std::task::{Context, Poll};

use super::{AnySource, Pulled, Stage, Way};
use crate::course::add;
use crate::origin::Origin;

/// Pairs of what comes from two. The faster one waits for the slower.
pub(crate) struct Zip<A: Stage, B: Stage> {
    left: Side<A>,
    right: Side<B>,
}

/// One of the two, and what waits for its partner.
struct Side<S: Stage> {
    stage: S,
    waiting: Option<(S::Out, Origin)>,
    is_over: bool,
}

impl<S: Stage> Side<S> {
    fn new(stage: S) -> Self {
        Self {
            stage,
            waiting: None,
            is_over: false,
        }
    }

    /// Has something wait if there is anything. What has failed instead.
    fn fill(&mut self, cx: &mut Context<'_>, way: &Way) -> Option<Pulled<()>> {
        if self.waiting.is_none() {
            self.is_over = false;
            match self.stage.poll_next(cx, way) {
                Poll::Ready(Pulled::Item(item, origin)) => self.waiting = Some((item, origin)),
                Poll::Ready(Pulled::Failed(failed)) => return Some(Pulled::Failed(failed)),
                Poll::Ready(Pulled::End) => self.is_over = true,
                Poll::Pending => {}
            }
        }
        None
    }

    fn part(&mut self, way: &Way) {
        if self.waiting.take().is_some() {
            add(&way.course.counts.filtered, 1);
        }
    }
}

impl<A: Stage, B: Stage> Zip<A, B> {
    pub(crate) fn new(left: A, right: B) -> Self {
        Self {
            left: Side::new(left),
            right: Side::new(right),
        }
    }
}

impl<A: Stage, B: Stage> Stage for Zip<A, B> {
    type Out = (A::Out, B::Out);
    const HOLDS: bool = true;

    fn poll_next(&mut self, cx: &mut Context<'_>, way: &Way) -> Poll<Pulled<Self::Out>> {
        let failed = self.left.fill(cx, way);
        let failed = failed.or_else(|| self.right.fill(cx, way));
        if let Some(Pulled::Failed(failed)) = failed {
            return Poll::Ready(Pulled::Failed(failed));
        }
        match (self.left.waiting.take(), self.right.waiting.take()) {
            (Some((left, origin)), Some((right, _))) => {
                add(&way.course.counts.merged, 1);
                Poll::Ready(Pulled::Item((left, right), origin))
            }
            (left, right) => {
                (self.left.waiting, self.right.waiting) = (left, right);
                if self.left.is_over || self.right.is_over {
                    // Nobody will come for what waits.
                    self.left.part(way);
                    self.right.part(way);
                    return Poll::Ready(Pulled::End);
                }
                Poll::Pending
            }
        }
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>, way: &Way) {
        self.left.stage.poll_progress(cx, way);
        self.right.stage.poll_progress(cx, way);
    }

    fn visit(&mut self, visitor: &mut dyn FnMut(&mut dyn AnySource)) {
        self.left.stage.visit(visitor);
        self.right.stage.visit(visitor);
    }
}
