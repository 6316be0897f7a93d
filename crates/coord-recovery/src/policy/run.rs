//! The course of one call: in through the layers, the operation, and out again.
//!
//! One future for all layers, whatever their order: what each has to remember of the call is a frame,
//! the outermost first. Dropping the future drops the operation first and then the frames, which give
//! back what they hold. Where there is a hedge, what is further out than it and what is further in are two such
//! courses, the second as often as there are attempts.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use coord_bus::time::{self, Instant, LONGEST_WAIT, Sleep};
use smallvec::SmallVec;
use tokio::task::coop::consume_budget;
use tokio::task::unconstrained;

use super::breaker::BreakerPermit;
use super::budget::BudgetedCall;
use super::layer::{Fallback, Instead, Layer};
use super::places::Place;
use super::{
    Bulkhead, Observer, Parts, PolicyAction, PolicyError, PolicyEvent, RateLimit, Retry,
    RetryBudget,
};

enum Frame<'p> {
    Retry {
        /// From 1.
        attempt: u32,
        previous: Duration,
        budget: Option<BudgetedCall<'p>>,
    },
    Timeout {
        after: Duration,
        /// Once something has waited.
        deadline: Option<Instant>,
    },
    Breaker {
        permit: BreakerPermit<'p>,
        /// When something first waited.
        began: Option<Instant>,
    },
    Bulkhead {
        _place: Place<'p>,
    },
    /// Of a layer that has nothing to remember.
    Bare,
}

/// As many as the usual composition has layers.
type Frames<'p> = SmallVec<[Frame<'p>; 6]>;

/// The timer of whichever timeout comes first; made when something waits.
type Timer<'t> = Pin<&'t mut Option<Sleep>>;

/// A call under way, and what it is called.
pub(super) struct Call<'p, T, E> {
    pub(super) parts: &'p Parts<T, E>,
    /// Those that it goes through.
    pub(super) layers: &'p [Layer<T, E>],
    pub(super) name: Option<&'p str>,
    pub(super) observer: Option<Observer<'p, E>>,
    /// Which attempt it is of a retry further out.
    pub(super) attempt: u32,
}

impl<T, E> Parts<T, E> {
    pub(super) async fn run<F, Running>(
        &self,
        name: Option<&str>,
        observer: Option<Observer<'_, E>>,
        mut operation: F,
    ) -> Result<T, PolicyError<E>>
    where
        F: FnMut() -> Running,
        Running: Future<Output = Result<T, E>>,
    {
        let call = Call {
            parts: self,
            layers: &self.layers,
            name,
            observer,
            attempt: 0,
        };
        match self.hedge() {
            None => call.through(PolicyError::Operation, |_| operation()).await,
            // In a box, as it is large, and others need not carry it along.
            Some(hedge) => Box::pin(call.hedged(hedge, operation)).await,
        }
    }
}

impl<'p, T, E> Call<'p, T, E> {
    /// In through its layers, to what is further in, which is given the number of the attempt, and out again.
    pub(super) async fn through<F, Running, Error>(
        &self,
        into_error: fn(Error) -> PolicyError<E>,
        mut further_in: F,
    ) -> Result<T, PolicyError<E>>
    where
        F: FnMut(u32) -> Running,
        Running: Future<Output = Result<T, Error>>,
    {
        let mut frames = Frames::new();
        let mut timer = pin!(None);
        loop {
            let entered = match self.enter_at_once(&mut frames) {
                Ok(false) => self.enter(&mut frames, timer.as_mut()).await,
                Ok(true) => Ok(()),
                Err(error) => Err(error),
            };
            let result = match entered {
                Ok(()) => {
                    let running = further_in(self.attempt_of(&frames));
                    let running = self.watch(&mut frames, timer.as_mut(), running);
                    running.await.and_then(|done| done.map_err(into_error))
                }
                Err(error) => Err(error),
            };
            let error = match result {
                Ok(value) => {
                    self.leave_with(&mut frames, &value);
                    return Ok(value);
                }
                Err(error) => error,
            };
            if let Some(result) = self.leave(&mut frames, timer.as_mut(), error).await {
                return result;
            }
        }
    }

