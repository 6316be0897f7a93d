//! What every stream can do: [`OptimizeExt`].

use std::hash::Hash;
use std::time::Duration;

use futures_core::Stream;

use crate::above_zero::above_zero;
use crate::{
    Audit, Batch, Coalesce, Conflate, Debounce, Distinct, DistinctUntilChanged, Expire,
    FailOnOverflow, Groups, Itself, OnOverflow, Optimized, OverflowStrategy, Priority, Rate,
    RateLimit, Sample, Throttle, WindowCount, WindowTime,
};

/// Operators for any [`Stream`], those of a bus's subscribers among them.
///
/// Each is [`Unpin`] where its source is, and polls its source no more once that has ended. None
/// looks into items: where they are `Result`s, an error is an item like any other. Sizes and times
/// have to be above zero: one of zero panics where it is given, as with futures' `chunks` and
/// tokio's `interval`.
///
/// Names and behaviour are those of RxJS 7 where it has the operator, otherwise as is said. What
/// comes in the very moment in which a time ends belongs to what ends: as in RxJS's virtual time, where
/// the source has it at that poll.
///
/// # What a busy consumer does to time
///
/// An item comes when it is taken from the source, which is when somebody polls. So what was published
/// while the consumer was busy comes all at once: of it [`debounce`](Self::debounce) gives the last, and
/// [`window_time`](Self::window_time) puts it into one window, though the items were further apart. RxJS, where the source pushes, would
/// tell them apart. Where the times in between matter, let a task of its own poll the operator and hand
/// on what comes out, through a topic or a channel with room for what the consumer falls behind.
pub trait OptimizeExt: Stream {
    /// Several items at once: a batch comes out when it has `size` items, or `within` after its
    /// first item was taken from the source. See [`Batch`].
    ///
    /// Known as `bufferTimeout` in Reactor, and as `chunks_timeout` in tokio-stream. RxJS's
    /// `bufferTime` with a maximum reckons time from the batch before, and gives empty ones.
    ///
    /// # Panics
    ///
    /// If `size` or `within` is zero.
    #[track_caller]
    fn batch(self, size: usize, within: Duration) -> Optimized<Self, Batch<Self::Item>>
    where
        Self: Sized,
    {
        let size = above_zero("the size of a batch", size);
        let within = above_zero("the time of a batch", within);
        Optimized::new(self, Batch::new(size, within))
    }

    /// At most one item a period: the first comes out at once, and what comes within a period
    /// after it is dropped. See [`Throttle`], also for how to keep the last.
    ///
    /// Known as `throttleTime` in RxJS, with the same defaults.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    #[track_caller]
    fn throttle(self, period: Duration) -> Optimized<Self, Throttle<Self::Item>>
    where
        Self: Sized,
    {
        let period = above_zero("the period of a throttle", period);
        Optimized::new(self, Throttle::new(period))
    }

    /// An item once nothing has come for a while after it; those before it are dropped. See
    /// [`Debounce`], also for a limit to that.
    ///
    /// Known as `debounceTime` in RxJS.
    ///
    /// # Panics
    ///
    /// If `silence` is zero.
    #[track_caller]
    fn debounce(self, silence: Duration) -> Optimized<Self, Debounce<Self::Item>>
    where
        Self: Sized,
    {
        let silence = above_zero("the silence of a debounce", silence);
        Optimized::new(self, Debounce::new(silence))
    }

    /// The last item of each period that begins with an item. See [`Audit`].
    ///
    /// Known as `auditTime` in RxJS.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    #[track_caller]
    fn audit(self, period: Duration) -> Optimized<Self, Audit<Self::Item>>
    where
        Self: Sized,
    {
        let period = above_zero("the period of an audit", period);
        Optimized::new(self, Audit::new(period))
    }

    /// At each tick the newest item since the tick before. See [`Sample`].
    ///
    /// Known as `sampleTime` in RxJS.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    #[track_caller]
    fn sample(self, period: Duration) -> Optimized<Self, Sample<Self::Item>>
    where
        Self: Sized,
    {
        let period = above_zero("the period of a sample", period);
        Optimized::new(self, Sample::new(period))
    }

    /// No item that equals the one before. See [`DistinctUntilChanged`].
    ///
    /// Known by this name in RxJS.
    fn distinct_until_changed(
        self,
    ) -> Optimized<Self, DistinctUntilChanged<Self::Item, Itself<Self::Item>>>
    where
        Self: Sized,
        Self::Item: PartialEq + Clone,
    {
        Optimized::new(self, DistinctUntilChanged::new(Clone::clone))
    }

