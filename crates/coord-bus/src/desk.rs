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

mod ask;
mod take;
mod exchange;
mod line;
mod account;

use std::future::poll_fn;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

use crate::entrances::{Entrances, Place};
use crate::{Envelope, Ledger};
pub(crate) use ask::Ask;
use exchange::Exchange;
pub(crate) use exchange::{Answer, Taken};
use line::Line;
use take::Take;

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

/// A request that nobody has taken, and where its answer is waited for.
struct Waiting<Q, R> {
    envelope: Envelope<Q>,
    exchange: Arc<Exchange<R>>,
}

struct State<Q, R> {
    /// Accepted and not taken.
    requests: Line<Waiting<Q, R>>,
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
    idle: Line<Waker>,
    /// The handles through which one may ask, by where they were opened.
    entrances: Entrances,
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
                idle: Line::new(),
                entrances: Entrances::default(),
            }),
        }
    }

    pub(crate) fn topic(&self) -> &Arc<str> {
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
        Ask::new(self, question)
    }

    /// Takes a request back that nobody has taken yet.
    fn take_back(&self, sequence: u64) {
        let mut state = self.lock();
        let Some(waiting) = state.requests.leave(sequence) else {
            return;
        };
        state.ledger.dropped.unreceived += 1;
        let wakers = state.room(self.capacity);
        drop(state);
        // Outside the lock: what it does when it is dropped is its own business.
        drop(waiting);
        wake(wakers);
    }

    /// One more who takes requests, until it [`rise`](Self::rise)s.
    fn sit(&self, place: &'static Location<'static>) -> u64 {
        self.lock().seats.join(place)
    }

    /// Nothing more is taken at this seat.
    fn rise(&self, seat: u64) {
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
        for waiting in untaken {
            waiting.exchange.answer(Answer::Untaken);
        }
        wake(wakers);
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
        let mut waiting = Draining {
            desk: self,
            place: None,
        };
        poll_fn(|cx| waiting.poll(cx)).await;
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
            wakers.extend(self.idle.leave_if(|_| true));
        }
        wakers
    }
}

/// Waits until everything that was accepted has been taken.
struct Draining<'d, Q, R> {
    desk: &'d Desk<Q, R>,
    /// Where it waits.
    place: Option<u64>,
}

impl<Q, R> Draining<'_, Q, R> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.desk.lock();
        if state.requests.is_empty() {
            return Poll::Ready(());
        }
        match self.place.and_then(|place| state.idle.get_mut(place)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.place = Some(state.idle.join(cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl<Q, R> Drop for Draining<'_, Q, R> {
    fn drop(&mut self) {
        let left = self
            .place
            .and_then(|place| self.desk.lock().idle.leave(place));
        drop(left);
    }
}

/// A responder's seat at a desk, which its tasks share: when they are gone, so is it.
pub(crate) struct Seat<Q, R> {
    desk: Arc<Desk<Q, R>>,
    id: u64,
}

impl<Q, R> Seat<Q, R> {
    pub(crate) fn take(desk: &Arc<Desk<Q, R>>, place: &'static Location<'static>) -> Self {
        Self {
            desk: Arc::clone(desk),
            id: desk.sit(place),
        }
    }

    #[inline]
    pub(crate) fn desk(&self) -> &Arc<Desk<Q, R>> {
        &self.desk
    }

    /// The next request that nobody has taken; `None` once the desk is closed and nothing is left,
    /// or the seat has been given up.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing has been taken.
    #[inline]
    pub(crate) fn request(&self) -> Take<'_, Q, R> {
        Take::new(&self.desk, self.id)
    }

    /// Gives it up.
    pub(crate) fn rise(&self) {
        self.desk.rise(self.id);
    }
}

impl<Q, R> Drop for Seat<Q, R> {
    fn drop(&mut self) {
        self.rise();
    }
}

/// A handle through which one may ask at a desk, and which tells of itself as one that was opened
/// at its place. The last of them closes the desk.
pub(crate) struct Door<Q, R> {
    desk: Arc<Desk<Q, R>>,
    place: Place,
}

impl<Q, R> Door<Q, R> {
    pub(crate) fn open(desk: &Arc<Desk<Q, R>>, place: Place) -> Arc<Self> {
        desk.lock().entrances.enter(place);
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
        if self.desk.lock().entrances.leave(self.place) {
            self.desk.close();
        }
    }
}
