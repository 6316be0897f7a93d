//! A topic's events in batches, by settings that may change: [`Pace`].

use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use coord_bus::time::Instant;
use coord_bus::{Delivery, Event, Subscriber};

use crate::Optimized;
use crate::account::Follower;
use crate::optimized::{Desk, Operator, Taken};
use crate::timer::after;

/// The stream of [`EventStreamOptimizer::subscribe`](crate::EventStreamOptimizer::subscribe): the
/// events of a topic, in the topic's order, in batches that are never empty. See [`Pace`].
pub type Batches<E> = Optimized<Subscriber<E>, Pace<E>>;

impl<E: Event> Batches<E> {
    /// Takes nothing that is published from now on, and holds no publisher up any more. What was
    /// published before still comes out, and then the stream ends.
    pub fn close(&mut self) {
        self.source.source_mut().close();
    }
}

/// The operator that follows a topic's [`Settings`](crate::Settings).
///
/// A batch comes out when its turn has come, with what there is by then, and has at most the
/// topic's buffer size. Without a rate limit it is always somebody's turn: a batch is what is
/// ready, or what came within the time that it waits, or until there was enough. With one, the first batch comes at once, and
/// each other a period after the one before, or later if there was nothing to give.
///
/// Where no setting says that events are dropped or merged, it is lossless: a batch that is full and
/// waits for its turn makes publishers wait, once they are the topic's capacity ahead. What is too
/// much for its rate and size together does not get through faster; where only the latest matters,
/// use [`conflate`](crate::EventStreamOptimizer::conflate), or merge by key.
///
/// It ends when the topic is closed and everything has come out, the last batch when it is its
/// turn; what waits for a silence or for more is not kept waiting then.
pub struct Pace<E> {
    follower: Follower<E>,
    /// The newest event, for as long as there may be a silence after it.
    settling: Option<Delivery<E>>,
    /// Whether that has come since this was last looked at.
    fresh: bool,
    /// When it has been silent for long enough.
    quiet: Instant,
    held: Vec<Delivery<E>>,
    /// Where in the batch each key is.
    places: HashMap<Box<str>, usize>,
    /// How many events the batch that has begun may have.
    size: usize,
    /// How many it has when it need not wait for more.
    enough: usize,
    /// When the batch that has begun need not wait for more.
    due: Instant,
    /// When the next batch may come out.
    turn: Instant,
    /// The last event that was let through, if it is to be told from the next.
    last: Option<Delivery<E>>,
}

impl<E: Event> Pace<E> {
    pub(crate) fn new(follower: Follower<E>) -> Self {
        let now = Instant::now();
        Self {
            follower,
            settling: None,
            fresh: false,
            quiet: now,
            held: Vec::new(),
            places: HashMap::new(),
            size: usize::MAX,
            enough: usize::MAX,
            due: now,
            turn: now,
            last: None,
        }
    }

    /// An event goes into the batch, unless it repeats the last, or takes the place of another.
    fn admit(&mut self, event: Delivery<E>, desk: &mut Desk) {
        let settings = Arc::clone(self.follower.settings());
        if let Some(same) = &settings.same {
            if self.last.as_ref().is_some_and(|last| same(last, &event)) {
                desk.ledger().dropped.repeated += 1;
                return;
            }
            self.last = Some(event.clone());
        }
        if let Some(key) = &settings.key {
            let key = key(&event);
            if let Some(place) = self.places.get(key) {
                self.held[*place] = event;
                desk.ledger().merged += 1;
                return;
            }
            self.places.insert(key.into(), self.held.len());
        }
        if self.held.is_empty() {
            self.size = settings.buffer_size;
            self.enough = settings.enough.unwrap_or(usize::MAX).min(self.size);
            if !settings.within.is_zero() {
                self.due = after(Instant::now(), settings.within);
            }
        }
        self.held.push(event);
    }

    fn is_full(&self) -> bool {
        self.held.len() >= self.size
    }

    fn flush(&mut self, desk: &mut Desk, now: Instant) -> Option<Vec<Delivery<E>>> {
        self.turn = after(now, self.follower.settings().period());
        self.due = now;
        self.size = usize::MAX;
        self.places.clear();
        desk.ledger().given_out += self.held.len() as u64;
        Some(mem::take(&mut self.held))
    }
}

impl<E: Event> Operator<Delivery<E>> for Pace<E> {
    type Out = Vec<Delivery<E>>;

    fn late(&mut self, _: &mut Desk) -> Option<Self::Out> {
        self.follower.look();
        None
    }

    fn wants(&self) -> bool {
        !self.is_full()
    }

    fn take(&mut self, event: Delivery<E>, desk: &mut Desk) -> Taken<Self::Out> {
        let settings = self.follower.settings();
        if let Some(relevant) = &settings.relevant
            && !relevant(&event)
        {
            desk.ledger().dropped.irrelevant += 1;
            return ControlFlow::Continue(());
        }
        if let (Some(limit), Some(age)) = (settings.max_age, &settings.age)
            && age(&event) > limit
        {
            desk.ledger().dropped.expired += 1;
            return ControlFlow::Continue(());
        }
        let settles = settings.debounce.is_some();
        // One from when there still was a silence to wait for, or whose silence was over before this.
        let settled = !settles || !self.fresh && Instant::now() > self.quiet;
        if let Some(before) = self.settling.take_if(|_| settled) {
            self.admit(before, desk);
            if self.is_full() {
                self.settling = Some(event);
                self.fresh = settles;
                return ControlFlow::Break(None);
            }
        }
        if settles {
            self.fresh = true;
            if self.settling.replace(event).is_some() {
                desk.ledger().dropped.superseded += 1;
            }
            return ControlFlow::Continue(());
        }
        self.admit(event, desk);
        if self.is_full() {
            return ControlFlow::Break(None);
        }
        ControlFlow::Continue(())
    }

    fn give(
        &mut self,
        desk: &mut Desk,
        cx: &mut Context<'_>,
        ended: bool,
    ) -> Poll<Option<Self::Out>> {
        if self.settling.is_none() && self.held.is_empty() {
            return Poll::Ready(None);
        }
        loop {
            let now = Instant::now();
            let silence = self.follower.settings().debounce;
            if mem::take(&mut self.fresh)
                && let Some(silence) = silence
            {
                self.quiet = after(now, silence);
            }
            let settled = ended || silence.is_none() || now >= self.quiet;
            if settled
                && !self.is_full()
                && let Some(event) = self.settling.take()
            {
                self.admit(event, desk);
            }
            let mut next = self.settling.is_some().then_some(self.quiet);
            if !self.held.is_empty() {
                let due = match self.held.len() >= self.enough || ended {
                    true => self.turn,
                    false => self.turn.max(self.due),
                };
                if due <= now {
                    return Poll::Ready(self.flush(desk, now));
                }
                next = match next {
                    Some(quiet) if quiet < due && !self.is_full() => Some(quiet),
                    _ => Some(due),
                };
            }
            // Nothing is left where what had settled was a repeat.
            let Some(next) = next else {
                return Poll::Ready(None);
            };
            desk.timer.start_until(next);
            ready!(desk.timer.poll(cx));
        }
    }

    fn held(&self) -> usize {
        self.held.len() + usize::from(self.settling.is_some())
    }
}

impl<E> fmt::Debug for Pace<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pace")
            .field("held", &self.held.len())
            .field("settings", self.follower.settings())
            .finish_non_exhaustive()
    }
}
