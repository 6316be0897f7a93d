//! A topic's events merged into states: [`Conflated`].

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use coord_bus::{Delivery, Event, Subscriber};
use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::account::Tally;
use crate::{Conflate, OptimizeExt};

pin_project! {
    /// The stream of [`EventStreamOptimizer::conflate`](crate::EventStreamOptimizer::conflate):
    /// states, each merged from all events of a topic since the one before, at most as many as the
    /// topic's rate limit says.
    ///
    /// A state is merged from what has been published by the time when its turn comes, also while
    /// it waits for that: so publishers wait for this no longer than `merge` takes, for as long as
    /// it is polled. The last state always comes, also when the topic is closed. For its memory
    /// and its cancel safety see [`Conflate`].
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct Conflated<E: Event, A, F, M> {
        #[pin]
        states: Conflate<Subscriber<E>, A, F, M>,
        tally: Tally,
    }
}

impl<E, A, F, M> Conflated<E, A, F, M>
where
    E: Event,
    F: FnMut(Delivery<E>) -> A,
    M: FnMut(&mut A, Delivery<E>),
{
    pub(crate) fn new(source: Subscriber<E>, seed: F, merge: M, tally: Tally) -> Self {
        Self {
            states: source.conflate(seed, merge),
            tally,
        }
    }
}

impl<E, A, F, M> Stream for Conflated<E, A, F, M>
where
    E: Event,
    F: FnMut(Delivery<E>) -> A,
    M: FnMut(&mut A, Delivery<E>),
{
    type Item = A;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<A>> {
        let mut this = self.project();
        let period = this.tally.account().period();
        this.states.as_mut().repace(period);
        let state = this.states.as_mut().poll_next(cx);
        let states = &this.states;
        this.tally
            .tell(states.taken(), states.merged(), states.held());
        state
    }
}

impl<E: Event, A: fmt::Debug, F, M> fmt::Debug for Conflated<E, A, F, M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Conflated")
            .field(&self.states)
            .finish()
    }
}
