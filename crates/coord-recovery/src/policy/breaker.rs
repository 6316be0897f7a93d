//! The circuit breaker: calls are not even tried while most of them fail.

mod settings;
mod window;
mod state;
mod event;

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use coord_bus::time::Instant;

use super::{PolicyError, Refused};
use event::Listeners;
use settings::Settings;
use state::{Judged, State};
use window::Outcome;

pub use event::{BreakerEvent, MAX_LISTENERS};
pub use settings::CircuitBreakerBuilder;
pub use state::{BreakerMetrics, BreakerState};
pub use window::SlidingWindow;

/// Stops calling what fails, and finds out by a few calls whether it works again: resilience4j's
/// circuit breaker, with its names and defaults.
///
/// *Closed*, it permits every call, and counts failures and slow calls over its
/// [window](CircuitBreakerBuilder::sliding_window). When the share of either reaches its threshold,
/// it is *open* and permits none. After a while it is *half open*: it permits a few, and closes or
/// opens by what comes of them. By hand it can be *disabled* (permits all, counts nothing), *forced
/// open* (permits none until told otherwise), or *metrics only* (permits all, counts, says when it
/// would open).
///
/// What a call comes to counts as long as the breaker is in the state that permitted it, and not after
/// that, also where it is in such a state again: a call of the closed state that ends while it is half
/// open is none of those by which it closes or opens, as it says nothing of how things are by then. A
/// call that was cancelled does not count, and a half-open breaker has its permit back.
///
/// How long a call takes is measured from when it first waits. One that never does takes no time.
///
/// Cheap to clone; clones are the same breaker, for policies that call the same service.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use coord_recovery::policy::{BreakerState, CircuitBreaker, PolicyError, SlidingWindow};
///
/// let breaker = CircuitBreaker::builder("db")
///     .sliding_window(SlidingWindow::Count(4))
///     .permitted_number_of_calls_in_half_open_state(1)
///     .build()?;
/// for _ in 0..4 {
///     let _ = breaker.call(async { Err::<(), _>("down") }).await;
/// }
/// let refused = breaker.call(async { Ok::<_, &str>(()) }).await;
/// assert!(matches!(refused, Err(PolicyError::NotPermitted(_))));
///
/// tokio::time::advance(Duration::from_secs(60)).await;
/// assert!(breaker.call(async { Ok::<_, &str>(()) }).await.is_ok());
/// assert_eq!(breaker.state(), BreakerState::Closed);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CircuitBreaker {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    settings: Settings,
    made: Instant,
    /// [`Gate`] of the present state, so that a call is permitted without the lock.
    gate: AtomicU64,
    /// Nanoseconds since `made`, for the present open state.
    open_until: AtomicU64,
    not_permitted: AtomicU64,
    state: Mutex<State>,
    listeners: Listeners,
}

/// A state and how many there were before it, in one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gate(u64);

impl Gate {
    fn state(self) -> BreakerState {
        BreakerState::ALL[(self.0 % 8) as usize]
    }

    fn then(self, state: BreakerState) -> Self {
        Self((self.0 / 8 + 1) * 8 + state as u64)
    }
}

/// That a call may be made. What comes of it is told by [`success`](Self::success) or
/// [`failure`](Self::failure); dropped, it does not count, and a half-open breaker has it back.
#[must_use = "dropped at once, the call does not count"]
pub struct BreakerPermit<'b> {
    breaker: &'b Shared,
    /// Where it counts, and is given back to.
    gate: Gate,
    is_open: bool,
}

