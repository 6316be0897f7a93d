//! Where the requests of one endpoint wait for a responder: a queue between those who ask and those
//! who answer.
//!
//! A request is moved, not shared: it goes to one responder, so it needs no log. One short lock
//! guards everything; nobody is woken, and nothing of anybody's is dropped, under it.
//!
//! # Room
//!
//! A desk has room for its capacity of requests that nobody has taken. Who asks more waits in line;
//! room that gets free is promised to who is first in it.
//!
//! # Ends
//!
//! Where nobody takes a seat, nothing is accepted. When the last who has one goes, those whose
//! requests nobody has taken are told. A closed desk accepts no more; what it has is taken, and then
//! its responders are told.

mod exchange;
mod line;
mod account;

use std::future::poll_fn;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use smallvec::SmallVec;

use crate::{Cause, Ledger, handling};
use exchange::Exchange;
pub(crate) use exchange::{Answer, Taken};
use line::Line;

/// The desk of one endpoint.
pub(crate) struct Desk<Q, R> {
    topic: Arc<str>,
    capacity: usize,
    state: Mutex<State<Q, R>>,
}

/// Why a request was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    Closed,
    Unattended,
    /// It is full, and who asks handles something, so must not wait.
    Full,
}

struct State<Q, R> {
    /// Accepted and not taken.
    requests: Line<Arc<Exchange<Q, R>>>,
    /// Callers that wait for room.
    callers: Line<Waker>,
    /// Room promised to callers that have been woken and have not used it yet.
    promised: usize,
    /// Who takes requests, by where it was set to.
    seats: Line<&'static Location<'static>>,
    /// Those of them that wait for a request, and at which seat.
    takers: Line<(u64, Waker)>,
    closed: bool,
    /// What became of what was accepted since the first of the `seats`, …
    ledger: Ledger,
    /// … and before.
    gone: Ledger,
    /// Who waits until everything is taken.
    idle: Vec<Waker>,
    /// The handles through which one may ask, by where they were opened.
    doors: Vec<(Option<&'static Location<'static>>, usize)>,
}

/// Those to be woken once the lock is released.
type Wakers = SmallVec<[Waker; 2]>;

fn wake(wakers: Wakers) {
    wakers.into_iter().for_each(Waker::wake);
}

impl<Q, R> Desk<Q, R> {
    pub(crate) fn new(topic: &str, capacity: usize) -> Self {
        Self {
            topic: topic.into(),
            capacity,
            state: Mutex::new(State {
                requests: Line::new(),
                callers: Line::new(),
                promised: 0,
                seats: Line::new(),
                takers: Line::new(),
                closed: false,
                ledger: Ledger::default(),
                gone: Ledger::default(),
                idle: Vec::new(),
                doors: Vec::new(),
            }),
        }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    fn lock(&self) -> MutexGuard<'_, State<Q, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, once there is room at the desk, and waits for the answer.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nobody takes the request, or who has taken it learns of it.
    #[inline]
    pub(crate) fn ask(&self, question: Q) -> Ask<'_, Q, R> {
        Ask {
            desk: self,
            question: Some(question),
            exchange: None,
            progress: Progress::Outside,
        }
    }

    /// Takes a request back that nobody has taken yet.
    fn take_back(&self, sequence: u64) {
        let mut state = self.lock();
        let Some(exchange) = state.requests.leave(sequence) else {
            return;
        };
        state.ledger.dropped.unreceived += 1;
        let wakers = state.room(self.capacity);
        drop(state);
        drop(exchange);
        wake(wakers);
    }

    /// One more who takes requests, until it [`rise`](Self::rise)s.
    pub(crate) fn sit(&self, place: &'static Location<'static>) -> u64 {
        self.lock().seats.join(place)
    }

