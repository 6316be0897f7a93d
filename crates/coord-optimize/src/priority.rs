//! What matters more first: [`Priority`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::ControlFlow;
use std::task::{Context, Poll};

use crate::optimized::{Desk, Operator, Taken};

/// Each time that so many items have come out, the one that has waited longest is next.
const OLDEST_EVERY: u64 = 8;

/// The operator of [`OptimizeExt::priority`](crate::OptimizeExt::priority): of the items that are
/// ready, those of the highest level first, and within a level in their order.
///
/// Nothing starves: every eighth item to come out is the one that has waited longest, whatever its
/// level. At most `bound` items are held; then the source waits, so what matters most may have to
/// wait there for one item to come out.
///
/// To merge streams by level, give each its level and merge them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter};
///
/// let lines = iter(["one", "two"]).map(|line| (0, line));
/// let faults = iter(["fault"]).map(|line| (9, line));
/// let shown = lines.merge(faults).priority(100, |item| item.0).map(|item| item.1);
/// assert_eq!(shown.collect::<Vec<_>>().await, ["fault", "one", "two"]);
/// # }
/// ```
pub struct Priority<T, L, F> {
    level: F,
    bound: usize,
    /// By level, each item with its number in the source. No level is empty.
    held: BTreeMap<L, VecDeque<(u64, T)>>,
    count: usize,
    taken: u64,
    given: u64,
}

impl<T, L: Ord, F> Priority<T, L, F> {
    pub(crate) fn new(bound: usize, level: F) -> Self {
        Self {
            level,
            bound,
            held: BTreeMap::new(),
            count: 0,
            taken: 0,
            given: 0,
        }
    }

    fn next(&mut self) -> Option<T> {
        self.given += 1;
        let mut level = self.held.last_entry()?;
        if self.given.is_multiple_of(OLDEST_EVERY) {
            // Each level's first has waited longest in it.
            let first = |items: &VecDeque<(u64, T)>| items.front().map(|item| item.0);
            let oldest = self.held.values().filter_map(first).min();
            let items = self.held.values_mut();
            let items = items.filter(|items| first(items) == oldest).last()?;
            let item = items.pop_front();
            self.held.retain(|_, items| !items.is_empty());
            return item.map(|item| item.1);
        }
        let item = level.get_mut().pop_front();
        if level.get().is_empty() {
            level.remove();
        }
        item.map(|item| item.1)
    }
}

impl<T, L: Ord, F: FnMut(&T) -> L> Operator<T> for Priority<T, L, F> {
    type Out = T;

    fn wants(&self) -> bool {
        self.count < self.bound
    }

    fn take(&mut self, item: T, _: &mut Desk) -> Taken<T> {
        let level = (self.level)(&item);
        let items = self.held.entry(level).or_default();
        items.push_back((self.taken, item));
        self.taken += 1;
        self.count += 1;
        if self.wants() {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(None)
    }

    fn give(&mut self, desk: &mut Desk, _: &mut Context<'_>, _: bool) -> Poll<Option<T>> {
        if self.count == 0 {
            return Poll::Ready(None);
        }
        self.count -= 1;
        Poll::Ready(self.next().and_then(|item| desk.out(item)))
    }

    fn held(&self) -> usize {
        self.count
    }
}

impl<T, L, F> fmt::Debug for Priority<T, L, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Priority")
            .field("bound", &self.bound)
            .field("held", &self.count)
            .finish_non_exhaustive()
    }
}
