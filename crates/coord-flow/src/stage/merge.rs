//! Two flows that become one.

use std::task::{Context, Poll};

use super::{Part, Pulled, Stage, Way};

/// What comes from either of two, by turns where both have something.
pub(crate) struct Merge<A, B> {
    one: A,
    other: B,
    others_turn: bool,
}

impl<A, B> Merge<A, B> {
    pub(crate) fn new(one: A, other: B) -> Self {
        Self {
            one,
            other,
            others_turn: false,
        }
    }
}

impl<A: Stage, B: Stage<Out = A::Out>> Stage for Merge<A, B> {
    type Out = A::Out;
    const HOLDS: bool = A::HOLDS || B::HOLDS;

    fn poll_next(&mut self, cx: &mut Context<'_>, way: &Way) -> Poll<Pulled<A::Out>> {
        let mut over = 0;
        self.others_turn = !self.others_turn;
        for turn in [self.others_turn, !self.others_turn] {
            let pulled = match turn {
                true => self.one.poll_next(cx, way),
                false => self.other.poll_next(cx, way),
            };
            match pulled {
                Poll::Ready(Pulled::End) => over += 1,
                Poll::Ready(pulled) => return Poll::Ready(pulled),
                Poll::Pending => {}
            }
        }
        match over {
            2 => Poll::Ready(Pulled::End),
            _ => Poll::Pending,
        }
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>, way: &Way) {
        self.one.poll_progress(cx, way);
        self.other.poll_progress(cx, way);
    }

    fn is_closed(&self) -> bool {
        self.one.is_closed() && self.other.is_closed()
    }

    fn visit(&mut self, visitor: &mut dyn FnMut(Part<'_>)) {
        self.one.visit(visitor);
        self.other.visit(visitor);
    }
}