    /// Nothing more is taken at this seat.
    pub(crate) fn rise(&self, seat: u64) {
        let mut state = self.lock();
        if state.seats.leave(seat).is_none() {
            return;
        }
        let takers = state.takers.leave_if(|(at, _)| *at == seat);
        let mut wakers: Wakers = takers.into_iter().map(|(_, waker)| waker).collect();
        let mut untaken = Vec::new();
        if state.seats.is_empty() {
            untaken = state.requests.leave_if(|_| true);
            state.ledger.dropped.unreceived += untaken.len() as u64;
            let ledger = std::mem::take(&mut state.ledger);
            state.gone += ledger;
            wakers.extend(state.room(self.capacity));
            wakers.extend(state.callers.iter().cloned());
        }
        drop(state);
        for exchange in untaken {
            exchange.answer(Answer::Untaken);
        }
        wake(wakers);
    }

    /// The next request that nobody has taken, and what it causes; `None` once the desk is closed
    /// and nothing is left, or the seat has been given up.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing has been taken.
    pub(crate) fn take(&self, seat: u64) -> Take<'_, Q, R> {
        Take {
            desk: self,
            seat,
            place: None,
        }
    }

    /// Accepts no more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let takers = state.takers.leave_if(|_| true);
        let mut wakers: Wakers = takers.into_iter().map(|(_, waker)| waker).collect();
        wakers.extend(state.callers.iter().cloned());
        drop(state);
        wake(wakers);
    }

    /// Resolves once everything that was accepted has been taken.
    pub(crate) async fn drained(&self) {
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.requests.is_empty() {
                return Poll::Ready(());
            }
            if !state.idle.iter().any(|each| each.will_wake(cx.waker())) {
                state.idle.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

impl<Q, R> State<Q, R> {
    /// Whether anybody waits for requests to be fewer.
    fn is_waited_for(&self) -> bool {
        !self.callers.is_empty() || !self.idle.is_empty()
    }

    /// Requests are fewer: whom that concerns.
    fn room(&mut self, capacity: usize) -> Wakers {
        let mut wakers = Wakers::new();
        while self.requests.len() + self.promised < capacity
            && let Some((_, caller)) = self.callers.serve()
        {
            self.promised += 1;
            wakers.push(caller);
        }
        if self.requests.is_empty() {
            wakers.extend(self.idle.drain(..));
        }
        wakers
    }
}

/// The future of [`Desk::ask`].
pub(crate) struct Ask<'a, Q, R> {
    desk: &'a Desk<Q, R>,
    /// Until it is in the exchange.
    question: Option<Q>,
    exchange: Option<Arc<Exchange<Q, R>>>,
    progress: Progress,
}

#[derive(Clone, Copy)]
enum Progress {
    Outside,
    /// In line for room, at this place.
    InLine(u64),
    /// Accepted, with this sequence.
    Accepted(u64),
    Done,
}

// The question is moved, never pinned.
impl<Q, R> Unpin for Ask<'_, Q, R> {}

impl<Q, R> Future for Ask<'_, Q, R> {
    type Output = Result<Answer<R>, Turned>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(question) = this.question.take() {
            this.exchange = Some(Arc::new(Exchange::new(question, cx.waker())));
        }
        let Some(exchange) = &this.exchange else {
            panic!("polled after it was done");
        };
        match this.progress {
            Progress::Accepted(_) => {}
            Progress::Outside | Progress::InLine(_) => {
                let was_in_line = matches!(this.progress, Progress::InLine(_));
                ready!(this.desk.poll_enter(exchange, &mut this.progress, cx))?;
                if !was_in_line {
                    // The exchange has this waker already.
                    return Poll::Pending;
                }
            }
            Progress::Done => panic!("polled after it was done"),
        }
        let answer = ready!(exchange.poll_answer(cx));
        this.progress = Progress::Done;
        Poll::Ready(Ok(answer))
    }
}

