//! Where an answer is waited for, from when the question is asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Failure;

/// What an asker and an answerer share.
pub(super) struct Exchange<R>(Mutex<State<R>>);

struct State<R> {
    stage: Stage<R>,
    asker: Option<Waker>,
    answerer: Option<Waker>,
}

enum Stage<R> {
    Open,
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

impl<R> Exchange<R> {
    #[inline]
    pub(super) fn new(asker: &Waker) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            stage: Stage::Open,
            asker: Some(asker.clone()),
            answerer: None,
        })))
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, once it is there.
    #[inline]
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

    /// The asker goes without an answer.
    pub(super) fn quit(&self) {
        let mut state = self.lock();
        let stage = std::mem::replace(&mut state.stage, Stage::Over);
        let (asker, answerer) = (state.asker.take(), state.answerer.take());
        drop(state);
        // Outside the lock: what an answer does when it is dropped is its own business.
        drop((stage, asker));
        if let Some(answerer) = answerer {
            answerer.wake();
        }
    }

    /// Answers, where that has not been done and the asker is there.
    #[inline]
    pub(super) fn answer(&self, answer: Answer<R>) {
        let mut state = self.lock();
        let Stage::Open = state.stage else {
            drop(state);
            drop(answer);
            return;
        };
        state.stage = Stage::Answered(answer);
        let asker = state.asker.take();
        drop(state);
        if let Some(asker) = asker {
            asker.wake();
        }
    }
}

/// The answerer's side of a request that it has taken. Dropped without an answer, the request is
/// abandoned.
pub(crate) struct Taken<R> {
    exchange: Arc<Exchange<R>>,
    is_answered: AtomicBool,
}

impl<R> Taken<R> {
    #[inline]
    pub(super) fn new(exchange: Arc<Exchange<R>>) -> Self {
        Self {
            exchange,
            is_answered: AtomicBool::new(false),
        }
    }

    /// Resolves when whoever asked is gone.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.exchange.lock();
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

    /// Answers; only the first time counts.
    #[inline]
    pub(crate) fn answer(&self, answer: Answer<R>) {
        self.is_answered.store(true, Ordering::Relaxed);
        self.exchange.answer(answer);
    }
}

impl<R> Drop for Taken<R> {
    #[inline]
    fn drop(&mut self) {
        if !*self.is_answered.get_mut() {
            self.exchange.answer(Answer::Abandoned);
        }
    }
}
