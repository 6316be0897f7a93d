//! One request, from when it is asked until it is answered, or of no more use to anybody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::{Cause, Failure, handling};

/// What an asker and an answerer share: where the question is, and then the answer.
pub(crate) struct Exchange<Q, R> {
    /// The undertaking that it belongs to, where it was asked while something was handled.
    correlation: Option<String>,
    state: Mutex<State<Q, R>>,
}

struct State<Q, R> {
    stage: Stage<Q, R>,
    asker: Option<Waker>,
    answerer: Option<Waker>,
}

enum Stage<Q, R> {
    Asked(Q),
    Taken,
    Answered(Answer<R>),
    /// The asker has the answer, or is gone.
    Over,
}

/// What comes of a request that was accepted.
pub(crate) enum Answer<R> {
    Reply(R),
    Failed(Failure),
    /// Everybody who could take it went first.
    Untaken,
    /// Who had taken it was stopped.
    Abandoned,
}

impl<Q, R> Exchange<Q, R> {
    pub(super) fn new(question: Q, asker: &Waker) -> Self {
        Self {
            correlation: handling::correlation(),
            state: Mutex::new(State {
                stage: Stage::Asked(question),
                asker: Some(asker.clone()),
                answerer: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<Q, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, once it is there.
    pub(super) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Answer<R>> {
        let mut state = self.lock();
        if let Stage::Answered(_) = state.stage
            && let Stage::Answered(answer) = std::mem::replace(&mut state.stage, Stage::Over)
        {
            return Poll::Ready(answer);
        }
        let replaced = match &state.asker {
            Some(asker) if asker.will_wake(cx.waker()) => None,
            _ => state.asker.replace(cx.waker().clone()),
        };
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// The asker goes. Whether nobody has taken its question.
    pub(super) fn quit(&self) -> bool {
        let mut state = self.lock();
        let stage = std::mem::replace(&mut state.stage, Stage::Over);
        let wakers = (state.asker.take(), state.answerer.take());
        drop(state);
        let is_untaken = matches!(stage, Stage::Asked(_));
        // Outside the lock: what it does when it is dropped is its own business.
        drop(stage);
        if let (_, Some(answerer)) = wakers {
            answerer.wake();
        }
        is_untaken
    }

    pub(super) fn answer(&self, answer: Answer<R>) {
        let mut state = self.lock();
        if let Stage::Over = state.stage {
            drop(state);
            drop(answer);
            return;
        }
        let stage = std::mem::replace(&mut state.stage, Stage::Answered(answer));
        let asker = state.asker.take();
        drop(state);
        drop(stage);
        if let Some(asker) = asker {
            asker.wake();
        }
    }
}

/// A request that a responder has taken. Dropped without an answer, it is abandoned.
pub(crate) struct Taken<Q, R> {
    exchange: Option<Arc<Exchange<Q, R>>>,
}

impl<Q, R> Taken<Q, R> {
    pub(super) fn new(exchange: Arc<Exchange<Q, R>>) -> Self {
        Self {
            exchange: Some(exchange),
        }
    }

    /// What follows from it.
    pub(crate) fn cause(&self, endpoint: &Arc<str>, sequence: u64) -> Cause {
        let exchange = self.exchange.as_ref();
        let correlation = exchange.and_then(|exchange| exchange.correlation.clone());
        Cause::of_request(Arc::clone(endpoint), sequence, correlation)
    }

    /// What was asked, unless whoever asked is gone.
    pub(crate) fn question(&self) -> Option<Q> {
        let mut state = self.exchange.as_ref()?.lock();
        if let Stage::Asked(_) = state.stage
            && let Stage::Asked(question) = std::mem::replace(&mut state.stage, Stage::Taken)
        {
            return Some(question);
        }
        None
    }

    /// Resolves when whoever asked is gone.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(exchange) = &self.exchange else {
            return Poll::Ready(());
        };
        let mut state = exchange.lock();
        if let Stage::Over = state.stage {
            return Poll::Ready(());
        }
        let replaced = match &state.answerer {
            Some(answerer) if answerer.will_wake(cx.waker()) => None,
            _ => state.answerer.replace(cx.waker().clone()),
        };
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    pub(crate) fn answer(mut self, answer: Answer<R>) {
        if let Some(exchange) = self.exchange.take() {
            exchange.answer(answer);
        }
    }
}

impl<Q, R> Drop for Taken<Q, R> {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.answer(Answer::Abandoned);
        }
    }
}
