//! The last item before a silence: [`Debounce`].

use std::ops::ControlFlow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coord_bus::time::Instant;
use futures_core::Stream;

use crate::Optimized;
use crate::above_zero::above_zero;
use crate::optimized::{Desk, Operator, Taken};
use crate::timer::after;

/// The operator of [`OptimizeExt::debounce`](crate::OptimizeExt::debounce): an item comes out once
/// nothing has come for a while after it; those before it are dropped.
///
/// When the source ends, what is held comes out at once. Time passes also while nobody polls, but an
/// item comes when it is polled for: see [what a busy consumer
/// does](crate::OptimizeExt#what-a-busy-consumer-does-to-time).
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use std::time::Duration;
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter};
///
/// let typed = iter(["h", "he", "hel", "help"]);
/// let mut searched = typed.debounce(Duration::from_millis(300)).max_wait(Duration::from_secs(1));
/// assert_eq!(searched.next().await, Some("help"));
/// assert_eq!(searched.ledger().dropped.superseded, 3);
/// # }
/// ```
#[derive(Debug)]
pub struct Debounce<T> {
    silence: Duration,
    max_wait: Option<Duration>,
    leading: bool,
    held: Option<T>,
    /// Whether an item has come since the timer was set.
    fresh: bool,
    /// When what is held comes out at the latest.
    latest: Option<Instant>,
    /// When there has been a silence.
    quiet: Option<Instant>,
}

impl<T> Debounce<T> {
    pub(crate) fn new(silence: Duration) -> Self {
        Self {
            silence,
            max_wait: None,
            leading: false,
            held: None,
            fresh: false,
            latest: None,
            quiet: None,
        }
    }

    fn end(&mut self, desk: &mut Desk) -> Option<T> {
        desk.timer.stop();
        // What comes before it is over follows no silence.
        let quiet = self.quiet.take().filter(|_| self.leading);
        if let Some(quiet) = quiet.filter(|quiet| Instant::now() < *quiet) {
            desk.timer.start_until(quiet);
        }
        self.latest = None;
        self.held.take().and_then(|last| desk.out(last))
    }

    /// The silence begins anew: once a poll, as what a poll takes came at one time.
    fn restart(&mut self, desk: &mut Desk) {
        self.fresh = false;
        let now = Instant::now();
        let quiet = after(now, self.silence);
        self.quiet = Some(quiet);
        if self.held.is_some() && self.latest.is_none() {
            self.latest = self.max_wait.map(|wait| after(now, wait));
        }
        desk.timer
            .start_until(self.latest.map_or(quiet, |latest| latest.min(quiet)));
    }
}

impl<S: Stream> Optimized<S, Debounce<S::Item>> {
    /// An item that is held comes out so long after the first of those that it replaced, or itself,
    /// at the latest: where there is never a silence, something comes out still. Lodash's `maxWait`;
    /// RxJS has none. By default there is no limit.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.operator.max_wait = Some(above_zero("the longest wait of a debounce", wait));
        self
    }

    /// The first item after a silence comes out at once, and the last one before the next silence
    /// too, if it is another. Lodash's `leading`; RxJS has none.
    pub fn leading(mut self) -> Self {
        self.operator.leading = true;
        self
    }
}

impl<T> Operator<T> for Debounce<T> {
    type Out = T;

    fn late(&mut self, desk: &mut Desk) -> Option<T> {
        if !desk.timer.has_passed() {
            return None;
        }
        self.end(desk)
    }

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<T> {
        if self.leading && !desk.timer.runs() && self.held.is_none() {
            self.restart(desk);
            return ControlFlow::Break(desk.out(item));
        }
        self.fresh = true;
        if self.held.replace(item).is_some() {
            desk.ledger().dropped.superseded += 1;
        }
        ControlFlow::Continue(())
    }

    fn give(&mut self, desk: &mut Desk, cx: &mut Context<'_>, ended: bool) -> Poll<Option<T>> {
        if std::mem::take(&mut self.fresh) {
            self.restart(desk);
        }
        if self.held.is_none() {
            return Poll::Ready(None);
        }
        if !ended {
            ready!(desk.timer.poll(cx));
        }
        Poll::Ready(self.end(desk))
    }

    fn held(&self) -> usize {
        usize::from(self.held.is_some())
    }
}