    /// Goes in from where the frames end, as far as nothing has to be waited for; says whether that
    /// is all the way. After an error the frames are those further out than the layer that it comes
    /// from.
    #[inline]
    fn enter_at_once(&self, frames: &mut Frames<'p>) -> Result<bool, PolicyError<E>> {
        for layer in self.layers.iter().skip(frames.len()) {
            let frame = match layer {
                Layer::Retry(retry) => Frame::Retry {
                    attempt: 1,
                    previous: Duration::ZERO,
                    budget: retry.budget.as_ref().map(RetryBudget::call),
                },
                Layer::Timeout(after) => Frame::Timeout {
                    after: *after,
                    deadline: None,
                },
                Layer::Breaker(breaker, _) => match breaker.try_acquire() {
                    Ok(permit) => Frame::Breaker {
                        permit,
                        began: None,
                    },
                    Err(refused) => return Err(self.reject(layer, frames, refused.into())),
                },
                Layer::Bulkhead(bulkhead) => match bulkhead.try_enter() {
                    Some(place) => Frame::Bulkhead { _place: place },
                    None => return Ok(false),
                },
                Layer::RateLimit(limit) => match limit.try_begin() {
                    Ok(()) => Frame::Bare,
                    Err(_) => return Ok(false),
                },
                // What is further out than a hedge does not have it among its layers.
                Layer::Fallback(_) | Layer::Hedge(_) => Frame::Bare,
            };
            frames.push(frame);
        }
        Ok(true)
    }

    /// [`enter_at_once`](Self::enter_at_once), and waits where it has to.
    #[cold]
    async fn enter(
        &self,
        frames: &mut Frames<'p>,
        mut timer: Timer<'_>,
    ) -> Result<(), PolicyError<E>> {
        while !self.enter_at_once(frames)? {
            let frame = match &self.layers[frames.len()] {
                Layer::Bulkhead(bulkhead) => {
                    self.wait_at_bulkhead(bulkhead, frames, timer.as_mut())
                        .await?
                }
                Layer::RateLimit(limit) => {
                    self.wait_at_limit(limit, frames, timer.as_mut()).await?
                }
                _ => Frame::Bare,
            };
            frames.push(frame);
        }
        Ok(())
    }