impl<Q, R> Desk<Q, R> {
    fn poll_enter(
        &self,
        exchange: &Arc<Exchange<Q, R>>,
        progress: &mut Progress,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Turned>> {
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(Err(Turned::Closed));
        }
        if state.seats.is_empty() {
            return Poll::Ready(Err(Turned::Unattended));
        }
        if let Progress::InLine(place) = *progress {
            if let Some(waker) = state.callers.get_mut(place) {
                let replaced = match waker.will_wake(cx.waker()) {
                    true => None,
                    false => Some(std::mem::replace(waker, cx.waker().clone())),
                };
                drop(state);
                drop(replaced);
                return Poll::Pending;
            }
            state.promised -= 1;
        } else if state.requests.len() + state.promised >= self.capacity {
            if handling::is_active() {
                // Who waits may be the one that everybody waits for.
                return Poll::Ready(Err(Turned::Full));
            }
            *progress = Progress::InLine(state.callers.join(cx.waker().clone()));
            return Poll::Pending;
        }
        *progress = Progress::Accepted(state.requests.join(Arc::clone(exchange)));
        state.ledger.published += 1;
        let taker = state.takers.serve();
        drop(state);
        if let Some((_, (_, taker))) = taker {
            taker.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// Who was in line for room goes.
    fn leave_line(&self, place: u64) {
        let mut state = self.lock();
        let waker = state.callers.leave(place);
        let mut wakers = Wakers::new();
        if waker.is_none() {
            // What it was promised goes to the next.
            state.promised -= 1;
            wakers = state.room(self.capacity);
        }
        drop(state);
        drop(waker);
        wake(wakers);
    }
}

impl<Q, R> Drop for Ask<'_, Q, R> {
    fn drop(&mut self) {
        match (self.progress, &self.exchange) {
            (Progress::InLine(place), _) => self.desk.leave_line(place),
            (Progress::Accepted(sequence), Some(exchange)) if exchange.quit() => {
                self.desk.take_back(sequence);
            }
            _ => {}
        }
    }
}

/// The future of [`Desk::take`].
pub(crate) struct Take<'a, Q, R> {
    desk: &'a Desk<Q, R>,
    seat: u64,
    /// Among the takers, from when it waits.
    place: Option<u64>,
}

impl<Q, R> Future for Take<'_, Q, R> {
    type Output = Option<(Taken<Q, R>, Cause)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.desk.lock();
        if !state.seats.contains(this.seat) {
            return Poll::Ready(None);
        }
        if let Some((sequence, exchange)) = state.requests.serve() {
            state.ledger.delivered += 1;
            let waker = this
                .place
                .take()
                .and_then(|place| state.takers.leave(place));
            if state.is_waited_for() {
                let wakers = state.room(this.desk.capacity);
                drop(state);
                wake(wakers);
            } else {
                drop(state);
            }
            drop(waker);
            let taken = Taken::new(exchange);
            let cause = taken.cause(&this.desk.topic, sequence);
            return Poll::Ready(Some((taken, cause)));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        let taker = this.place.and_then(|place| state.takers.get_mut(place));
        let mut replaced = None;
        match taker {
            Some((_, waker)) if waker.will_wake(cx.waker()) => {}
            Some((_, waker)) => replaced = Some(std::mem::replace(waker, cx.waker().clone())),
            None => this.place = Some(state.takers.join((this.seat, cx.waker().clone()))),
        }
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl<Q, R> Drop for Take<'_, Q, R> {
    fn drop(&mut self) {
        let Some(place) = self.place else {
            return;
        };
        let mut state = self.desk.lock();
        let mut taker = state.takers.leave(place);
        let was_woken = taker.is_none();
        // It may have been woken for a request that it does not take: somebody else is to.
        if was_woken && !state.requests.is_empty() {
            taker = state.takers.serve().map(|(_, taker)| taker);
        }
        drop(state);
        if let Some((_, waker)) = taker
            && was_woken
        {
            waker.wake();
        }
    }
}

/// A handle through which one may ask at a desk, and which tells of itself as one that was opened
/// at its place. The last of them closes the desk.
pub(crate) struct Door<Q, R> {
    desk: Arc<Desk<Q, R>>,
    place: Option<&'static Location<'static>>,
}

impl<Q, R> Door<Q, R> {
    pub(crate) fn open(
        desk: &Arc<Desk<Q, R>>,
        place: Option<&'static Location<'static>>,
    ) -> Arc<Self> {
        desk.lock().enter(place);
        Arc::new(Self {
            desk: Arc::clone(desk),
            place,
        })
    }

    pub(crate) fn desk(&self) -> &Arc<Desk<Q, R>> {
        &self.desk
    }
}

impl<Q, R> Drop for Door<Q, R> {
    fn drop(&mut self) {
        if self.desk.lock().part(self.place) {
            self.desk.close();
        }
    }
}