impl CircuitBreaker {
    /// A breaker with resilience4j's defaults: it opens when half of the last 100 calls have failed,
    /// or all have taken longer than 60 s; after 60 s it permits 10 calls to find out.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self::of(name.as_ref(), Settings::DEFAULT)
    }

    /// A breaker that is told otherwise.
    pub fn builder(name: impl Into<Box<str>>) -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new(name.into())
    }

    fn of(name: &str, settings: Settings) -> Self {
        let gate = Gate(BreakerState::Closed as u64);
        let state = State::closed(gate, &settings);
        Self {
            shared: Arc::new(Shared {
                name: name.into(),
                settings,
                made: Instant::now(),
                gate: AtomicU64::new(gate.0),
                open_until: AtomicU64::new(0),
                not_permitted: AtomicU64::new(0),
                state: Mutex::new(state),
                listeners: Listeners::default(),
            }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// How it is now. An open one whose wait is over is still open: it is half open once it is
    /// called.
    pub fn state(&self) -> BreakerState {
        let state = self.shared.gate().state();
        if state == BreakerState::HalfOpen && self.shared.settings.max_wait_in_half_open.is_some() {
            return self.shared.settled(self.shared.now()).gate.state();
        }
        state
    }

    /// What it counts at present.
    pub fn metrics(&self) -> BreakerMetrics {
        let now = self.shared.now();
        let mut inner = self.shared.settled(now);
        let not_permitted = self.shared.not_permitted.load(Ordering::Relaxed);
        inner.metrics(now, not_permitted)
    }

    /// Makes a call, if it is permitted. An error is a failure, and so is a panic; a cancellation does
    /// not count, unless it is a panic that cancels it: one of what the same task does beside it counts here, too.
    ///
    /// # Errors
    ///
    /// [`PolicyError::NotPermitted`], and [`PolicyError::Operation`] with the call's own error.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it does not count, and a half-open breaker has its permit back.
    pub async fn call<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, PolicyError<E>> {
        let permit = self.try_acquire()?;
        let mut call = pin!(call);
        let mut began = None;
        let result = poll_fn(|context| {
            let polled = call.as_mut().poll(context);
            if polled.is_pending() {
                began.get_or_insert_with(Instant::now);
            }
            polled
        });
        let result = result.await;
        let took = began.map_or(Duration::ZERO, |began| began.elapsed());
        match result {
            Ok(value) => {
                permit.success(took);
                Ok(value)
            }
            Err(error) => {
                permit.failure(took);
                Err(PolicyError::Operation(error))
            }
        }
    }

    /// Permission for one call, for who makes it by hand.
    ///
    /// # Errors
    ///
    /// [`Refused`] when it is open, forced open, or half open with all its probes under way.
    #[inline]
    pub fn try_acquire(&self) -> Result<BreakerPermit<'_>, Refused<'_>> {
        let gate = self.shared.gate();
        match gate.state() {
            BreakerState::Closed | BreakerState::Disabled | BreakerState::MetricsOnly => {
                Ok(self.shared.permit(gate))
            }
            _ => self.shared.try_acquire_unless_open(gate),
        }
    }

    /// Puts it into a state by hand, with a fresh window; into the one in which it is, does nothing.
    pub fn transition_to(&self, state: BreakerState) {
        let now = self.shared.now();
        let mut inner = self.shared.settled(now);
        let from = inner.gate.state();
        if from == state {
            return;
        }
        self.shared.enter(&mut inner, state, now);
        drop(inner);
        self.shared.transitioned(from, state);
    }

    /// Opens it if it is closed or half open, and says how it is then: whoever put it into another
    /// state by hand is not overruled.
    pub(crate) fn open_unless_by_hand(&self) -> BreakerState {
        let now = self.shared.now();
        let mut inner = self.shared.settled(now);
        let from = inner.gate.state();
        if !matches!(from, BreakerState::Closed | BreakerState::HalfOpen) {
            return from;
        }
        self.shared.enter(&mut inner, BreakerState::Open, now);
        drop(inner);
        self.shared.transitioned(from, BreakerState::Open);
        BreakerState::Open
    }

    /// Closes it, in whatever state it is, and forgets what it has counted.
    pub fn reset(&self) {
        let now = self.shared.now();
        let mut inner = self.shared.settled(now);
        let from = inner.gate.state();
        self.shared.enter(&mut inner, BreakerState::Closed, now);
        drop(inner);
        if from != BreakerState::Closed {
            self.shared.transitioned(from, BreakerState::Closed);
        }
        self.shared.tell(BreakerEvent::Reset { from });
    }

    /// Calls this function with whatever happens from now on. It is called by whoever makes the
    /// call, outside the breaker's lock, and should be quick. Without listeners nothing is told, and
    /// nothing costs. Says whether there was room: there may be [`MAX_LISTENERS`].
    pub fn listen(&self, listener: impl Fn(&BreakerEvent) + Send + Sync + 'static) -> bool {
        self.shared.listeners.add(Arc::new(listener))
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Shared {
    #[inline]
    fn gate(&self) -> Gate {
        Gate(self.gate.load(Ordering::Acquire))
    }

    fn permit(&self, gate: Gate) -> BreakerPermit<'_> {
        BreakerPermit {
            breaker: self,
            gate,
            is_open: true,
        }
    }

    #[inline]
    fn now(&self) -> Duration {
        self.made.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn try_acquire_unless_open(&self, gate: Gate) -> Result<BreakerPermit<'_>, Refused<'_>> {
        let state = gate.state();
        if state == BreakerState::ForcedOpen {
            return Err(self.refuse(state, None));
        }
        let now = self.now();
        if state == BreakerState::Open {
            let until = self.open_until.load(Ordering::Relaxed);
            let nanos = now.as_secs() * 1_000_000_000 + u64::from(now.subsec_nanos());
            // Of an older or newer open state this may be, if another thread is faster than this.
            if nanos < until {
                return Err(self.refuse(state, Some(Duration::from_nanos(until - nanos))));
            }
        }
        self.try_acquire_locked(now)
    }

    /// What is under the lock, once a half-open state has ended that has waited for too long: nobody
    /// needs to call for that, and the wait of the open state begins when it ended.
    fn settled(&self, now: Duration) -> MutexGuard<'_, State> {
        let mut inner = self.lock();
        while let Some(ended) = inner.half_open_ended(now, &self.settings) {
            self.enter(&mut inner, BreakerState::Open, ended);
            drop(inner);
            self.transitioned(BreakerState::HalfOpen, BreakerState::Open);
            inner = self.lock();
        }
        inner
    }

    #[cold]
    fn try_acquire_locked(&self, now: Duration) -> Result<BreakerPermit<'_>, Refused<'_>> {
        let mut inner = self.settled(now);
        let from = inner.gate.state();
        let until = Duration::from_nanos(self.open_until.load(Ordering::Relaxed));
        if from == BreakerState::Open && now >= until {
            self.enter(&mut inner, BreakerState::HalfOpen, now);
        }
        let gate = inner.gate;
        let state = gate.state();
        let permit = inner.admit().then(|| self.permit(gate));
        drop(inner);
        if state != from {
            let told = catch_unwind(AssertUnwindSafe(|| self.transitioned(from, state)));
            if let Err(panic) = told {
                // Given back here: no call has failed.
                drop(permit);
                resume_unwind(panic);
            }
        }
        if let Some(permit) = permit {
            return Ok(permit);
        }
        let until = Duration::from_nanos(self.open_until.load(Ordering::Relaxed));
        let retry_after = (state == BreakerState::Open).then(|| until.saturating_sub(now));
        Err(self.refuse(state, retry_after))
    }

    #[inline]
    fn refuse(&self, state: BreakerState, retry_after: Option<Duration>) -> Refused<'_> {
        self.not_permitted.fetch_add(1, Ordering::Relaxed);
        if state != BreakerState::ForcedOpen && !self.listeners.is_empty() {
            self.tell(BreakerEvent::NotPermitted);
        }
        Refused {
            breaker: &self.name,
            state,
            retry_after,
        }
    }

    /// Puts a state in the place of the present one, with what it counts.
    fn enter(&self, inner: &mut State, state: BreakerState, now: Duration) {
        if state == BreakerState::Open {
            let until = now.saturating_add(self.settings.wait_in_open);
            let until = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX);
            self.open_until.store(until, Ordering::Relaxed);
        } else {
            self.not_permitted.store(0, Ordering::Relaxed);
        }
        inner.enter(state, now, &self.settings);
        self.gate.store(inner.gate.0, Ordering::Release);
    }

    /// What has come of a call that was permitted at this gate.
    fn record(&self, gate: Gate, failed: bool, took: Duration) {
        if self.gate() != gate {
            return self.tell(BreakerEvent::Ignored);
        }
        if !gate.state().counts() {
            return;
        }
        let slow = took > self.settings.slow_call_duration;
        let mut inner = self.lock();
        let mut now = Duration::ZERO;
        if inner.is_timed(&self.settings) {
            drop(inner);
            now = self.now();
            inner = self.settled(now);
        }
        // Another call may have been faster.
        if inner.gate != gate {
            drop(inner);
            return self.tell(BreakerEvent::Ignored);
        }
        let from = gate.state();
        let judged = inner.record(Outcome { failed, slow }, now, &self.settings);
        if let Some(next) = judged.as_ref().and_then(|judged| judged.next) {
            // The wait in the open state begins now, whatever the window needs to know.
            self.enter(&mut inner, next, self.now());
        }
        drop(inner);
        if !self.listeners.is_empty() {
            self.tell(match failed {
                true => BreakerEvent::Failure { took },
                false => BreakerEvent::Success { took },
            });
        }
        if let Some(judged) = judged {
            self.tell_judged(from, &judged);
        }
    }

    fn tell_judged(&self, from: BreakerState, judged: &Judged) {
        if let Some(percent) = judged.failure_rate {
            self.tell(BreakerEvent::FailureRateExceeded { percent });
        }
        if let Some(percent) = judged.slow_call_rate {
            self.tell(BreakerEvent::SlowCallRateExceeded { percent });
        }
        if let Some(next) = judged.next {
            self.transitioned(from, next);
        }
    }

    fn give_back(&self, gate: Gate) {
        if gate.state() == BreakerState::HalfOpen {
            let mut inner = self.lock();
            if inner.gate == gate {
                inner.give_back();
            }
        }
    }

    fn transitioned(&self, from: BreakerState, to: BreakerState) {
        self.tell(BreakerEvent::Transition { from, to });
    }

    fn tell(&self, event: BreakerEvent) {
        #[cfg(feature = "tracing")]
        event.trace(&self.name);
        self.listeners.tell(&event);
    }
}

impl BreakerPermit<'_> {
    /// The call succeeded, and took so long.
    #[inline]
    pub fn success(mut self, took: Duration) {
        self.over(false, took);
    }

    /// The call failed, and took so long.
    #[inline]
    pub fn failure(mut self, took: Duration) {
        self.over(true, took);
    }

    /// The first time counts.
    #[inline]
    pub(super) fn over(&mut self, failed: bool, took: Duration) {
        if std::mem::take(&mut self.is_open) {
            self.breaker.record(self.gate, failed, took);
        }
    }

    pub(super) fn over_without_counting(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.breaker.give_back(self.gate);
            self.breaker.tell(BreakerEvent::Ignored);
        }
    }

    /// It was dropped with its call: in a panic that is a failure, else a cancellation.
    #[cold]
    fn dropped(&mut self) {
        if !thread::panicking() {
            return self.breaker.give_back(self.gate);
        }
        // A second panic that leaves here, one of a listener, would end the program.
        let _ = catch_unwind(AssertUnwindSafe(|| self.over(true, Duration::ZERO)));
    }

    /// The call is not to count, as if it had not been made.
    pub fn ignore(mut self) {
        self.over_without_counting();
    }
}

impl Drop for BreakerPermit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_open {
            self.dropped();
        }
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CircuitBreaker")
            .field("name", &self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BreakerPermit<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BreakerPermit")
            .field("state", &self.gate.state())
            .finish_non_exhaustive()
    }
}