    async fn wait_at_bulkhead(
        &self,
        bulkhead: &'p Bulkhead,
        frames: &mut Frames<'p>,
        timer: Timer<'_>,
    ) -> Result<Frame<'p>, PolicyError<E>> {
        let mut waited = Duration::ZERO;
        if let (Some(wait), Some(queue)) = (bulkhead.max_wait(), bulkhead.queue()) {
            let entering = time::timeout(wait, queue.served());
            if let Ok(place) = self.watch(frames, timer, entering).await? {
                return Ok(Frame::Bulkhead { _place: place });
            }
            waited = wait;
        }
        let limit = bulkhead.limit();
        let full = PolicyError::BulkheadFull { limit, waited };
        Err(self.reject(&self.layers[frames.len()], frames, full))
    }

    async fn wait_at_limit(
        &self,
        limit: &'p RateLimit,
        frames: &mut Frames<'p>,
        timer: Timer<'_>,
    ) -> Result<Frame<'p>, PolicyError<E>> {
        let Err(mut retry_after) = limit.try_begin() else {
            return Ok(Frame::Bare);
        };
        if let (Some(wait), Some(queue)) = (limit.max_wait(), limit.queue()) {
            let beginning = time::timeout(wait, queue.begin());
            if self.watch(frames, timer, beginning).await?.is_ok() {
                return Ok(Frame::Bare);
            }
            // How long it is from now on; there may be room by now.
            match limit.try_begin() {
                Ok(()) => return Ok(Frame::Bare),
                Err(still) => retry_after = still,
            }
        }
        let limited = PolicyError::RateLimited {
            limit: Arc::clone(limit.name()),
            retry_after,
        };
        Err(self.reject(&self.layers[frames.len()], frames, limited))
    }

    /// Goes all the way out with a value; what the frames hold is given back as they are dropped.
    #[inline]
    fn leave_with(&self, frames: &mut Frames<'p>, value: &T) {
        for (frame, layer) in frames.iter_mut().zip(self.layers).rev() {
            if let Frame::Breaker { permit, began } = frame {
                count(layer, permit, *began, Ok(value));
            }
        }
    }

    /// Goes out with an error; nothing comes out if it is to go in once more.
    #[cold]
    async fn leave(
        &self,
        frames: &mut Frames<'p>,
        mut timer: Timer<'_>,
        mut error: PolicyError<E>,
    ) -> Option<Result<T, PolicyError<E>>> {
        while let Some(frame) = frames.pop() {
            let layer = &self.layers[frames.len()];
            match (frame, layer) {
                (Frame::Breaker { mut permit, began }, _) => {
                    count(layer, &mut permit, began, Err(&error));
                }
                (frame @ Frame::Retry { .. }, Layer::Retry(retry)) => {
                    let next = self.retry(layer, retry, frame, &error);
                    let Some((frame, wait)) = next else { continue };
                    frames.push(frame);
                    // Also without a wait others have their turn, and timeouts are looked at.
                    let pause = async {
                        match wait.is_zero() {
                            true => consume_budget().await,
                            false => time::sleep(wait).await,
                        }
                    };
                    match self.watch(frames, timer.as_mut(), pause).await {
                        Ok(()) => return None,
                        Err(timed_out) => error = timed_out,
                    }
                }
                (_, Layer::Fallback(fallback)) if fallback.is_for(&error) => {
                    self.tell(layer, frames, PolicyAction::Fallback, &error);
                    match self
                        .fall_back(fallback, error, frames, timer.as_mut())
                        .await
                    {
                        Ok(value) => {
                            self.leave_with(frames, &value);
                            return Some(Ok(value));
                        }
                        Err(failed) => error = failed,
                    }
                }
                _ => {}
            }
        }
        Some(Err(error))
    }

    /// The frame of the next attempt, and the wait before it, if there is one.
    fn retry(
        &self,
        layer: &Layer<T, E>,
        retry: &Retry<E>,
        frame: Frame<'p>,
        error: &PolicyError<E>,
    ) -> Option<(Frame<'p>, Duration)> {
        let Frame::Retry {
            attempt,
            previous,
            mut budget,
        } = frame
        else {
            return None;
        };
        let wait = retry.wait_after(error, attempt, previous)?;
        let is_admitted = budget.as_mut().is_none_or(BudgetedCall::retry);
        let action = match is_admitted {
            true => PolicyAction::Retry { wait },
            false => PolicyAction::BudgetExhausted,
        };
        self.tell_of(layer, attempt - 1, action, Some(error));
        is_admitted.then_some((
            Frame::Retry {
                attempt: attempt.saturating_add(1),
                previous: wait,
                budget,
            },
            wait,
        ))
    }

    async fn fall_back(
        &self,
        fallback: &Fallback<T, E>,
        error: PolicyError<E>,
        frames: &mut Frames<'p>,
        timer: Timer<'_>,
    ) -> Result<T, PolicyError<E>> {
        match &fallback.instead {
            Instead::Value(value) => Ok(value()),
            Instead::Run(run) => self
                .watch(frames, timer, run(error))
                .await
                .and_then(|done| done),
        }
    }

    /// What comes of this future, unless a timeout of these frames is over before. Then the future
    /// is gone, and so are the frame of the timeout and those further in.
    async fn watch<F: Future>(
        &self,
        frames: &mut Frames<'p>,
        timer: Timer<'_>,
        future: F,
    ) -> Result<F::Output, PolicyError<E>> {
        let place = match watch(frames, timer, future).await {
            Ok(output) => return Ok(output),
            Err(place) => place,
        };
        let after = match &frames[place] {
            Frame::Timeout { after, .. } => *after,
            _ => Duration::ZERO,
        };
        let attempt = self.attempt_of(frames);
        frames.truncate(place);
        let error = PolicyError::TimedOut { after };
        self.tell_of(
            &self.layers[place],
            attempt,
            PolicyAction::Timeout,
            Some(&error),
        );
        Err(error)
    }

    /// The number of the attempt under way, from 0: that of the innermost retry.
    #[inline]
    fn attempt_of(&self, frames: &Frames<'p>) -> u32 {
        let innermost = frames.iter().rev().find_map(|frame| match frame {
            Frame::Retry { attempt, .. } => Some(attempt - 1),
            _ => None,
        });
        innermost.unwrap_or(self.attempt)
    }

    #[cold]
    fn reject(
        &self,
        layer: &Layer<T, E>,
        frames: &Frames<'p>,
        error: PolicyError<E>,
    ) -> PolicyError<E> {
        self.tell(layer, frames, PolicyAction::Rejected, &error);
        error
    }

    fn tell(
        &self,
        layer: &Layer<T, E>,
        frames: &Frames<'p>,
        action: PolicyAction,
        error: &PolicyError<E>,
    ) {
        self.tell_of(layer, self.attempt_of(frames), action, Some(error));
    }

    pub(super) fn tell_of(
        &self,
        layer: &Layer<T, E>,
        attempt: u32,
        action: PolicyAction,
        error: Option<&PolicyError<E>>,
    ) {
        let event = PolicyEvent {
            policy: &self.parts.name,
            strategy: layer.name(),
            operation: self.name,
            attempt,
            action,
            error,
        };
        self.parts.tell(&event);
        if let Some(observer) = self.observer {
            observer(&event);
        }
    }
}

