//! One item a period: [`Throttle`].

use std::ops::ControlFlow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::Optimized;
use crate::optimized::{Desk, Operator, Taken};

/// The operator of [`OptimizeExt::throttle`](crate::OptimizeExt::throttle): at most one item a
/// period, the first at once.
///
/// A period begins when an item is given out. Items that come within it, or in the moment in which
/// it ends, are taken and dropped, so a source is never held up for as long as this is polled. With
/// [`trailing`](Optimized::trailing), the last of them is kept and given out when the period is over.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::time::Duration;
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter};
///
/// // With its feature `time`, tokio-stream has a method of this name: so say whose is meant.
/// let positions = OptimizeExt::throttle(iter(1..=9), Duration::from_millis(50));
/// let mut positions = positions.trailing();
/// assert_eq!(positions.next().await, Some(1));
/// assert_eq!(positions.next().await, Some(9)); // 50 ms later
/// assert_eq!(positions.next().await, None);
/// assert_eq!(positions.ledger().dropped.superseded, 7);
/// # }
/// ```
#[derive(Debug)]
pub struct Throttle<T> {
    period: Duration,
    leading: bool,
    trailing: bool,
    held: Option<T>,
}

impl<T> Throttle<T> {
    pub(crate) fn new(period: Duration) -> Self {
        Self {
            period,
            leading: true,
            trailing: false,
            held: None,
        }
    }

    /// The end of a period.
    fn end(&mut self, desk: &mut Desk) -> Option<T> {
        let last = self.held.take()?;
        desk.timer.start(self.period);
        desk.out(last)
    }
}

impl<S: Stream> Optimized<S, Throttle<S::Item>> {
    /// With the last item of each period too, when the period is over; then a new period begins.
    ///
    /// So the last item of all is never lost. Where the source ends within a period, that item
    /// still comes out at the end of the period, and then the stream ends: as in RxJS 7 with
    /// `{ leading: true, trailing: true }`.
    pub fn trailing(mut self) -> Self {
        self.operator.trailing = true;
        self
    }

    /// With the last item of each period instead of the first: a period begins with an item, which
    /// waits for its end. RxJS 7's `{ leading: false, trailing: true }`.
    pub fn trailing_only(mut self) -> Self {
        self.operator.leading = false;
        self.trailing()
    }
}

impl<T> Operator<T> for Throttle<T> {
    type Out = T;

    fn late(&mut self, desk: &mut Desk) -> Option<T> {
        if !desk.timer.has_passed() {
            return None;
        }
        desk.timer.stop();
        self.end(desk)
    }

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<T> {
        if !desk.timer.runs() {
            desk.timer.start(self.period);
            if self.leading {
                return ControlFlow::Break(desk.out(item));
            }
        }
        if !self.trailing || self.held.replace(item).is_some() {
            desk.ledger().dropped.superseded += 1;
        }
        ControlFlow::Continue(())
    }

    fn give(&mut self, desk: &mut Desk, cx: &mut Context<'_>, _ended: bool) -> Poll<Option<T>> {
        // A period at whose end nothing comes out need not wake anybody.
        if self.held.is_none() {
            return Poll::Ready(None);
        }
        ready!(desk.timer.poll(cx));
        Poll::Ready(self.end(desk))
    }

    fn held(&self) -> usize {
        usize::from(self.held.is_some())
    }
}
