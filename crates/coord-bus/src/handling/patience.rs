//! Who waits for room while it handles an event: not where it would wait for itself, and not for
//! ever.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;

use super::CAUSE;
use crate::Refusal;
use crate::time::{self, Instant, Sleep};

/// How long a handler waits for room while no subscriber gets on. One may pause for a while, as when its
/// database is started anew; one that waits for this handler around a ring that nobody here can see
/// will not get on however long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// After this time a link that is full is asked again: it does not say when it has room.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// One who handles an event and waits for room; while this is there, it is known to all others.
pub(crate) struct Patience {
    id: u64,
    handled: Arc<str>,
    /// Since when nobody has got on.
    begun: Instant,
    /// How far they were then.
    progress: u64,
    timer: Pin<Box<Sleep>>,
}

/// Where there is to be room.
#[derive(Clone)]
pub(crate) enum Awaited {
    /// In this log: another bus may have a topic of the same name.
    Log(Arc<str>),
    /// At this topic of a link, of which each handle has a name of its own. So one that is passed on over a link to the
    /// topic of the same name is taken for a ring, whatever that leads to.
    Link(Arc<str>),
}

struct Waiting {
    /// The topic whose event is being handled, and which gets on only after that.
    handled: Arc<str>,
    awaited: Awaited,
}

#[derive(Default)]
struct AllWaiting {
    last_id: u64,
    by_id: BTreeMap<u64, Waiting>,
}

static WAITING: Mutex<AllWaiting> = Mutex::new(AllWaiting {
    last_id: 0,
    by_id: BTreeMap::new(),
});

fn lock() -> MutexGuard<'static, AllWaiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Patience {
    /// Begins to wait, on behalf of what is handled on this thread.
    ///
    /// # Errors
    ///
    /// Where it would wait for itself; or outside a runtime, where nothing would end the wait.
    pub(crate) fn begin(awaited: &Awaited, progress: u64) -> Result<Box<Self>, Refusal> {
        let handled = CAUSE.with_borrow(|cause| cause.as_ref().map(|cause| cause.topic.clone()));
        let Some(handled) = handled.filter(|_| Handle::try_current().is_ok()) else {
            return Err(Refusal::Full);
        };
        let begun = Instant::now();
        let first = match awaited {
            Awaited::Log(_) => PATIENCE,
            Awaited::Link(_) => ASK_AGAIN,
        };
        // Before anything is noted: it panics in a runtime without timers.
        let timer = Box::pin(time::sleep_until(begun + first));
        let mut all = lock();
        if all.is_ring(&handled, awaited) {
            return Err(Refusal::Ring { handled });
        }
        all.last_id += 1;
        let id = all.last_id;
        let waiting = Waiting {
            handled: Arc::clone(&handled),
            awaited: awaited.clone(),
        };
        all.by_id.insert(id, waiting);
        drop(all);
        Ok(Box::new(Self {
            id,
            handled,
            begun,
            progress,
            timer,
        }))
    }

    /// Resolves when it has waited for long enough, or, with nothing, when it is to be asked again: a
    /// link whether there is room, a log whether its subscribers, who have got so far, have got on.
    pub(crate) fn poll(&mut self, progress: u64, cx: &mut Context<'_>) -> Poll<Option<Refusal>> {
        ready!(self.timer.as_mut().poll(cx));
        if progress != self.progress {
            (self.begun, self.progress) = (Instant::now(), progress);
            self.timer.as_mut().reset(self.begun + PATIENCE);
            return Poll::Ready(None);
        }
        if self.begun.elapsed() < PATIENCE {
            let again = Instant::now() + ASK_AGAIN;
            self.timer.as_mut().reset(again);
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Refusal::StillFull {
            handled: Arc::clone(&self.handled),
        }))
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        lock().by_id.remove(&self.id);
    }
}

impl Awaited {
    fn is(&self, topic: &Arc<str>) -> bool {
        match self {
            Self::Log(awaited) => Arc::ptr_eq(awaited, topic),
            Self::Link(awaited) => awaited == topic,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        let (Self::Log(topic) | Self::Link(topic)) = other;
        self.is(topic)
    }
}

impl AllWaiting {
    /// Whether who makes room there waits itself, if only for others who wait, until this topic
    /// gets on. It may have members that do not wait, or could have room by now and have not been woken, as
    /// subscribers do not tell of each event: to refuse is never wrong, and to try again later may be well.
    fn is_ring(&self, handled: &Arc<str>, awaited: &Awaited) -> bool {
        let mut ways = vec![awaited];
        let mut seen = 0;
        while let Some(&awaited) = ways.get(seen) {
            if awaited.is(handled) {
                return true;
            }
            seen += 1;
            let next = self.by_id.values().filter(|each| awaited.is(&each.handled));
            for next in next.map(|each| &each.awaited) {
                if !ways.iter().any(|way| way.is_same(next)) {
                    ways.push(next);
                }
            }
        }
        false
    }
}
