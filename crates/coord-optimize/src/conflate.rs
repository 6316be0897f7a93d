//! Items merged while nobody takes them: [`Conflate`].

use std::fmt;
use std::ops::ControlFlow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::Optimized;
use crate::above_zero::above_zero;
use crate::optimized::{Desk, Operator, Taken};

/// The operator of [`OptimizeExt::conflate`](crate::OptimizeExt::conflate): states, each merged
/// from all items since the one before.
///
/// Each poll takes what the source has ready, at most 128 items, and gives out the state that
/// they are merged into. So a consumer that is slow gets fewer states, and none is out of date
/// when it comes.
///
/// With [`every`](Optimized::every), states come at most one a period. While a state waits for its
/// turn, items are still taken and merged into it, so a lossless source is not held up for as
/// long as this is polled. A consumer that does other work between two polls holds it up for
/// that long: where that is too long, conflate in a task of its own.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::collections::BTreeMap;
/// use std::time::Duration;
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter};
///
/// // What changed on a screen: of each part the latest, drawn at most every 16 ms.
/// let updates = iter([("bar", 10), ("clock", 1), ("bar", 20)]);
/// let mut frames = updates
///     .conflate(|(part, value)| BTreeMap::from([(part, value)]), |frame, (part, value)| {
///         frame.insert(part, value);
///     })
///     .every(Duration::from_millis(16));
/// assert_eq!(frames.next().await, Some(BTreeMap::from([("bar", 20), ("clock", 1)])));
/// assert_eq!(frames.next().await, None);
/// # }
/// ```
///
/// # Memory
///
/// One state is held, and it is as large as `merge` makes it. A map with an entry for each
/// part of a screen is bounded by the screen; a list to which `merge` pushes is not bounded.
pub struct Conflate<A, F, M> {
    seed: F,
    merge: M,
    held: Option<A>,
    period: Duration,
}

impl<A, F, M> Conflate<A, F, M> {
    pub(crate) fn new(seed: F, merge: M) -> Self {
        Self {
            seed,
            merge,
            held: None,
            period: Duration::ZERO,
        }
    }

    /// With another period, from the next state on.
    pub(crate) fn repace(&mut self, period: Duration) {
        self.period = period;
    }
}

impl<S: Stream, A, F, M> Optimized<S, Conflate<A, F, M>> {
    /// At most one state a period: the first at once, and each of the others a period after the
    /// one before, or later if there was nothing to tell. The last state always comes, also where
    /// the source ends: when its turn has come.
    ///
    /// By default there is no such period.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn every(mut self, period: Duration) -> Self {
        self.operator.period = above_zero("the period of conflated states", period);
        self
    }
}

impl<T, A, F, M> Operator<T> for Conflate<A, F, M>
where
    F: FnMut(T) -> A,
    M: FnMut(&mut A, T),
{
    type Out = A;

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<A> {
        if let Some(state) = &mut self.held {
            (self.merge)(state, item);
            desk.ledger().merged += 1;
        } else {
            self.held = Some((self.seed)(item));
        }
        ControlFlow::Continue(())
    }

    fn give(&mut self, desk: &mut Desk, cx: &mut Context<'_>, _ended: bool) -> Poll<Option<A>> {
        if self.held.is_none() {
            return Poll::Ready(None);
        }
        ready!(desk.timer.poll(cx));
        desk.timer.start(self.period);
        Poll::Ready(self.held.take().and_then(|state| desk.out(state)))
    }

    fn held(&self) -> usize {
        usize::from(self.held.is_some())
    }

    fn hint(&self, (least, most): (usize, Option<usize>)) -> (usize, Option<usize>) {
        let held = usize::from(self.held.is_some());
        let most = most.and_then(|most| most.checked_add(held));
        (held.max(least.min(1)), most)
    }
}

// By hand, so that it asks nothing of closures.
impl<A: fmt::Debug, F, M> fmt::Debug for Conflate<A, F, M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Conflate")
            .field("held", &self.held)
            .field("period", &self.period)
            .finish_non_exhaustive()
    }
}
