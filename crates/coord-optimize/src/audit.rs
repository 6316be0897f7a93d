//! The last item of each period that begins with an item: [`Audit`].

use std::ops::ControlFlow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::optimized::{Desk, Operator, Taken};

/// The operator of [`OptimizeExt::audit`](crate::OptimizeExt::audit): an item begins a period, and
/// when that is over, the last item that came within it comes out; the others are dropped.
///
/// When the source ends, what is held comes out at the end of its period, as in RxJS 7. The next
/// period begins with the next item; with [`throttle`](crate::OptimizeExt::throttle) and
/// `trailing_only` it begins at once.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::time::Duration;
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter};
///
/// let mut sizes = iter([80, 100, 120]).audit(Duration::from_millis(16));
/// assert_eq!(sizes.next().await, Some(120)); // 16 ms later
/// assert_eq!(sizes.next().await, None);
/// # }
/// ```
#[derive(Debug)]
pub struct Audit<T> {
    period: Duration,
    held: Option<T>,
}

impl<T> Audit<T> {
    pub(crate) fn new(period: Duration) -> Self {
        Self { period, held: None }
    }

    fn end(&mut self, desk: &mut Desk) -> Option<T> {
        desk.timer.stop();
        self.held.take().and_then(|last| desk.out(last))
    }
}

impl<T> Operator<T> for Audit<T> {
    type Out = T;

    fn late(&mut self, desk: &mut Desk) -> Option<T> {
        if !desk.timer.has_passed() {
            return None;
        }
        self.end(desk)
    }

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<T> {
        if self.held.replace(item).is_some() {
            desk.ledger().dropped.superseded += 1;
        } else {
            desk.timer.start(self.period);
        }
        ControlFlow::Continue(())
    }

    fn give(&mut self, desk: &mut Desk, cx: &mut Context<'_>, _ended: bool) -> Poll<Option<T>> {
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
