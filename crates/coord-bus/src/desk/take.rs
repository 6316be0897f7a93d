//! To take what was asked, one after another.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::coop;

use super::{Desk, Taken, wake};
use crate::Envelope;

/// The future of [`Desk::take`].
pub(crate) struct Take<'a, Q, R> {
    desk: &'a Desk<Q, R>,
    seat: u64,
    /// Among the takers, from when it waits.
    place: Option<u64>,
}

/// A request that has been taken.
pub(crate) struct Request<Q, R> {
    pub(crate) envelope: Envelope<Q>,
    /// Its place in the order of all of its endpoint.
    pub(crate) sequence: u64,
    pub(crate) taken: Taken<R>,
}

impl<'a, Q, R> Take<'a, Q, R> {
    pub(super) fn new(desk: &'a Desk<Q, R>, seat: u64) -> Self {
        Self {
            desk,
            seat,
            place: None,
        }
    }
}

impl<Q, R> Future for Take<'_, Q, R> {
    type Output = Option<Request<Q, R>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Who always finds a request must let others have their turn.
        let budget = ready!(coop::poll_proceed(cx));
        let mut state = this.desk.lock();
        if !state.seats.contains(this.seat) {
            return Poll::Ready(None);
        }
        if let Some((sequence, waiting)) = state.requests.serve() {
            state.ledger.delivered += 1;
            let place = this.place.take();
            let waker = place.and_then(|place| state.takers.leave(place));
            if state.is_waited_for() {
                let wakers = state.room(this.desk.capacity);
                drop(state);
                wake(wakers);
            } else {
                drop(state);
            }
            drop(waker);
            budget.made_progress();
            return Poll::Ready(Some(Request {
                envelope: waiting.envelope,
                sequence,
                taken: Taken::new(waiting.exchange),
            }));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        let taker = this.place.and_then(|place| state.takers.get_mut(place));
        let mut replaced = None;
        match taker {
            Some((_, waker)) if waker.will_wake(cx.waker()) => {}
            Some((_, waker)) => replaced = Some(std::mem::replace(waker, cx.waker().clone())),
            None => this.place = Some(state.takers.join((this.seat, cx.waker().clone()))),
        }
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl<Q, R> Drop for Take<'_, Q, R> {
    #[inline]
    fn drop(&mut self) {
        let Some(place) = self.place else {
            return;
        };
        let mut state = self.desk.lock();
        let mut taker = state.takers.leave(place);
        let was_woken = taker.is_none();
        // It may have been woken for a request that it does not take: somebody else is to.
        if was_woken && !state.requests.is_empty() {
            taker = state.takers.serve().map(|(_, taker)| taker);
        }
        drop(state);
        if let Some((_, waker)) = taker
            && was_woken
        {
            waker.wake();
        }
    }
}
