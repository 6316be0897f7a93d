//! No more than a rate: [`RateLimit`].

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// How much of a delay is made up for: the timers of a machine with other things to do are late by so much.
const MADE_UP_FOR: Duration = Duration::from_millis(10);

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The operator of [`OptimizeExt::rate_limit`](crate::OptimizeExt::rate_limit): items at most at a
/// rate. By default it *shapes*: an item that is too early waits, and so does the source. With
/// [`enforce`](Optimized::enforce) it is dropped.
///
/// The limiter is governor's, which is the *generic cell rate algorithm*: of `burst` items that may
/// come at once, one is given back each period of the rate. Of an item that has waited it reckons as if it had come
/// out when its time had come: timers are late, by a millisecond or two, and the rate would not come about. Up to
/// 10 ms are made up for, so in no time do more items come out than the rate allows in that time and 10 ms, and
/// the burst.
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
    limiter: Limiter,
    /// From when on its time is told.
    begin: Instant,
    /// How much later than it could the last item came out.
    late: Duration,
    /// When that was.
    last: Duration,
    enforce: bool,
    /// An item, and when its time comes.
    held: Option<(T, Duration)>,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, SaidClock, NoOpMiddleware<Nanos>>;

/// The time that the limiter is told, in nanoseconds.
#[derive(Debug, Clone, Default)]
struct SaidClock(Arc<AtomicU64>);

impl SaidClock {
    fn say(&self, now: Duration) {
        self.0.store(nanos(now), Ordering::Relaxed);
    }
}

impl Clock for SaidClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

/// After 584 years it stands still.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
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
            begin: Instant::now(),
            late: Duration::ZERO,
            last: Duration::ZERO,
            enforce: false,
            held: None,
        }
    }

    /// Whether an item may come out now, which may since it was `due` if it has waited; otherwise when.
    fn admit(&mut self, due: Option<Duration>) -> Result<(), Duration> {
        let now = self.begin.elapsed();
        let earliest = now.saturating_sub(MADE_UP_FOR);
        let mut said = match due {
            Some(due) => due.max(earliest),
            // A source that is slower than the rate is late itself.
            None if now.saturating_sub(self.last) > self.quota.replenish_interval() => now,
            None => now.saturating_sub(self.late),
        };
        loop {
            self.limiter.clock().say(said);
            let Err(refused) = self.limiter.check() else {
                (self.late, self.last) = (now - said, now);
                return Ok(());
            };
            let due = said.saturating_add(refused.wait_time_from(Nanos::from(nanos(said))));
            if due > now {
                return Err(due);
            }
            said = due;
        }
    }
}

fn limiter(quota: Quota) -> Limiter {
    RateLimiter::direct_with_clock(quota, SaidClock::default())
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
        match self.admit(None) {
            Ok(()) => ControlFlow::Break(desk.out(item)),
            Err(_) if self.enforce => {
                desk.ledger().dropped.limited += 1;
                ControlFlow::Continue(())
            }
            Err(due) => {
                self.held = Some((item, due));
                desk.timer.start_until(after(self.begin, due));
                ControlFlow::Break(None)
            }
        }
    }

    fn give(&mut self, desk: &mut Desk, cx: &mut Context<'_>, _: bool) -> Poll<Option<T>> {
        let Some((_, due)) = self.held else {
            return Poll::Ready(None);
        };
        ready!(desk.timer.poll(cx));
        // Nobody else asks the limiter, so its time has come.
        let _ = self.admit(Some(due));
        Poll::Ready(self.held.take().and_then(|(item, _)| desk.out(item)))
    }

    fn held(&self) -> usize {
        usize::from(self.held.is_some())
    }
}
