//! Several items at once: [`Batch`].

use std::mem;
use std::ops::ControlFlow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::optimized::{Desk, Operator, Taken};

/// The operator of [`OptimizeExt::batch`](crate::OptimizeExt::batch): the items of a source, in
/// their order, in batches that are never empty.
///
/// A batch comes out when it is full, when its time is up, or when the source ends. Its time
/// runs from the moment when its first item was taken from the source, and passes also while
/// nobody polls: then the batch comes out at the next poll, with what is ready by then. Nothing
/// is taken beyond one batch, so a consumer that does not take it holds up the source.
///
/// This is Reactor's `bufferTimeout`; RxJS's `bufferTime` with a maximum differs in that its time runs
/// from the batch before, so that where nothing comes it gives empty batches.
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
#[derive(Debug)]
pub struct Batch<T> {
    pub(crate) size: usize,
    pub(crate) within: Duration,
    pub(crate) held: Vec<T>,
    /// As much room as the last batch needed is made for the next.
    last: usize,
}

impl<T> Batch<T> {
    pub(crate) fn new(size: usize, within: Duration) -> Self {
        Self {
            size,
            within,
            held: Vec::new(),
            last: 0,
        }
    }

    /// What is held comes out.
    fn flush(&mut self, desk: &mut Desk) -> Option<Vec<T>> {
        self.last = self.held.len();
        desk.timer.stop();
        desk.ledger().given_out += self.held.len() as u64;
        Some(mem::take(&mut self.held))
    }
}

impl<T> Operator<T> for Batch<T> {
    type Out = Vec<T>;

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<Vec<T>> {
        if self.held.is_empty() {
            self.held.reserve(self.last);
            desk.timer.start(self.within);
        }
        self.held.push(item);
        if self.held.len() == self.size {
            return ControlFlow::Break(self.flush(desk));
        }
        ControlFlow::Continue(())
    }

    fn give(&mut self, desk: &mut Desk, cx: &mut Context<'_>, ended: bool) -> Poll<Option<Vec<T>>> {
        if self.held.is_empty() {
            return Poll::Ready(None);
        }
        if !ended {
            ready!(desk.timer.poll(cx));
        }
        Poll::Ready(self.flush(desk))
    }

    fn held(&self) -> usize {
        self.held.len()
    }

    fn hint(&self, (least, most): (usize, Option<usize>)) -> (usize, Option<usize>) {
        let least = least.saturating_add(self.held.len()).div_ceil(self.size);
        let begun = usize::from(!self.held.is_empty());
        (least, most.and_then(|most| most.checked_add(begun)))
    }
}
