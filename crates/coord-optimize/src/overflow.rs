//! A buffer between a fast source and a slow consumer: [`OnOverflow`], [`FailOnOverflow`].

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::task::{Context, Poll};

use crate::OptimizeError;
use crate::optimized::{Desk, Operator, Taken};

/// What a buffer does with an item for which it has no room; for one that fails instead, see
/// [`fail_on_overflow`](crate::OptimizeExt::fail_on_overflow). The names are Pekko's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverflowStrategy {
    /// It takes no more from the source until there is room: nothing is lost.
    #[default]
    Backpressure,
    /// The oldest item that it holds is dropped.
    DropOldest,
    /// The item is dropped.
    DropNewest,
    /// All items that it holds are dropped.
    DropBuffer,
    /// It holds one item, the newest, whatever its size: Reactor's `onBackpressureLatest`.
    Latest,
}

/// The operator of [`OptimizeExt::on_overflow`](crate::OptimizeExt::on_overflow): a buffer, and what
/// becomes of an item for which it has no room.
///
/// Each poll takes what the source has ready, at most 128 items, and then the oldest that is held
/// comes out. So the buffer overflows where a source gives more between two polls than it holds;
/// what the source keeps meanwhile is its own business.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use coord_optimize::{OptimizeExt, OverflowStrategy};
/// use tokio_stream::{StreamExt, iter};
///
/// let recent = iter(1..=9).on_overflow(3, OverflowStrategy::DropOldest);
/// assert_eq!(recent.collect::<Vec<_>>().await, [7, 8, 9]);
/// # }
/// ```
#[derive(Debug)]
pub struct OnOverflow<T> {
    size: usize,
    overflow: OverflowStrategy,
    held: VecDeque<T>,
}

impl<T> OnOverflow<T> {
    pub(crate) fn new(size: usize, overflow: OverflowStrategy) -> Self {
        let size = if overflow == OverflowStrategy::Latest {
            1
        } else {
            size
        };
        Self {
            size,
            overflow,
            held: VecDeque::new(),
        }
    }
}

impl<T> Operator<T> for OnOverflow<T> {
    type Out = T;

    fn wants(&self) -> bool {
        self.overflow != OverflowStrategy::Backpressure || self.held.len() < self.size
    }

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<T> {
        if self.held.len() == self.size {
            let gone = match self.overflow {
                OverflowStrategy::DropNewest => {
                    desk.ledger().dropped.overflowed += 1;
                    return ControlFlow::Continue(());
                }
                OverflowStrategy::DropBuffer => self.held.len(),
                OverflowStrategy::Backpressure
                | OverflowStrategy::DropOldest
                | OverflowStrategy::Latest => 1,
            };
            self.held.drain(..gone);
            desk.ledger().dropped.overflowed += gone as u64;
        }
        self.held.push_back(item);
        if self.wants() {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(None)
    }

    fn give(&mut self, desk: &mut Desk, _: &mut Context<'_>, _: bool) -> Poll<Option<T>> {
        Poll::Ready(self.held.pop_front().and_then(|item| desk.out(item)))
    }

    fn held(&self) -> usize {
        self.held.len()
    }
}

/// The operator of [`OptimizeExt::fail_on_overflow`](crate::OptimizeExt::fail_on_overflow): a buffer
/// that may not overflow. If it does, what it holds comes out, then
/// [`OptimizeError::Overflow`], and then the stream ends: as in Reactor.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use coord_optimize::{OptimizeError, OptimizeExt};
/// use tokio_stream::{StreamExt, iter};
///
/// let mut items = iter(1..=9).fail_on_overflow(2);
/// assert_eq!(items.next().await.unwrap().unwrap(), 1);
/// assert_eq!(items.next().await.unwrap().unwrap(), 2);
/// let error = items.next().await.unwrap().unwrap_err();
/// assert!(matches!(error, OptimizeError::Overflow { size: 2 }));
/// assert!(items.next().await.is_none());
/// # }
/// ```
#[derive(Debug)]
pub struct FailOnOverflow<T> {
    size: usize,
    held: VecDeque<T>,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Well,
    Overflowed,
    Told,
}

impl<T> FailOnOverflow<T> {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            held: VecDeque::new(),
            state: State::Well,
        }
    }
}

impl<T> Operator<T> for FailOnOverflow<T> {
    type Out = Result<T, OptimizeError>;

    fn wants(&self) -> bool {
        self.state == State::Well
    }

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<Self::Out> {
        if self.held.len() == self.size {
            desk.ledger().dropped.overflowed += 1;
            self.state = State::Overflowed;
            return ControlFlow::Break(None);
        }
        self.held.push_back(item);
        ControlFlow::Continue(())
    }

    fn give(&mut self, desk: &mut Desk, _: &mut Context<'_>, _: bool) -> Poll<Option<Self::Out>> {
        if let Some(item) = self.held.pop_front() {
            return Poll::Ready(desk.out(Ok(item)));
        }
        if self.state == State::Overflowed {
            self.state = State::Told;
            let size = self.size;
            return Poll::Ready(Some(Err(OptimizeError::Overflow { size })));
        }
        Poll::Ready(None)
    }

    fn held(&self) -> usize {
        self.held.len()
    }

    fn over(&self) -> bool {
        self.state == State::Told
    }
}
