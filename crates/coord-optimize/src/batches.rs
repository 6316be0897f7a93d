//! A topic's events in batches: [`Batches`].

use std::fmt;
use std::mem;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use coord_bus::{Delivery, Event, Subscriber};
use futures_core::Stream;

use crate::account::Tally;
use crate::intake::Intake;
use crate::timer::Timer;

/// The stream of [`EventStreamOptimizer::subscribe`](crate::EventStreamOptimizer::subscribe): every
/// event of a topic, in the topic's order, in batches that are never empty.
///
/// A batch comes out when its turn has come, with what there is by then, and has at most the
/// topic's buffer size. Without a rate limit it is always somebody's turn: a batch is what is
/// ready. With one, the first batch comes at once, and each other a period after the one before,
/// or later if there was nothing to give.
///
/// It is lossless: a batch that is full and waits for its turn makes publishers wait, once they
/// are the topic's capacity ahead. What is too much for its rate and size together does not get
/// through faster; where only the latest matters, use
/// [`conflate`](crate::EventStreamOptimizer::conflate).
///
/// It ends when the topic is closed and everything has come out, the last batch when it is its
/// turn.
///
/// # Cancel safety
///
/// Dropping the future of a `next()` loses nothing: what was taken stays in the stream.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Batches<E> {
    source: Intake<Subscriber<E>>,
    held: Vec<Delivery<E>>,
    /// How many events the batch that has begun may have.
    size: usize,
    turn: Timer,
    received: u64,
    tally: Tally,
}

impl<E: Event> Batches<E> {
    pub(crate) fn new(source: Subscriber<E>, tally: Tally) -> Self {
        Self {
            source: Intake::new(source),
            held: Vec::new(),
            size: 0,
            turn: Timer::default(),
            received: 0,
            tally,
        }
    }

    /// Takes what is ready. Ready when nothing more goes into this batch.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.held.is_empty() {
            self.size = self.tally.account().buffer_size();
        } else if self.held.len() == self.size {
            return Poll::Ready(());
        }
        let (held, received, size) = (&mut self.held, &mut self.received, self.size);
        let source = Pin::new(&mut self.source);
        let taken = source.poll_each(cx, |event| {
            held.push(event);
            *received += 1;
            if held.len() == size {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        taken.map(|_| ())
    }
}

impl<E: Event> Stream for Batches<E> {
    type Item = Vec<Delivery<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let filled = this.poll_fill(cx);
        let turn = if this.held.is_empty() {
            // Nothing, and either never again or not yet.
            filled.map(|()| None)
        } else {
            this.turn.poll(cx).map(|()| Some(mem::take(&mut this.held)))
        };
        this.tally.tell(this.received, 0, this.held.len() as u64);
        let batch = ready!(turn);
        if batch.is_some() {
            this.turn.start(this.tally.account().period());
        }
        Poll::Ready(batch)
    }
}

// Nothing in it is pinned.
impl<E> Unpin for Batches<E> {}

impl<E> fmt::Debug for Batches<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Batches")
            .field("held", &self.held.len())
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
