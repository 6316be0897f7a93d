//! Reading on a subscriber's behalf. A subscriber with a filter is woken by an event that passes
//! it, and by no other: whoever publishes looks. One that wants the newest for each key never
//! holds anybody up: once it is a capacity behind, whoever publishes puts what it has not read
//! into its table. Both happen outside the log's lock.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Waker;

use super::attendance::{Class, Label};
use super::keys::{Kept, Keys, Put};
use super::reader::{Hand, More, Reader};
use super::sync::{Mutex, MutexGuard};
use super::{Shared, recover, try_recover};
use crate::{Ledger, SubscribeOptions};

/// What a publisher does for a subscriber, once it has let go of the log's lock.
pub(crate) trait Assist: Send + Sync {
    /// Something was published while it slept: wakes it, if that passes its filter.
    fn sift(&self);
    /// It is far behind: puts what it has not read into its table.
    fn fold(&self);
}

/// Somebody who is to be woken.
pub(crate) enum Woken {
    Waker(Waker),
    /// If there is something for it, and it is still there.
    Sift(Weak<dyn Assist>),
    Fold(Weak<dyn Assist>),
}

impl Woken {
    pub(super) fn of(waker: Waker) -> Self {
        Self::Waker(waker)
    }

    pub(super) fn wake(self) {
        match self {
            Self::Waker(waker) => waker.wake(),
            Self::Sift(sieve) => {
                if let Some(sieve) = sieve.upgrade() {
                    sieve.sift();
                }
            }
            Self::Fold(sieve) => {
                if let Some(sieve) = sieve.upgrade() {
                    sieve.fold();
                }
            }
        }
    }
}

/// A filter or a key is being evaluated on this thread: should it publish in turn, nobody reads on
/// anybody's behalf meanwhile.
fn is_at_work() -> bool {
    AT_WORK.with(Cell::get)
}

#[cfg(not(coord_loom))]
thread_local! {
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

// Loom runs all threads of a model on one.
#[cfg(coord_loom)]
loom::thread_local! {
    static AT_WORK: Cell<bool> = Cell::new(false);
}

/// Until it is dropped, also where an event panics when that is.
struct AtWork {
    outer: bool,
}

impl AtWork {
    fn begin() -> Self {
        Self {
            outer: AT_WORK.with(|at_work| at_work.replace(true)),
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.with(|at_work| at_work.set(self.outer));
    }
}

type Filter<E> = Arc<dyn Fn(&E) -> bool + Send + Sync>;
type Panic = Box<dyn Any + Send>;

/// A subscriber of whose events not all are for it.
pub(crate) struct Sieve<E> {
    shared: Arc<Shared<E>>,
    id: usize,
    work: Mutex<Work<E>>,
}

struct Work<E> {
    reader: Reader<E>,
    hand: Hand<E>,
    filter: Option<Filter<E>>,
    /// Where there are keys, what is kept for each.
    keys: Option<Box<dyn Keys<E>>>,
    /// The place in the hand of an event that passed, and is not handed out yet.
    found: Option<usize>,
    /// How many events it did not get just before the next.
    missed: u64,
    /// What a filter or a key panicked with: for who asks next.
    panic: Option<Panic>,
}

/// What came of looking for an event that passes.
enum Seek {
    Found,
    Empty,
    Closed,
    Panicked,
}

impl<E: Send + Sync + 'static> Sieve<E> {
    pub(super) fn new(
        shared: &Arc<Shared<E>>,
        label: Label,
        class: Option<Class>,
        options: &SubscribeOptions<E>,
    ) -> Arc<Self> {
        let keys = options.make_keys();
        let filter = options.filter.clone();
        Arc::new_cyclic(|sieve: &Weak<Self>| {
            let assist = Weak::clone(sieve) as Weak<dyn Assist>;
            let (id, cursor) = shared.join(label, class, Some(assist));
            Self {
                shared: Arc::clone(shared),
                id,
                work: Mutex::new(Work {
                    hand: Hand::new(cursor),
                    reader: Reader::new(Arc::clone(shared), id),
                    filter,
                    keys,
                    found: None,
                    missed: 0,
                    panic: None,
                }),
            }
        })
    }
}

impl<E> Sieve<E> {
    fn work(&self) -> MutexGuard<'_, Work<E>> {
        recover(self.work.lock())
    }

    pub(crate) fn topic(&self) -> Arc<str> {
        Arc::clone(self.work().reader.topic())
    }

    /// The next event that is for the subscriber. If there is none yet, the waker is woken when
    /// there is.
    pub(crate) fn next(&self, waker: Option<&Waker>) -> More<Kept<E>> {
        let mut work = self.work();
        let next = work.guarded(|work| match work.keys {
            Some(_) => work.next_by_key(waker),
            None => work.next_found(waker),
        });
        if let Some(panic) = work.panic.take() {
            drop(work);
            resume_unwind(panic);
        }
        next
    }

    pub(crate) fn stop(&self) {
        self.work().reader.stop();
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.work().reader.ledger()
    }
}

