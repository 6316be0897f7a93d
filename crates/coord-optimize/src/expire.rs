//! Nothing that is too old: [`Expire`].

use std::fmt;
use std::ops::ControlFlow;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::optimized::{Desk, Operator, Taken};

/// The operator of [`OptimizeExt::expire_after`](crate::OptimizeExt::expire_after): an item that is
/// older than a limit is dropped as it would come out.
///
/// How old an item is, only the caller can say: by the clock that it was written by. So what has
/// waited in the source, or before it, counts too.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::{Duration, Instant};
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter};
///
/// let quotes = iter([(Instant::now() - Duration::from_secs(9), 101), (Instant::now(), 102)]);
/// let fresh = quotes.expire_after(Duration::from_secs(5), |quote| quote.0.elapsed());
/// assert_eq!(fresh.map(|quote| quote.1).collect::<Vec<_>>().await, [102]);
/// # }
/// ```
pub struct Expire<F> {
    limit: Duration,
    age: F,
}

impl<F> Expire<F> {
    pub(crate) fn new(limit: Duration, age: F) -> Self {
        Self { limit, age }
    }
}

impl<T, F: FnMut(&T) -> Duration> Operator<T> for Expire<F> {
    type Out = T;

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<T> {
        if (self.age)(&item) > self.limit {
            desk.ledger().dropped.expired += 1;
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(desk.out(item))
    }

    fn give(&mut self, _: &mut Desk, _: &mut Context<'_>, _: bool) -> Poll<Option<T>> {
        Poll::Ready(None)
    }

    fn held(&self) -> usize {
        0
    }
}

impl<F> fmt::Debug for Expire<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Expire")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
