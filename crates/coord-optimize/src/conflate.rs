//! Items merged while nobody takes them: [`Conflate`].

use std::fmt;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::intake::Intake;
use crate::timer::Timer;

pin_project! {
    /// The stream of [`OptimizeExt::conflate`](crate::OptimizeExt::conflate): states, each merged
    /// from all items since the one before.
    ///
    /// Each poll takes what the source has ready, at most 128 items, and gives out the state that
    /// they are merged into. So a consumer that is slow gets fewer states, and none is out of date
    /// when it comes.
    ///
    /// With [`every`](Self::every), states come at most one a period. While a state waits for its
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
    ///
    /// # Cancel safety
    ///
    /// Dropping the future of a `next()` loses nothing: the state stays in the stream.
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct Conflate<S: Stream, A, F, M> {
        #[pin]
        source: Intake<S>,
        seed: F,
        merge: M,
        held: Option<A>,
        seeded: u64,
        merged: u64,
        period: Duration,
        turn: Timer,
    }
}

impl<S: Stream, A, F, M> Conflate<S, A, F, M> {
    pub(crate) fn new(source: S, seed: F, merge: M) -> Self {
        Self {
            source: Intake::new(source),
            seed,
            merge,
            held: None,
            seeded: 0,
            merged: 0,
            period: Duration::ZERO,
            turn: Timer::default(),
        }
    }

    /// At most one state a period: the first at once, and each of the others a period after the
    /// one before, or later if there was nothing to tell. The last state always comes, also where
    /// the source ends: when its turn has come.
    pub fn every(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// How many items have been merged into a state that another item had begun.
    pub fn merged(&self) -> u64 {
        self.merged
    }

    /// How many items have been taken.
    pub(crate) fn taken(&self) -> u64 {
        self.seeded + self.merged
    }

    /// How many states are held: 0 or 1.
    pub(crate) fn held(&self) -> u64 {
        u64::from(self.held.is_some())
    }

    /// With another period, from the next state on.
    pub(crate) fn repace(self: Pin<&mut Self>, period: Duration) {
        *self.project().period = period;
    }
}

impl<S, A, F, M> Stream for Conflate<S, A, F, M>
where
    S: Stream,
    F: FnMut(S::Item) -> A,
    M: FnMut(&mut A, S::Item),
{
    type Item = A;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<A>> {
        let this = self.project();
        let held = this.held;
        let taken = this.source.poll_each(cx, |item| {
            if let Some(state) = held {
                (this.merge)(state, item);
                *this.merged += 1;
            } else {
                *held = Some((this.seed)(item));
                *this.seeded += 1;
            }
            ControlFlow::<()>::Continue(())
        });
        if held.is_none() {
            return taken.map(|_| None);
        }
        ready!(this.turn.poll(cx));
        this.turn.start(*this.period);
        Poll::Ready(held.take())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let held = usize::from(self.held.is_some());
        let (least, most) = self.source.size_hint();
        let most = most.and_then(|most| most.checked_add(held));
        (held.max(least.min(1)), most)
    }
}

// By hand, so that it asks nothing of closures.
impl<S: Stream + fmt::Debug, A: fmt::Debug, F, M> fmt::Debug for Conflate<S, A, F, M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Conflate")
            .field("source", &self.source)
            .field("held", &self.held)
            .field("merged", &self.merged)
            .field("period", &self.period)
            .finish_non_exhaustive()
    }
}
