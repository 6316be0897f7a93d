//! No more than a rate: [`RateLimit`].

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coord_bus::time::Instant;
use futures_core::Stream;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::above_zero::above_zero;
use crate::optimized::{Desk, Operator, Taken};
use crate::timer::after;
use crate::{MAX_PERIOD, Optimized, Rate};

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The operator of [`OptimizeExt::rate_limit`](crate::OptimizeExt::rate_limit): items at most at a
/// rate. By default it *shapes*: an item that is too early waits, and so does the source. With
/// [`enforce`](Optimized::enforce) it is dropped.
///
/// The limiter is governor's, which is the *generic cell rate algorithm*: of `burst` items that may
/// come at once, one is given back each period of the rate.
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
    quota: Quota,
    limiter: RateLimiter<NotKeyed, InMemoryState, StreamClock, NoOpMiddleware<Nanos>>,
    enforce: bool,
    held: Option<T>,
}

/// The time of `coord_bus::time`, which tests can pause.
#[derive(Debug, Clone, Copy)]
struct StreamClock(Instant);

impl Clock for StreamClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let nanos = self.0.elapsed().as_nanos();
        // After 584 years it stands still.
        Nanos::from(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl<T> RateLimit<T> {
    #[track_caller]
    pub(crate) fn new(rate: Rate) -> Self {
        let quota = Quota::with_period(rate.period()).filter(|_| rate.period() <= MAX_PERIOD);
        let Some(quota) = quota else {
            panic!(
                "the rate of a stream cannot be {rate}: give it a period from 1ns to {MAX_PERIOD:?}"
            );
        };
        Self {
            quota,
            limiter: limiter(quota),
            enforce: false,
            held: None,
        }
    }

    /// Whether an item may come out now; otherwise when.
    fn admit(&self) -> Result<(), Instant> {
        let checked = self.limiter.check();
        checked.map_err(|refused| {
            let clock = self.limiter.clock();
            after(Instant::now(), refused.wait_time_from(clock.now()))
        })
    }
}

fn limiter(
    quota: Quota,
) -> RateLimiter<NotKeyed, InMemoryState, StreamClock, NoOpMiddleware<Nanos>> {
    RateLimiter::direct_with_clock(quota, StreamClock(Instant::now()))
}

impl<S: Stream> Optimized<S, RateLimit<S::Item>> {
    /// How many items may come at once after a silence: 1 by default. One that takes more than
    /// a century to be given back counts as one of a century.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn burst(mut self, items: u32) -> Self {
        let items = above_zero("the burst of a rate limit", items);
        // Governor reckons in 64 bits of nanoseconds, which is 584 years.
        let most = CENTURY.as_nanos() / self.operator.quota.replenish_interval().as_nanos();
        let items = items.min(u32::try_from(most).unwrap_or(u32::MAX));
        let burst = NonZeroU32::new(items).unwrap_or(NonZeroU32::MIN);
        self.operator.quota = self.operator.quota.allow_burst(burst);
        self.operator.limiter = limiter(self.operator.quota);
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
