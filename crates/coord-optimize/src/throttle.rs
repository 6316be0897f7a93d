//! One item a period: [`Throttle`].

use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::intake::Intake;
use crate::timer::Timer;

pin_project! {
    /// The stream of [`OptimizeExt::throttle`](crate::OptimizeExt::throttle): at most one item a
    /// period, the first at once.
    ///
    /// A period begins when an item is given out. Items that come within it are taken and dropped,
    /// so a source is never held up for as long as this is polled; [`dropped`](Self::dropped) says
    /// how many. With [`trailing`](Self::trailing), the last of them is kept and given out when
    /// the period is over.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use coord_optimize::OptimizeExt;
    /// use tokio_stream::{StreamExt, iter};
    ///
    /// let mut positions = iter(1..=9).throttle(Duration::from_millis(50)).trailing();
    /// assert_eq!(positions.next().await, Some(1));
    /// assert_eq!(positions.next().await, Some(9)); // 50 ms later
    /// assert_eq!(positions.next().await, None);
    /// assert_eq!(positions.dropped(), 7);
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future of a `next()` loses nothing that would have come out.
    #[derive(Debug)]
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct Throttle<S: Stream> {
        #[pin]
        source: Intake<S>,
        period: Duration,
        trailing: bool,
        held: Option<S::Item>,
        dropped: u64,
        timer: Timer,
    }
}

impl<S: Stream> Throttle<S> {
    pub(crate) fn new(source: S, period: Duration) -> Self {
        Self {
            source: Intake::new(source),
            period,
            trailing: false,
            held: None,
            dropped: 0,
            timer: Timer::default(),
        }
    }

    /// With the last item of each period too, when the period is over; then a new period begins.
    ///
    /// So the last item of all is never lost. Where the source ends within a period, that item
    /// still comes out at the end of the period, and then the stream ends: as in RxJS 7 with
    /// `{ leading: true, trailing: true }`.
    pub fn trailing(mut self) -> Self {
        self.trailing = true;
        self
    }

    /// How many items have been dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl<S: Stream> Stream for Throttle<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let passes = this.timer.poll(cx).is_ready();
        if passes && let Some(last) = this.held.take() {
            this.timer.start(*this.period);
            return Poll::Ready(Some(last));
        }
        let taken = this.source.poll_each(cx, |item| {
            if passes {
                return ControlFlow::Break(item);
            }
            if !*this.trailing || this.held.replace(item).is_some() {
                *this.dropped += 1;
            }
            ControlFlow::Continue(())
        });
        match taken {
            Poll::Ready(Some(item)) => {
                this.timer.start(*this.period);
                Poll::Ready(Some(item))
            }
            Poll::Ready(None) if this.held.is_none() => Poll::Ready(None),
            // What is held comes out when the timer wakes this.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let held = usize::from(self.held.is_some());
        let (_, most) = self.source.size_hint();
        (held, most.and_then(|most| most.checked_add(held)))
    }
}
