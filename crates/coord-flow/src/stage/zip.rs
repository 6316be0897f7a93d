//! Two flows whose items go together, the first with the first.

use std::collections::VecDeque;
use std::mem;
use std::task::{Context, Poll, ready};

use super::{AnyPair, Half, Part, Pulled, Stage, Way};
use crate::course::add;
use crate::origin::Origin;

/// Pairs of what comes from two. The faster one waits for the slower.
pub(crate) struct Zip<A: Stage, B: Stage> {
    left: Side<A>,
    right: Side<B>,
}

type Waiting<T> = VecDeque<(T, Origin)>;

/// One of the two, and what waits for its partner.
struct Side<S: Stage> {
    stage: S,
    /// One at most, but where the flow was to end, or to be replaced, and goes on: then all that was
    /// under way.
    waiting: Waiting<S::Out>,
    is_over: bool,
}

impl<S: Stage> Side<S> {
    fn new(stage: S) -> Self {
        Self {
            stage,
            waiting: VecDeque::new(),
            is_over: false,
        }
    }

    /// Has something wait if there is anything. What has failed instead.
    fn fill(&mut self, cx: &mut Context<'_>, way: &Way) -> Option<Pulled<()>> {
        if self.waiting.is_empty() {
            self.is_over = false;
            match self.stage.poll_next(cx, way) {
                Poll::Ready(Pulled::Item(item, origin)) => {
                    self.waiting.push_back((item, origin));
                }
                Poll::Ready(Pulled::Failed(failed)) => return Some(Pulled::Failed(failed)),
                Poll::Ready(Pulled::End) => self.is_over = true,
                Poll::Pending => {}
            }
        }
        None
    }

    /// Has all wait that is still to come, or filters it out. Ready with what has failed instead, or
    /// when it is over.
    fn collect(
        &mut self,
        keeps: bool,
        cx: &mut Context<'_>,
        way: &Way,
    ) -> Poll<Option<Pulled<()>>> {
        loop {
            match ready!(self.stage.poll_next(cx, way)) {
                Pulled::Item(item, origin) if keeps => self.waiting.push_back((item, origin)),
                Pulled::Item(..) => add(&way.course.counts.filtered, 1),
                Pulled::Failed(failed) => return Poll::Ready(Some(Pulled::Failed(failed))),
                Pulled::End => return Poll::Ready(None),
            }
        }
    }

    /// The topics that it comes from.
    fn topics(&mut self) -> Vec<String> {
        let mut topics = Vec::new();
        self.stage.visit(&mut |part| {
            if let Part::Source(source) = part {
                topics.push(source.topic().to_owned());
            }
        });
        topics
    }

    fn take(&mut self, is_left: bool) -> Option<Half> {
        let waiting = mem::take(&mut self.waiting);
        (!waiting.is_empty()).then(|| Half {
            is_left,
            topics: self.topics(),
            items: waiting.len() as u64,
            waiting: Box::new(waiting),
        })
    }

    fn adopt(&mut self, halves: &mut Vec<Half>, is_left: bool) {
        let topics = self.topics();
        let place = halves.iter().position(|half| {
            half.is_left == is_left && half.topics == topics && half.waiting.is::<Waiting<S::Out>>()
        });
        let half = place.map(|place| halves.remove(place));
        if let Some(Ok(waiting)) = half.map(|half| half.waiting.downcast()) {
            self.waiting = *waiting;
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

    fn poll_pair(&mut self, cx: &mut Context<'_>, way: &Way) -> Poll<Pulled<(A::Out, B::Out)>> {
        let (left, right) = (&mut self.left, &mut self.right);
        let mut is_for_good = false;
        loop {
            let failed = left.fill(cx, way).or_else(|| right.fill(cx, way));
            if let Some(Pulled::Failed(failed)) = failed {
                return Poll::Ready(Pulled::Failed(failed));
            }
            if !left.waiting.is_empty()
                && let Some((second, _)) = right.waiting.pop_front()
                && let Some((first, origin)) = left.waiting.pop_front()
            {
                add(&way.course.counts.merged, 1);
                return Poll::Ready(Pulled::Item((first, second), origin));
            }
            if !left.is_over && !right.is_over {
                return Poll::Pending;
            }
            // What waits stays: the end may be called off, or another flow takes it over. Where
            // neither can be, as one side is closed, the other is not read to its end.
            if !way.course.is_ending() {
                return Poll::Ready(Pulled::End);
            }
            // An end that was that of a replacement may be none now: looked at once more, it is one
            // for good, and what has no partner has no future.
            if !is_for_good && way.course.is_over() {
                is_for_good = true;
                continue;
            }
            let mut failed = ready!(left.collect(!is_for_good, cx, way));
            if failed.is_none() {
                failed = ready!(right.collect(!is_for_good, cx, way));
            }
            if let Some(Pulled::Failed(failed)) = failed {
                return Poll::Ready(Pulled::Failed(failed));
            }
            // Asked to stop meanwhile, both sides may have got some.
            if left.waiting.is_empty() || right.waiting.is_empty() {
                return Poll::Ready(Pulled::End);
            }
        }
    }
}

impl<A: Stage, B: Stage> Stage for Zip<A, B> {
    type Out = (A::Out, B::Out);
    const HOLDS: bool = true;

    fn poll_next(&mut self, cx: &mut Context<'_>, way: &Way) -> Poll<Pulled<Self::Out>> {
        let pulled = self.poll_pair(cx, way);
        if pulled.is_pending() {
            // The side that waits for the other is not asked for more, and goes on.
            self.poll_progress(cx, way);
        }
        pulled
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>, way: &Way) {
        self.left.stage.poll_progress(cx, way);
        self.right.stage.poll_progress(cx, way);
    }

    fn is_closed(&self) -> bool {
        self.left.stage.is_closed() || self.right.stage.is_closed()
    }

    fn visit(&mut self, visitor: &mut dyn FnMut(Part<'_>)) {
        self.left.stage.visit(visitor);
        self.right.stage.visit(visitor);
        visitor(Part::Pair(self));
    }
}

impl<A: Stage, B: Stage> AnyPair for Zip<A, B> {
    fn take(&mut self) -> Option<Half> {
        // Never both: they would be a pair.
        self.left.take(true).or_else(|| self.right.take(false))
    }

    fn adopt(&mut self, halves: &mut Vec<Half>) {
        self.left.adopt(halves, true);
        self.right.adopt(halves, false);
    }
}
