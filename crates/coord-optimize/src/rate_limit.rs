//! No more than a rate: [`RateLimit`].

use std::ops::ControlFlow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coord_bus::time::Instant;
use futures_core::Stream;

use crate::optimized::{Desk, Operator, Taken};
use crate::timer::after;
use crate::{Optimized, Rate};

/// The operator of [`OptimizeExt::rate_limit`](crate::OptimizeExt::rate_limit): items at most at a
/// rate. By default it *shapes*: an item that is too early waits, and so does the source. With
/// [`enforce`](Optimized::enforce) it is dropped.
///
/// It is the *generic cell rate algorithm*, as in governor: of `burst` items that may come at once,
/// one is given back each period of the rate.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use coord_bus::time::Instant;
/// use coord_optimize::{OptimizeExt, per_second};
/// use tokio_stream::{StreamExt, iter};
///
/// let begin = Instant::now();
/// let calls = iter(1..=5).rate_limit(per_second(10)).burst(2);
/// assert_eq!(calls.collect::<Vec<_>>().await.len(), 5);
/// assert_eq!(begin.elapsed().as_millis(), 300);
/// # }
/// ```
#[derive(Debug)]
pub struct RateLimit<T> {
    period: Duration,
    burst: u32,
    enforce: bool,
    /// When all of the burst will have been given back: the *theoretical arrival time*.
    whole: Option<Instant>,
    held: Option<T>,
}

impl<T> RateLimit<T> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            period: rate.period(),
            burst: 1,
            enforce: false,
            whole: None,
            held: None,
        }
    }

    /// Whether an item may come out now; otherwise when.
    fn admit(&mut self) -> Result<(), Instant> {
        let now = Instant::now();
        let whole = self.whole.map_or(now, |whole| whole.max(now));
        // All of the burst but this item may still be out.
        let lag = self.period.saturating_mul(self.burst - 1);
        let wait = whole.duration_since(now).saturating_sub(lag);
        if !wait.is_zero() {
            return Err(after(now, wait));
        }
        self.whole = Some(after(whole, self.period));
        Ok(())
    }
}

impl<S: Stream> Optimized<S, RateLimit<S::Item>> {
    /// How many items may come at once after a silence: 1 by default; 0 counts as 1.
    pub fn burst(mut self, items: u32) -> Self {
        self.operator.burst = items.max(1);
        self
    }

    /// What is too early is dropped instead of waiting.
    pub fn enforce(mut self) -> Self {
        self.operator.enforce = true;
        self
    }
}

impl<T> Operator<T> for RateLimit<T> {
    type Out = T;

    fn wants(&self) -> bool {
        self.held.is_none()
    }

    fn take(&mut self, item: T, desk: &mut Desk) -> Taken<T> {
        match self.admit() {
            Ok(()) => ControlFlow::Break(desk.out(item)),
            Err(_) if self.enforce => {
                desk.ledger().dropped.limited += 1;
                ControlFlow::Continue(())
            }
            Err(when) => {
                self.held = Some(item);
                desk.timer.start_until(when);
                ControlFlow::Break(None)
            }
        }
    }

    fn give(&mut self, desk: &mut Desk, cx: &mut Context<'_>, _: bool) -> Poll<Option<T>> {
        if self.held.is_none() {
            return Poll::Ready(None);
        }
        loop {
            ready!(desk.timer.poll(cx));
            match self.admit() {
                Ok(()) => return Poll::Ready(self.held.take().and_then(|item| desk.out(item))),
                Err(when) => desk.timer.start_until(when),
            }
        }
    }

    fn held(&self) -> usize {
        usize::from(self.held.is_some())
    }
}
