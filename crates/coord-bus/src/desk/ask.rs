//! To ask: into the line for room, into the queue, and to the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::exchange::Exchange;
use super::{Answer, Desk, Turned, Waiting, Wakers, wake};
use crate::{Envelope, handling};

/// The future of [`Desk::ask`].
pub(crate) struct Ask<'a, Q, R> {
    desk: &'a Desk<Q, R>,
    /// Until it is in the queue.
    envelope: Option<Envelope<Q>>,
    /// From the first poll on.
    exchange: Option<Arc<Exchange<R>>>,
    progress: Progress,
}

#[derive(Clone, Copy)]
enum Progress {
    Outside,
    /// In line for room, at this place.
    InLine(u64),
    /// Accepted, with this sequence.
    Accepted(u64),
    Done,
}

// The question is moved, never pinned.
impl<Q, R> Unpin for Ask<'_, Q, R> {}

impl<'a, Q, R> Ask<'a, Q, R> {
    #[inline]
    pub(super) fn new(desk: &'a Desk<Q, R>, question: Q) -> Self {
        Self {
            desk,
            envelope: Some(Envelope::new(question)),
            exchange: None,
            progress: Progress::Outside,
        }
    }

    pub(crate) fn desk(&self) -> &'a Desk<Q, R> {
        self.desk
    }

    /// Whether it is in the queue, or was.
    #[cfg(feature = "test-util")]
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.progress, Progress::Accepted(_))
    }

    /// Into the queue, if it has room now or has kept some for this.
    fn poll_enter(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Turned>> {
        let exchange = match &self.exchange {
            Some(exchange) => exchange,
            None => self.exchange.insert(Exchange::new(cx.waker())),
        };
        let exchange = Arc::clone(exchange);
        if let Some(envelope) = &mut self.envelope
            && handling::is_active()
        {
            handling::mark(envelope);
        }
        let mut state = self.desk.lock();
        if state.closed {
            return Poll::Ready(Err(Turned::Closed));
        }
        if state.seats.is_empty() {
            return Poll::Ready(Err(Turned::Unattended));
        }
        if let Progress::InLine(place) = self.progress {
            if let Some(waker) = state.callers.get_mut(place) {
                let replaced = match waker.will_wake(cx.waker()) {
                    true => None,
                    false => Some(std::mem::replace(waker, cx.waker().clone())),
                };
                drop(state);
                drop(replaced);
                return Poll::Pending;
            }
            state.promised -= 1;
            self.progress = Progress::Outside;
        } else if state.requests.len() + state.promised >= self.desk.capacity {
            if handling::is_active() {
                // Who waits may be the one that everybody waits for.
                return Poll::Ready(Err(Turned::Full));
            }
            self.progress = Progress::InLine(state.callers.join(cx.waker().clone()));
            return Poll::Pending;
        }
        let Some(envelope) = self.envelope.take() else {
            panic!("polled after it was done");
        };
        let waiting = Waiting { envelope, exchange };
        self.progress = Progress::Accepted(state.requests.join(waiting));
        state.ledger.published += 1;
        let taker = state.takers.serve();
        drop(state);
        if let Some((_, (_, taker))) = taker {
            taker.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// Out of the line for room.
    #[cold]
    fn leave_line(&self, place: u64) {
        let mut state = self.desk.lock();
        let waker = state.callers.leave(place);
        let mut wakers = Wakers::new();
        if waker.is_none() {
            // What it was promised goes to the next.
            state.promised -= 1;
            wakers = state.room(self.desk.capacity);
        }
        drop(state);
        drop(waker);
        wake(wakers);
    }
}

impl<Q, R> Future for Ask<'_, Q, R> {
    type Output = Result<Answer<R>, Turned>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.progress {
            Progress::Accepted(_) => {}
            Progress::Outside => {
                ready!(this.poll_enter(cx))?;
                // The exchange was made with this waker.
                return Poll::Pending;
            }
            Progress::InLine(_) => ready!(this.poll_enter(cx))?,
            Progress::Done => panic!("polled after it was done"),
        }
        let Some(exchange) = &this.exchange else {
            panic!("what was accepted has an exchange");
        };
        let answer = ready!(exchange.poll_answer(cx));
        this.progress = Progress::Done;
        Poll::Ready(Ok(answer))
    }
}

impl<Q, R> Drop for Ask<'_, Q, R> {
    #[inline]
    fn drop(&mut self) {
        match (self.progress, &self.exchange) {
            (Progress::InLine(place), _) => self.leave_line(place),
            (Progress::Accepted(sequence), Some(exchange)) => {
                exchange.quit();
                self.desk.take_back(sequence);
            }
            _ => {}
        }
    }
}
