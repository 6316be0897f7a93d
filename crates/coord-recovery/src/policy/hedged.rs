//! A call with a hedge: attempts beside each other, until one is the outcome of all.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use coord_bus::time::{self, Sleep};
use tokio::task::unconstrained;

use super::budget::BudgetedCall;
use super::layer::Layer;
use super::run::Call;
use super::{Hedge, PolicyAction, PolicyError, RetryBudget};

/// An attempt under way, and its number, from 0.
type Attempt<F> = (u32, Pin<Box<F>>);

/// What happens while attempts are under way.
enum Next<T, E> {
    Done(u32, Result<T, PolicyError<E>>),
    /// The last one has taken as long as it may alone.
    IsSlow,
}

impl<T, E> Call<'_, T, E> {
    /// Through all layers, of which the one at this place is this hedge.
    pub(super) async fn hedged<F, Running>(
        &self,
        (place, hedge): (usize, &Hedge<E>),
        operation: F,
    ) -> Result<T, PolicyError<E>>
    where
        F: FnMut() -> Running,
        Running: Future<Output = Result<T, E>>,
    {
        let (outer, layer, inner) = (
            &self.layers[..place],
            &self.layers[place],
            &self.layers[place + 1..],
        );
        // All attempts are polled by one task, so nobody ever waits for it.
        let operation = &Mutex::new(operation);
        let begin = |attempt| async move {
            let further_in = Call {
                layers: inner,
                attempt,
                ..*self
            };
            let call = |_| (operation.lock().unwrap_or_else(PoisonError::into_inner))();
            further_in.through(PolicyError::Operation, call).await
        };
        let further_out = Call {
            layers: outer,
            ..*self
        };
        further_out
            .through(
                |error| error,
                |attempt| self.attempts(layer, hedge, attempt, begin),
            )
            .await
    }

    /// Attempts beside each other: what comes of them. This is one attempt of a retry further out.
    async fn attempts<Running>(
        &self,
        layer: &Layer<T, E>,
        hedge: &Hedge<E>,
        attempt: u32,
        begin: impl Fn(u32) -> Running,
    ) -> Result<T, PolicyError<E>>
    where
        Running: Future<Output = Result<T, PolicyError<E>>>,
    {
        let mut budget = hedge.budget.as_ref().map(RetryBudget::call);
        let mut under_way: Vec<Attempt<Running>> = vec![(0, Box::pin(begin(attempt)))];
        let mut begun = 1;
        let mut timer = pin!(None);
        loop {
            let delay = hedge.delay().filter(|_| begun < hedge.max_attempts);
            let next = poll_fn(|context| {
                if let Poll::Ready((number, result)) = first_done(&mut under_way, context) {
                    return Poll::Ready(Next::Done(number, result));
                }
                let Some(delay) = delay else {
                    return Poll::Pending;
                };
                if timer.is_none() {
                    timer.set(Some(time::sleep(delay)));
                }
                is_over(timer.as_mut(), context).map(|()| Next::IsSlow)
            });
            let error = match next.await {
                Next::IsSlow => None,
                Next::Done(_, Ok(value)) => return Ok(value),
                Next::Done(number, Err(error)) => {
                    if let Some(budget) = budget.as_mut().filter(|_| number > 0) {
                        budget.over(1);
                    }
                    if !hedge.worth.is_after(&error) {
                        return Err(error);
                    }
                    Some(error)
                }
            };
            if begun < hedge.max_attempts {
                let is_admitted = budget.as_mut().is_none_or(BudgetedCall::retry_beside);
                let action = match is_admitted {
                    true => PolicyAction::Hedge { hedged: begun },
                    false => PolicyAction::BudgetExhausted,
                };
                self.tell_of(layer, attempt, action, error.as_ref());
                if is_admitted {
                    under_way.push((begun, Box::pin(begin(attempt))));
                    begun += 1;
                } else {
                    begun = hedge.max_attempts;
                }
                timer.set(None);
            }
            if let Some(error) = error
                && under_way.is_empty()
            {
                return Err(error);
            }
        }
    }
}

/// The first of them that is done, which is none of them any more.
fn first_done<F: Future>(
    under_way: &mut Vec<Attempt<F>>,
    context: &mut Context<'_>,
) -> Poll<(u32, F::Output)> {
    for place in 0..under_way.len() {
        let (number, running) = &mut under_way[place];
        if let Poll::Ready(output) = running.as_mut().poll(context) {
            let number = *number;
            drop(under_way.remove(place));
            return Poll::Ready((number, output));
        }
    }
    Poll::Pending
}

/// The operations may have used up what tokio lets a task do in one go; a timer that asks for more of it would never
/// be over.
fn is_over(timer: Pin<&mut Option<Sleep>>, context: &mut Context<'_>) -> Poll<()> {
    match timer.as_pin_mut() {
        Some(timer) => pin!(unconstrained(timer)).poll(context),
        None => Poll::Pending,
    }
}
