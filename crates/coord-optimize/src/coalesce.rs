//! Items merged by key: [`Coalesce`].

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::mem;
use std::ops::ControlFlow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::Optimized;
use crate::optimized::{Desk, Operator, Taken};

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
    at_most: usize,
    within: Duration,
    held: Vec<T>,
    places: HashMap<K, usize>,
}

impl<T, K, F, M> Coalesce<T, K, F, M> {
    pub(crate) fn new(key: F, merge: M) -> Self {
        Self {
            key,
            merge,
            at_most: DEFAULT_KEYS,
            within: Duration::ZERO,
            held: Vec::new(),
            places: HashMap::new(),
        }
    }

    fn flush(&mut self, desk: &mut Desk) -> Option<Vec<T>> {
        self.places.clear();
        desk.timer.stop();
        desk.ledger().given_out += self.held.len() as u64;
        Some(mem::take(&mut self.held))
    }
}

impl<S: Stream, K, F, M> Optimized<S, Coalesce<S::Item, K, F, M>> {
    /// At most so many keys in a batch: 1000 by default; 0 counts as 1.
    pub fn at_most(mut self, keys: usize) -> Self {
        self.operator.at_most = keys.max(1);
        self
    }

    /// A batch waits so long for more: by default not at all.
    pub fn within(mut self, time: Duration) -> Self {
        self.operator.within = time;
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
            (self.merge)(&mut self.held[*place], item);
            desk.ledger().merged += 1;
            return ControlFlow::Continue(());
        }
        if self.held.is_empty() {
            desk.timer.start(self.within);
        }
        self.places.insert(key, self.held.len());
        self.held.push(item);
        if self.held.len() == self.at_most {
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
}

impl<T, K, F, M> fmt::Debug for Coalesce<T, K, F, M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Coalesce")
            .field("at_most", &self.at_most)
            .field("within", &self.within)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}
