//! Several items at once: [`Batch`].

use std::mem;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::intake::Intake;
use crate::timer::Timer;

pin_project! {
    /// The stream of [`OptimizeExt::batch`](crate::OptimizeExt::batch): the items of a source, in
    /// their order, in batches that are never empty.
    ///
    /// A batch comes out when it is full, when its time is up, or when the source ends. Its time
    /// runs from the moment when its first item was taken from the source, and passes also while
    /// nobody polls: then the batch comes out at the next poll, with what is ready by then. Nothing
    /// is taken beyond one batch, so a consumer that does not take it holds up the source.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use coord_optimize::OptimizeExt;
    /// use tokio_stream::{StreamExt, iter};
    ///
    /// let mut batches = iter(1..=5).batch(2, Duration::from_millis(100));
    /// assert_eq!(batches.next().await, Some(vec![1, 2]));
    /// assert_eq!(batches.next().await, Some(vec![3, 4]));
    /// assert_eq!(batches.next().await, Some(vec![5]));
    /// assert_eq!(batches.next().await, None);
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future of a `next()` loses nothing: what was taken stays in the stream.
    #[derive(Debug)]
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct Batch<S: Stream> {
        #[pin]
        source: Intake<S>,
        size: usize,
        within: Duration,
        held: Vec<S::Item>,
        timer: Timer,
    }
}

impl<S: Stream> Batch<S> {
    pub(crate) fn new(source: S, size: usize, within: Duration) -> Self {
        Self {
            source: Intake::new(source),
            size: size.max(1),
            within,
            held: Vec::new(),
            timer: Timer::default(),
        }
    }
}

impl<S: Stream> Stream for Batch<S> {
    type Item = Vec<S::Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let (held, timer) = (this.held, this.timer);
        let taken = this.source.poll_each(cx, |item| {
            if held.is_empty() {
                timer.start(*this.within);
            }
            held.push(item);
            if held.len() == *this.size {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        match taken {
            Poll::Ready(Some(())) => {}
            Poll::Ready(None) if held.is_empty() => return Poll::Ready(None),
            Poll::Ready(None) => {}
            Poll::Pending if held.is_empty() => return Poll::Pending,
            Poll::Pending => ready!(timer.poll(cx)),
        }
        Poll::Ready(Some(mem::take(held)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.source.size_hint();
        let least = least.saturating_add(self.held.len()).div_ceil(self.size);
        let begun = usize::from(!self.held.is_empty());
        (least, most.and_then(|most| most.checked_add(begun)))
    }
}
