//! A topic's events merged into states: [`Conflated`].

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use coord_bus::{Delivery, Event, Subscriber};
use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::account::Follower;
use crate::{Conflate, Optimized};

pin_project! {
    /// The stream of [`EventStreamOptimizer::conflate`](crate::EventStreamOptimizer::conflate):
    /// states, each merged from all events of a topic since the one before, at most as many as the
    /// topic's rate limit says. The topic's other settings are for batches.
    ///
    /// A state is merged from what has been published by the time when its turn comes, also while
    /// it waits for that: so publishers wait for this no longer than `merge` takes, for as long as
    /// it is polled. The last state always comes, also when the topic is closed. For its memory
    /// and its cancel safety see [`Conflate`].
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct Conflated<E: Event, A, F, M> {
        #[pin]
        states: Optimized<Subscriber<E>, Conflate<A, F, M>>,
        follower: Follower<E>,
    }
}

impl<E: Event, A, F, M> Conflated<E, A, F, M> {
    pub(crate) fn new(
        states: Optimized<Subscriber<E>, Conflate<A, F, M>>,
        follower: Follower<E>,
    ) -> Self {
        Self { states, follower }
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
        let period = this.follower.look().period();
        this.states.as_mut().operator_mut().repace(period);
        this.states.poll_next(cx)
    }
}

impl<E: Event, A, F, M> fmt::Debug for Conflated<E, A, F, M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Conflated")
            .field(&self.states)
            .finish()
    }
}
