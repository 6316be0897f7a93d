//! What every stream can do: [`OptimizeExt`].

use std::time::Duration;

use futures_core::Stream;

use crate::{Batch, Conflate, Throttle};

/// Operators for any [`Stream`], those of a bus's subscribers among them.
///
/// Each is [`Unpin`] where its source is, and polls its source no more once that has ended.
pub trait OptimizeExt: Stream {
    /// Several items at once: a batch comes out when it has `size` items (0 counts as 1), or
    /// `within` after its first item was taken from the source. See [`Batch`].
    ///
    /// Known as `bufferTimeout` in Reactor, and as `chunks_timeout` in tokio-stream.
    fn batch(self, size: usize, within: Duration) -> Batch<Self>
    where
        Self: Sized,
    {
        Batch::new(self, size, within)
    }

    /// At most one item a period: the first comes out at once, and what comes within a period
    /// after it is dropped. See [`Throttle`], also for how to keep the last.
    ///
    /// Known as `throttleTime` in RxJS, with the same defaults.
    fn throttle(self, period: Duration) -> Throttle<Self>
    where
        Self: Sized,
    {
        Throttle::new(self, period)
    }

    /// Items merged into one state for as long as nobody takes it: `seed` makes a state of an
    /// item, and `merge` adds the next ones to it. See [`Conflate`], also for how to pace it.
    ///
    /// Known as `conflateWithSeed` in Pekko and Akka.
    fn conflate<A, F, M>(self, seed: F, merge: M) -> Conflate<Self, A, F, M>
    where
        Self: Sized,
        F: FnMut(Self::Item) -> A,
        M: FnMut(&mut A, Self::Item),
    {
        Conflate::new(self, seed, merge)
    }
}

impl<S: Stream + ?Sized> OptimizeExt for S {}