    /// No item with the same key as the one before. See [`DistinctUntilChanged`].
    ///
    /// Known as `distinctUntilKeyChanged` in RxJS.
    fn distinct_until_changed_by<K, F>(self, key: F) -> Optimized<Self, DistinctUntilChanged<K, F>>
    where
        Self: Sized,
        K: PartialEq,
        F: FnMut(&Self::Item) -> K,
    {
        Optimized::new(self, DistinctUntilChanged::new(key))
    }

    /// No item twice, as far as the last `bound` different ones can tell. See [`Distinct`].
    ///
    /// Known by this name in RxJS, where it has no bound.
    ///
    /// # Panics
    ///
    /// If `bound` is zero.
    #[track_caller]
    fn distinct(self, bound: usize) -> Optimized<Self, Distinct<Self::Item, Itself<Self::Item>>>
    where
        Self: Sized,
        Self::Item: Hash + Eq + Clone,
    {
        let bound = above_zero("the bound of keys that are remembered", bound);
        Optimized::new(self, Distinct::new(None, bound, Clone::clone))
    }

    /// No two items with the same key, as far as the last `bound` keys can tell. See [`Distinct`].
    ///
    /// # Panics
    ///
    /// If `bound` is zero.
    #[track_caller]
    fn distinct_by<K, F>(self, bound: usize, key: F) -> Optimized<Self, Distinct<K, F>>
    where
        Self: Sized,
        K: Hash + Eq + Clone,
        F: FnMut(&Self::Item) -> K,
    {
        let bound = above_zero("the bound of keys that are remembered", bound);
        Optimized::new(self, Distinct::new(None, bound, key))
    }

    /// No item that equals one that came out within this window before it, as far as the last
    /// `bound` different ones can tell. See [`Distinct`].
    ///
    /// # Panics
    ///
    /// If `window` or `bound` is zero.
    #[track_caller]
    fn distinct_within(
        self,
        window: Duration,
        bound: usize,
    ) -> Optimized<Self, Distinct<Self::Item, Itself<Self::Item>>>
    where
        Self: Sized,
        Self::Item: Hash + Eq + Clone,
    {
        let window = above_zero("the window in which nothing repeats", window);
        let bound = above_zero("the bound of keys that are remembered", bound);
        Optimized::new(self, Distinct::new(Some(window), bound, Clone::clone))
    }

    /// No item with the same key as one that came out within this window before it, as far as the
    /// last `bound` keys can tell. See [`Distinct`].
    ///
    /// # Panics
    ///
    /// If `window` or `bound` is zero.
    #[track_caller]
    fn distinct_within_by<K, F>(
        self,
        window: Duration,
        bound: usize,
        key: F,
    ) -> Optimized<Self, Distinct<K, F>>
    where
        Self: Sized,
        K: Hash + Eq + Clone,
        F: FnMut(&Self::Item) -> K,
    {
        let window = above_zero("the window in which nothing repeats", window);
        let bound = above_zero("the bound of keys that are remembered", bound);
        Optimized::new(self, Distinct::new(Some(window), bound, key))
    }

    /// Windows of `size` items, of which one begins every `every` items (at most `size`, so none is
    /// left out). See [`WindowCount`].
    ///
    /// Known as `bufferCount` in RxJS, which leaves items out where `every` is more than `size`, and as
    /// `sliding` in Pekko.
    ///
    /// # Panics
    ///
    /// If `size` or `every` is zero.
    #[track_caller]
    fn window_count(self, size: usize, every: usize) -> Optimized<Self, WindowCount<Self::Item>>
    where
        Self: Sized,
        Self::Item: Clone,
    {
        let size = above_zero("the size of a window", size);
        let every = above_zero("the distance of windows", every);
        Optimized::new(self, WindowCount::new(size, every))
    }

    /// Windows of so long a span, of which one begins every so often: `every` equal to `span` makes
    /// them tumble, less makes them slide (more counts as `span`, so no item is left out). None has
    /// more than `at_most` items. Less than a millisecond counts as one, and an `every` of less than
    /// a 1024th of `span` as that. See [`WindowTime`].
    ///
    /// Known as `bufferTime` in RxJS, which leaves gaps where `every` is more than `span`.
    ///
    /// # Panics
    ///
    /// If `span`, `every` or `at_most` is zero.
    #[track_caller]
    fn window_time(
        self,
        span: Duration,
        every: Duration,
        at_most: usize,
    ) -> Optimized<Self, WindowTime<Self::Item>>
    where
        Self: Sized,
        Self::Item: Clone,
    {
        let span = above_zero("the span of a window", span);
        let every = above_zero("the distance of windows", every);
        let at_most = above_zero("the most items of a window", at_most);
        Optimized::new(self, WindowTime::new(span, every, at_most))
    }