impl<E: Send + Sync + 'static> Assist for Sieve<E> {
    fn sift(&self) {
        // Whoever is at it now may have looked before there was something.
        let is_worth_it = match try_recover(&self.work) {
            Some(mut work) if !is_at_work() => work.guarded(Work::has_something),
            _ => true,
        };
        if is_worth_it {
            // Left in its place until now: if there is nothing, it is there for the next time.
            let waker = self.shared.lock().take_waker(self.id);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    fn fold(&self) {
        if is_at_work() {
            return;
        }
        if let Some(mut work) = try_recover(&self.work) {
            work.guarded(|work| work.fold(None));
        }
    }
}

impl<E> Work<E> {
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let _at_work = AtWork::begin();
        work(self)
    }

    /// Whether it is worth to wake the subscriber.
    fn has_something(&mut self) -> bool {
        let seek = match self.keys {
            Some(_) => self.fold(None),
            None => self.seek(None),
        };
        let is_kept = self.keys.as_ref().is_some_and(|keys| !keys.is_empty());
        is_kept || self.panic.is_some() || !matches!(seek, Seek::Empty)
    }

    /// Looks for the next event that passes the filter, and stands before it.
    fn seek(&mut self, waker: Option<&Waker>) -> Seek {
        if self.found.is_some() {
            return Seek::Found;
        }
        loop {
            if self.panic.is_some() {
                return Seek::Panicked;
            }
            let Some(index) = self.hand.next_index() else {
                match self.hand.more(&self.reader, waker) {
                    More::Yes(missed) => self.missed += missed,
                    More::Empty => return Seek::Empty,
                    More::Closed => return Seek::Closed,
                }
                continue;
            };
            let passes = match (&self.filter, self.hand.event(index)) {
                (Some(filter), Some(event)) => catch_unwind(AssertUnwindSafe(|| filter(event))),
                _ => Ok(true),
            };
            match passes {
                Ok(true) => {
                    self.found = Some(index);
                    return Seek::Found;
                }
                Ok(false) => {}
                Err(panic) => self.panic = Some(panic),
            }
            self.pass();
            let filtered = &self.hand.cursor().filtered;
            filtered.fetch_add(1, Ordering::Release);
        }
    }

    /// The position moves past the event that it stands before.
    fn pass(&mut self) {
        self.found = None;
        self.hand.pass(1);
        if self.hand.is_at_end() {
            self.reader.caught_up(self.hand.first());
        }
    }

    fn next_found(&mut self, waker: Option<&Waker>) -> More<Kept<E>> {
        match self.seek(waker) {
            Seek::Found => {
                let index = self.found.unwrap_or_default();
                let kept = self.hand.keep(index, std::mem::take(&mut self.missed));
                self.pass();
                More::Yes(kept)
            }
            Seek::Closed => More::Closed,
            Seek::Empty | Seek::Panicked => More::Empty,
        }
    }

    /// Puts what was published until now into the table; and goes on until it finds something or
    /// there is nothing. How that ended.
    fn fold(&mut self, waker: Option<&Waker>) -> Seek {
        let end = self.reader.filled();
        loop {
            let seek = self.seek(waker);
            let (Seek::Found, Some(keys)) = (&seek, &mut self.keys) else {
                return seek;
            };
            let index = self.found.unwrap_or_default();
            let kept = self.hand.keep(index, 0);
            let put = catch_unwind(AssertUnwindSafe(|| keys.put(kept)));
            // Kept before it is passed: who looks finds it in one place or the other.
            let cursor = Arc::clone(self.hand.cursor());
            let count = match &put {
                Ok(Put::New) => &cursor.held,
                Ok(Put::Replaced(_)) => &cursor.conflated,
                Ok(Put::Evicted(evicted)) => {
                    self.missed += 1 + evicted.lag;
                    &cursor.dropped
                }
                Err(_) => &cursor.filtered,
            };
            let is_new = matches!(put, Ok(Put::New));
            if is_new {
                count.fetch_add(1, Ordering::Release);
            }
            let (_replaced, panic) = match put {
                Ok(put) => (Some(put), None),
                Err(panic) => (None, Some(panic)),
            };
            self.panic = panic;
            self.pass();
            if !is_new {
                count.fetch_add(1, Ordering::Release);
            }
            let is_empty = self.keys.as_ref().is_none_or(|keys| keys.is_empty());
            if self.hand.position() >= end && !is_empty {
                return Seek::Found;
            }
        }
    }

    fn next_by_key(&mut self, waker: Option<&Waker>) -> More<Kept<E>> {
        let seek = self.fold(waker);
        if self.panic.is_some() {
            // What is kept is for who asks again.
            return More::Empty;
        }
        let Some(mut kept) = self.keys.as_mut().and_then(|keys| keys.pop()) else {
            return match seek {
                Seek::Closed => More::Closed,
                Seek::Empty | Seek::Found | Seek::Panicked => More::Empty,
            };
        };
        kept.lag += std::mem::take(&mut self.missed);
        self.hand.cursor().held.fetch_sub(1, Ordering::Release);
        // Whoever waits for all subscribers to be through waits for this too.
        self.reader.caught_up(self.hand.first());
        More::Yes(kept)
    }
}
