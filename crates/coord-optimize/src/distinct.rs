//! No item twice: [`DistinctUntilChanged`] and [`Distinct`].

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::ops::ControlFlow;
use std::task::{Context, Poll};
use std::time::Duration;

use coord_bus::time::Instant;

use crate::optimized::{Desk, Operator, Taken};

/// The key of an item that is a key itself.
pub type Itself<T> = fn(&T) -> T;

/// The operator of [`OptimizeExt::distinct_until_changed`] and
/// [`OptimizeExt::distinct_until_changed_by`]: of items with the same key in a row, the first.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter};
///
/// let states = iter(["up", "up", "down", "up"]).distinct_until_changed();
/// assert_eq!(states.collect::<Vec<_>>().await, ["up", "down", "up"]);
/// # }
/// ```
///
/// [`OptimizeExt::distinct_until_changed`]: crate::OptimizeExt::distinct_until_changed
/// [`OptimizeExt::distinct_until_changed_by`]: crate::OptimizeExt::distinct_until_changed_by
pub struct DistinctUntilChanged<K, F> {
    key: F,
    last: Option<K>,
}

impl<K, F> DistinctUntilChanged<K, F> {
    pub(crate) fn new(key: F) -> Self {
        Self { key, last: None }
    }
}

impl<T, K: PartialEq, F: FnMut(&T) -> K> Operator<T> for DistinctUntilChanged<K, F> {
    type Out = T;

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<T> {
        let key = (self.key)(&item);
        if self.last.as_ref() == Some(&key) {
            desk.ledger().dropped.repeated += 1;
            return ControlFlow::Continue(());
        }
        self.last = Some(key);
        ControlFlow::Break(desk.out(item))
    }

    fn give(&mut self, _: &mut Desk, _: &mut Context<'_>, _: bool) -> Poll<Option<T>> {
        Poll::Ready(None)
    }

    fn held(&self) -> usize {
        0
    }
}

/// The operator of [`OptimizeExt::distinct`], [`OptimizeExt::distinct_within`] and their variants by
/// key: an item whose key has come out already is dropped, for as long as that key is remembered.
///
/// At most `bound` keys are remembered. One more, and that is forgotten which came out first: an
/// item with this key comes out again. A repeat does not make a key younger. With a window, a key
/// is forgotten so long after its item came out.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter};
///
/// let seen = iter([1, 2, 1, 3, 1]).distinct(2);
/// // 3 is the third key, so 1 is forgotten.
/// assert_eq!(seen.collect::<Vec<_>>().await, [1, 2, 3, 1]);
/// # }
/// ```
///
/// [`OptimizeExt::distinct`]: crate::OptimizeExt::distinct
/// [`OptimizeExt::distinct_within`]: crate::OptimizeExt::distinct_within
pub struct Distinct<K, F> {
    key: F,
    window: Option<Duration>,
    bound: usize,
    seen: HashSet<K>,
    /// The oldest first, each with when it came out if there is a window.
    order: VecDeque<(K, Option<Instant>)>,
}

impl<K, F> Distinct<K, F> {
    pub(crate) fn new(window: Option<Duration>, bound: usize, key: F) -> Self {
        Self {
            key,
            window,
            bound,
            seen: HashSet::new(),
            order: VecDeque::new(),
        }
    }
}

impl<K: Hash + Eq + Clone, F> Distinct<K, F> {
    /// Forgets what is older than the window. What came out exactly that long ago still counts.
    fn forget(&mut self, now: Option<Instant>) {
        let (Some(window), Some(now)) = (self.window, now) else {
            return;
        };
        while let Some((key, Some(at))) = self.order.front()
            && now.saturating_duration_since(*at) > window
        {
            self.seen.remove(key);
            self.order.pop_front();
        }
    }
}

impl<T, K: Hash + Eq + Clone, F: FnMut(&T) -> K> Operator<T> for Distinct<K, F> {
    type Out = T;

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<T> {
        let now = self.window.map(|_| Instant::now());
        self.forget(now);
        let key = (self.key)(&item);
        if self.seen.contains(&key) {
            desk.ledger().dropped.repeated += 1;
            return ControlFlow::Continue(());
        }
        if self.order.len() == self.bound
            && let Some((oldest, _)) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.seen.insert(key.clone());
        self.order.push_back((key, now));
        ControlFlow::Break(desk.out(item))
    }

    fn give(&mut self, _: &mut Desk, _: &mut Context<'_>, _: bool) -> Poll<Option<T>> {
        Poll::Ready(None)
    }

    fn held(&self) -> usize {
        0
    }
}

impl<K: fmt::Debug, F> fmt::Debug for DistinctUntilChanged<K, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DistinctUntilChanged")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl<K, F> fmt::Debug for Distinct<K, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Distinct")
            .field("window", &self.window)
            .field("bound", &self.bound)
            .field("seen", &self.seen.len())
            .finish_non_exhaustive()
    }
}