    /// Items merged into one state for as long as nobody takes it: `seed` makes a state of an
    /// item, and `merge` adds the next ones to it. See [`Conflate`], also for how to pace it.
    ///
    /// Known as `conflateWithSeed` in Pekko and Akka.
    fn conflate<A, F, M>(self, seed: F, merge: M) -> Optimized<Self, Conflate<A, F, M>>
    where
        Self: Sized,
        F: FnMut(Self::Item) -> A,
        M: FnMut(&mut A, Self::Item),
    {
        Optimized::new(self, Conflate::new(seed, merge))
    }

    /// Batches with one item a key: `merge` adds an item to the one of its key. See [`Coalesce`],
    /// also for how large they become and how long they wait.
    ///
    /// Found in no peer; for one key it is Pekko's `conflate`.
    fn coalesce_by_key<K, F, M>(
        self,
        key: F,
        merge: M,
    ) -> Optimized<Self, Coalesce<Self::Item, K, F, M>>
    where
        Self: Sized,
        K: Hash + Eq,
        F: FnMut(&Self::Item) -> K,
        M: FnMut(&mut Self::Item, Self::Item),
    {
        Optimized::new(self, Coalesce::new(key, merge))
    }

    /// A stream for each key, of the items with that key. See [`Groups`], also for when one ends and
    /// for how many there are.
    ///
    /// Known by this name in RxJS, where it has no bound.
    fn group_by<K, F>(self, key: F) -> Groups<Self, K, F>
    where
        Self: Sized,
        K: Hash + Eq + Clone,
        F: FnMut(&Self::Item) -> K,
    {
        Groups::new(self, key)
    }

    /// Of the items that are ready, at most `bound`, those of the highest level first. See
    /// [`Priority`].
    ///
    /// Pekko's `MergePrioritized` is this for sources, with weights.
    ///
    /// # Panics
    ///
    /// If `bound` is zero.
    #[track_caller]
    fn priority<L, F>(self, bound: usize, level: F) -> Optimized<Self, Priority<Self::Item, L, F>>
    where
        Self: Sized,
        L: Ord,
        F: FnMut(&Self::Item) -> L,
    {
        let bound = above_zero("the bound of items that wait by priority", bound);
        Optimized::new(self, Priority::new(bound, level))
    }

    /// No item that is older than a limit; `age` says how old one is. See [`Expire`].
    ///
    /// Found in no peer.
    ///
    /// # Panics
    ///
    /// If `limit` is zero.
    #[track_caller]
    fn expire_after<F>(self, limit: Duration, age: F) -> Optimized<Self, Expire<F>>
    where
        Self: Sized,
        F: FnMut(&Self::Item) -> Duration,
    {
        let limit = above_zero("the age at which items expire", limit);
        Optimized::new(self, Expire::new(limit, age))
    }

    /// Items at a rate: those that are too early wait. See [`RateLimit`], also for bursts and for
    /// how to drop them instead.
    ///
    /// Pekko's `throttle`, with `Shaping` and `Enforcing`.
    ///
    /// # Panics
    ///
    /// If the period of the rate is zero or more than [`MAX_PERIOD`](crate::MAX_PERIOD), as that of
    /// `per_second(0)` is.
    #[track_caller]
    fn rate_limit(self, rate: Rate) -> Optimized<Self, RateLimit<Self::Item>>
    where
        Self: Sized,
    {
        Optimized::new(self, RateLimit::new(rate))
    }

    /// A buffer of `size` items, and what happens when it is full. See [`OnOverflow`].
    ///
    /// Known as `buffer` with an `OverflowStrategy` in Pekko, and as `onBackpressureBuffer` in
    /// Reactor.
    ///
    /// # Panics
    ///
    /// If `size` is zero.
    #[track_caller]
    fn on_overflow(
        self,
        size: usize,
        overflow: OverflowStrategy,
    ) -> Optimized<Self, OnOverflow<Self::Item>>
    where
        Self: Sized,
    {
        let size = above_zero("the size of a buffer", size);
        Optimized::new(self, OnOverflow::new(size, overflow))
    }

    /// A buffer of `size` items, and an error when it is full. See [`FailOnOverflow`].
    ///
    /// Pekko's `OverflowStrategy.fail`, and Reactor's `onBackpressureBuffer`.
    ///
    /// # Panics
    ///
    /// If `size` is zero.
    #[track_caller]
    fn fail_on_overflow(self, size: usize) -> Optimized<Self, FailOnOverflow<Self::Item>>
    where
        Self: Sized,
    {
        let size = above_zero("the size of a buffer", size);
        Optimized::new(self, FailOnOverflow::new(size))
    }
}

impl<S: Stream + ?Sized> OptimizeExt for S {}
