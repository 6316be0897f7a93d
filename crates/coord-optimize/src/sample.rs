//! The newest item at each tick of a clock: [`Sample`].

use std::ops::ControlFlow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::grid::Grid;
use crate::optimized::{Desk, Operator, Taken};

/// The operator of [`OptimizeExt::sample`](crate::OptimizeExt::sample): at each tick, the newest
/// item since the tick before, if there is one; the others are dropped.
///
/// The first tick is a period after the first poll. An item that comes at a tick is the sample of
/// that tick, unless that has had one. When the source ends, what is held comes out at once (RxJS
/// drops it).
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::time::Duration;
/// use coord_bus::time;
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter, pending};
///
/// let mut loads = iter([0.5, 0.7]).chain(pending()).sample(Duration::from_secs(1));
/// assert_eq!(loads.next().await, Some(0.7)); // a second later
/// # }
/// ```
#[derive(Debug)]
pub struct Sample<T> {
    ticks: Grid,
    held: Option<T>,
}

impl<T> Sample<T> {
    pub(crate) fn new(period: Duration) -> Self {
        Self {
            ticks: Grid::new(period),
            held: None,
        }
    }

    fn tick(&mut self, desk: &mut Desk) -> Option<T> {
        desk.timer.stop();
        self.held.take().and_then(|newest| desk.out(newest))
    }
}

impl<T> Operator<T> for Sample<T> {
    type Out = T;

    fn late(&mut self, desk: &mut Desk) -> Option<T> {
        self.ticks.begin();
        if !desk.timer.has_passed() {
            return None;
        }
        self.tick(desk)
    }

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<T> {
        if self.held.replace(item).is_some() {
            desk.ledger().dropped.superseded += 1;
        } else {
            desk.timer.start_until(self.ticks.next());
        }
        ControlFlow::Continue(())
    }

    fn give(&mut self, desk: &mut Desk, cx: &mut Context<'_>, ended: bool) -> Poll<Option<T>> {
        if self.held.is_none() {
            return Poll::Ready(None);
        }
        if !ended {
            ready!(desk.timer.poll(cx));
        }
        Poll::Ready(self.tick(desk))
    }

    fn held(&self) -> usize {
        usize::from(self.held.is_some())
    }
}