/// Tells a breaker what came of a call.
#[inline]
fn count<T, E>(
    layer: &Layer<T, E>,
    permit: &mut BreakerPermit<'_>,
    began: Option<Instant>,
    result: Result<&T, &PolicyError<E>>,
) {
    let failed = match layer {
        Layer::Breaker(_, Some(count)) => count(result),
        _ => Some(result.is_err()),
    };
    let took = began.map_or(Duration::ZERO, |began| began.elapsed());
    match failed {
        Some(failed) => permit.over(failed, took),
        None => permit.over_without_counting(),
    }
}

/// What comes of the future, or the place of the timeout that is over before.
///
/// A future that is done when it is first polled costs neither a timer nor a look at the clock.
async fn watch<F: Future>(
    frames: &mut Frames<'_>,
    mut timer: Timer<'_>,
    future: F,
) -> Result<F::Output, usize> {
    let mut future = pin!(future);
    let mut waits_for = None;
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        let first = *waits_for.get_or_insert_with(|| begin_to_wait(frames, timer.as_mut()));
        let (Some(place), Some(timer)) = (first, timer.as_mut().as_pin_mut()) else {
            return Poll::Pending;
        };
        // The operation may have used up what tokio lets a task do in one go; a timer that asks for
        // more of it would never be over.
        pin!(unconstrained(timer))
            .poll(context)
            .map(|()| Err(place))
    })
    .await
}

/// From now on time counts: for all timeouts and breakers for which it did not yet. Sets the timer to
/// the timeout that comes first, and says which that is.
#[cold]
fn begin_to_wait(frames: &mut Frames<'_>, mut timer: Timer<'_>) -> Option<usize> {
    let now = Instant::now();
    let mut first: Option<(usize, Instant)> = None;
    for (place, frame) in frames.iter_mut().enumerate() {
        match frame {
            Frame::Timeout { after, deadline } => {
                let deadline = *deadline.get_or_insert_with(|| now + (*after).min(LONGEST_WAIT));
                if first.is_none_or(|(_, earliest)| deadline < earliest) {
                    first = Some((place, deadline));
                }
            }
            Frame::Breaker { began, .. } => {
                began.get_or_insert(now);
            }
            _ => {}
        }
    }
    let (place, deadline) = first?;
    match timer.as_mut().as_pin_mut() {
        Some(timer) if timer.deadline() == deadline => {}
        Some(timer) => timer.reset(deadline),
        None => timer.set(Some(time::sleep_until(deadline))),
    }
    Some(place)
}
