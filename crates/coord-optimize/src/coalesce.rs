//! Items merged by key: [`Coalesce`].

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::ops::ControlFlow;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use crate::above_zero::above_zero;
use crate::optimized::{Desk, Operator, Taken};
use crate::{Batch, Optimized};

/// How many keys [`Coalesce`] holds where nothing else is said.
pub const DEFAULT_KEYS: usize = 1000;

/// The operator of [`OptimizeExt::coalesce_by_key`](crate::OptimizeExt::coalesce_by_key): batches
/// in which each key has one item, merged from all that came; in the order in which keys came
/// first.
///
/// A batch comes out when it has [`at_most`](Optimized::at_most) keys, [`within`](Optimized::within)
/// a time of its first item, or when the source ends: as with [`Batch`](crate::Batch). By default
/// that time is zero, so it is what is ready: the slower the consumer, the more is merged.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter};
///
/// let clicks = iter([("save", 1), ("open", 1), ("save", 1)]);
/// let mut counts = clicks.coalesce_by_key(|click| click.0, |sum, click| sum.1 += click.1);
/// assert_eq!(counts.next().await, Some(vec![("save", 2), ("open", 1)]));
/// # }
/// ```
pub struct Coalesce<T, K, F, M> {
    key: F,
    merge: M,
    /// The items of the keys that have come.
    batch: Batch<T>,
    /// Where in it each key is.
    places: HashMap<K, usize>,
}

impl<T, K, F, M> Coalesce<T, K, F, M> {
    pub(crate) fn new(key: F, merge: M) -> Self {
        Self {
            key,
            merge,
            batch: Batch::new(DEFAULT_KEYS, Duration::ZERO),
            places: HashMap::new(),
        }
    }
}

impl<S: Stream, K, F, M> Optimized<S, Coalesce<S::Item, K, F, M>> {
    /// At most so many keys in a batch: [`DEFAULT_KEYS`] by default.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn at_most(mut self, keys: usize) -> Self {
        self.operator.batch.size = above_zero("the most keys of a batch", keys);
        self
    }

    /// A batch waits so long for more: by default not at all.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn within(mut self, time: Duration) -> Self {
        self.operator.batch.within = above_zero("the time of a batch", time);
        self
    }
}

impl<T, K, F, M> Operator<T> for Coalesce<T, K, F, M>
where
    K: Hash + Eq,
    F: FnMut(&T) -> K,
    M: FnMut(&mut T, T),
{
    type Out = Vec<T>;

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<Vec<T>> {
        let key = (self.key)(&item);
        if let Some(place) = self.places.get(&key) {
            (self.merge)(&mut self.batch.held[*place], item);
            desk.ledger().merged += 1;
            return ControlFlow::Continue(());
        }
        self.places.insert(key, self.batch.held());
        let taken = self.batch.take(item, desk);
        if taken.is_break() {
            self.places.clear();
        }
        taken
    }

    fn give(&mut self, desk: &mut Desk, cx: &mut Context<'_>, ended: bool) -> Poll<Option<Vec<T>>> {
        let given = self.batch.give(desk, cx, ended);
        if given.is_ready() {
            self.places.clear();
        }
        given
    }

    fn held(&self) -> usize {
        self.batch.held()
    }
}

impl<T, K, F, M> fmt::Debug for Coalesce<T, K, F, M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Coalesce")
            .field("at_most", &self.batch.size)
            .field("within", &self.batch.within)
            .field("held", &self.batch.held.len())
            .finish_non_exhaustive()
    }
}
