//! Into the log: an event takes its place, or waits for room.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use super::sieve::Woken;
use super::state::{Garbage, State, Wakers};
use super::sync::MutexGuard;
use super::{Shared, wake};
use crate::handling::{self, Awaited, Patience};
use crate::{Envelope, Refusal};

/// The future of [`Log::append`](crate::Log::append).
#[must_use = "an event is appended when this is awaited"]
pub struct Append<'a, E> {
    shared: &'a Shared<E>,
    /// `None` once done.
    envelope: Option<Envelope<E>>,
    /// Apart, as few have to wait, and all are dropped.
    line: Option<Box<InLine<'a, E>>>,
}

/// A publisher in the queue for room, until this is dropped.
struct InLine<'a, E> {
    shared: &'a Shared<E>,
    ticket: Option<u64>,
    /// There while it handles an event.
    patience: Option<Box<Patience>>,
}

// The event is moved, never pinned.
impl<E> Unpin for Append<'_, E> {}

impl<'a, E> Append<'a, E> {
    #[inline]
    pub(super) fn new(shared: &'a Shared<E>, envelope: Envelope<E>) -> Self {
        Self {
            shared,
            envelope: Some(envelope),
            line: None,
        }
    }

    pub(crate) fn envelope_mut(&mut self) -> Option<&mut Envelope<E>> {
        self.envelope.as_mut()
    }
}

impl<E> Future for Append<'_, E> {
    type Output = Result<(), (Envelope<E>, Refusal)>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let state = this.shared.lock();
        if this.line.is_none() && state.is_open() {
            this.shared.push(state, &mut this.envelope);
            return Poll::Ready(Ok(()));
        }
        let refusal = ready!(this.poll_slowly(state, cx));
        Poll::Ready(this.envelope.take().zip(refusal).map_or(Ok(()), Err))
    }
}

impl<E> Append<'_, E> {
    #[cold]
    fn poll_slowly(
        &mut self,
        state: MutexGuard<'_, State<E>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Refusal>> {
        let (shared, mut new) = (self.shared, None);
        let ticket = match &mut self.line {
            Some(line) => &mut line.ticket,
            None => &mut new,
        };
        let mut polled = shared.poll_append_slowly(state, cx, ticket, &mut self.envelope);
        if polled.is_pending() {
            let line = self.line.get_or_insert_with(|| {
                let patience = None;
                Box::new(InLine {
                    shared,
                    ticket: new,
                    patience,
                })
            });
            match handling::is_active() {
                true => polled = line.poll_patience(cx).map(Some),
                // It goes on elsewhere, and nobody waits for that.
                false => line.patience = None,
            }
        }
        if polled.is_ready() {
            self.line = None;
        }
        polled
    }
}

impl<E> InLine<'_, E> {
    /// Whoever handles an event may be the one that everybody waits for: resolves when it may wait
    /// no longer.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Refusal> {
        // By the slowest, at whom it has just been looked.
        let progress = self.shared.lock().limit;
        let begun = match &mut self.patience {
            Some(patience) => Ok(patience),
            none => Patience::begin(&Awaited::Log(Arc::clone(&self.shared.topic)), progress)
                .map(|patience| none.insert(patience)),
        };
        match begun {
            Ok(patience) => loop {
                if let Some(refusal) = ready!(patience.poll(progress, cx)) {
                    return Poll::Ready(refusal);
                }
            },
            Err(refusal) => Poll::Ready(refusal),
        }
    }
}

impl<E> Drop for InLine<'_, E> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.give_up(ticket);
        }
    }
}

impl<E> Shared<E> {
    /// Appends an event for which there is room, a place and a subscriber.
    #[inline]
    pub(super) fn push(
        &self,
        mut state: MutexGuard<'_, State<E>>,
        envelope: &mut Option<Envelope<E>>,
    ) {
        state.push(envelope);
        self.next.store(state.next, Ordering::Release);
        if state.has_parked() {
            Self::unpark(state);
        }
    }

    #[inline(never)]
    fn unpark(mut state: MutexGuard<'_, State<E>>) {
        let mut wakers = Wakers::new();
        state.unpark(&mut wakers);
        drop(state);
        wake(wakers);
    }

    /// Appends an event for which there is room, if anybody listens.
    fn push_or_skip(
        &self,
        mut state: MutexGuard<'_, State<E>>,
        envelope: &mut Option<Envelope<E>>,
    ) {
        if state.next >= state.newest_limit {
            self.await_everybody();
            state.look_at_newest();
            self.await_slowest(&state);
        }
        if !state.is_heard() {
            let garbage = match state.is_empty() {
                true => Garbage::new(),
                false => state.release(),
            };
            state.skip();
            self.next.store(state.next, Ordering::Release);
            // Outside the lock: what it does when it is dropped is its own business.
            drop(state);
            *envelope = None;
            self.recycle(garbage);
            return;
        }
        let mut wakers = Wakers::new();
        let garbage = state.make_tail(&mut wakers);
        if state.next >= state.fold_limit {
            state.take_folded(&mut wakers);
        }
        if !state.onlookers.is_empty() {
            wakers.extend(state.onlookers.drain(..).map(Woken::of));
            state.settle();
        }
        self.push(state, envelope);
        wake(wakers);
        self.recycle(garbage);
    }

    #[cold]
    pub(super) fn try_append_slowly(
        &self,
        mut state: MutexGuard<'_, State<E>>,
        envelope: &mut Option<Envelope<E>>,
    ) -> Option<Refusal> {
        if state.closed {
            return Some(Refusal::Closed);
        }
        let mut wakers = Wakers::new();
        let refusal = if state.has_room(&mut wakers) {
            self.push_or_skip(state, envelope);
            None
        } else {
            drop(state);
            Some(Refusal::Full)
        };
        // Whoever was promised room while we looked for some.
        wake(wakers);
        refusal
    }

    #[cold]
    fn poll_append_slowly(
        &self,
        mut state: MutexGuard<'_, State<E>>,
        cx: &mut Context<'_>,
        ticket: &mut Option<u64>,
        envelope: &mut Option<Envelope<E>>,
    ) -> Poll<Option<Refusal>> {
        if state.closed {
            *ticket = None;
            return Poll::Ready(Some(Refusal::Closed));
        }
        let mut wakers = Wakers::new();
        let mut replaced = None;
        let mut room = state.redeem(ticket) || (ticket.is_none() && state.has_room(&mut wakers));
        if !room {
            replaced = state.wait_for_room(ticket, cx.waker());
            self.await_everybody();
            state.has_room(&mut wakers);
            room = state.redeem(ticket);
            self.await_slowest(&state);
        }
        let done = if room {
            self.push_or_skip(state, envelope);
            Poll::Ready(None)
        } else {
            drop(state);
            Poll::Pending
        };
        drop(replaced);
        wake(wakers);
        done
    }

    #[cold]
    fn give_up(&self, ticket: u64) {
        let mut wakers = Wakers::new();
        let waker = self.lock().give_up(ticket, &mut wakers);
        drop(waker);
        wake(wakers);
    }
}
