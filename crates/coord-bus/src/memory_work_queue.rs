//! A work queue in the memory of this process, for tests and for what need not survive it.

mod queue;

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_core::future::BoxFuture;

use crate::time::{self, Clock, Instant, Sleep, SystemClock};
use crate::work_queue::check_queue_name;
use crate::{
    ClaimedItem, DeadItem, Durability, QueueCounts, QueueLimits, Record, WorkQueue, WorkQueueError,
};
use queue::{Place, Queue};

/// A [`WorkQueue`] in memory. What is in it ends with it.
///
/// There are at most [`MAX_QUEUES`](Self::MAX_QUEUES) names with items, or with claims that wait;
/// a name without either is forgotten. A claim that waits, dropped, has claimed nothing. Claims need
/// a tokio runtime with time.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
///
/// use coord_bus::{Backoff, DEFAULT_HOLD, MemoryWorkQueue, Record, WorkQueue, WorkQueueError};
///
/// let queue = MemoryWorkQueue::new();
/// queue.push("mail", Record::new("welcome", "ada@example.org")).await?;
///
/// let claim = queue.claim("mail", DEFAULT_HOLD).await?;
/// let sent: Result<(), &str> = Err("the server is busy");
/// match sent {
///     Ok(()) => queue.acknowledge(&claim).await?,
///     Err(_) => queue.give_back(&claim, Backoff::default().delay(claim.delivery)).await?,
/// }
/// let counts = queue.counts("mail").await?;
/// assert_eq!((counts.ready, counts.delayed), (0, 1));
///
/// let too_late = queue.acknowledge(&claim).await;
/// assert!(matches!(too_late, Err(WorkQueueError::Stale { .. })));
/// # Ok::<(), WorkQueueError>(()) }).unwrap();
/// ```
pub struct MemoryWorkQueue {
    clock: Arc<dyn Clock>,
    limits: QueueLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queues: HashMap<Box<str>, Queue>,
    /// The last of each that was given, in all queues together: so what is forgotten of a queue
    /// does not come again.
    id: u64,
    token: u64,
    ticket: u64,
}

impl MemoryWorkQueue {
    /// The most queues at a time. A program that makes names from input meets an error there, and
    /// not the end of its memory.
    pub const MAX_QUEUES: usize = 65_536;

    /// Without items, by the clock of the machine, with the default limits.
    pub fn new() -> Self {
        Self::with(Arc::new(SystemClock), QueueLimits::default())
    }

    /// Without items, by this clock, with these limits for each queue.
    pub fn with(clock: Arc<dyn Clock>, limits: QueueLimits) -> Self {
        Self {
            clock,
            limits,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done: no code but that of queues runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to a queue as it is now, if there is one.
    fn change<T>(&self, name: &str, change: impl FnOnce(&mut Queue) -> T) -> Option<T> {
        let mut state = self.lock();
        let queue = state.queues.get_mut(name)?;
        queue.settle(Instant::now(), &self.limits);
        let changed = change(queue);
        finish(state, name);
        Some(changed)
    }

    /// Does something to the item that a claim holds, if it does.
    fn change_held<T>(
        &self,
        claim: &ClaimedItem,
        change: impl FnOnce(&mut Queue) -> T,
    ) -> Result<T, WorkQueueError> {
        let changed = self.change(&claim.queue, |queue| {
            queue.is_held_by(claim).then(|| change(queue))
        });
        changed
            .flatten()
            .ok_or_else(|| WorkQueueError::stale(claim))
    }

    /// Does something to a dead item, which says whether it was there.
    fn change_dead(
        &self,
        name: &str,
        id: u64,
        change: impl FnOnce(&mut Queue) -> bool,
    ) -> Result<(), WorkQueueError> {
        check_queue_name(name)?;
        match self.change(name, change) {
            Some(true) => Ok(()),
            _ => Err(WorkQueueError::NotDead {
                queue: name.to_owned(),
                id,
            }),
        }
    }

    fn add(&self, name: &str, item: Record) -> Result<u64, WorkQueueError> {
        check_queue_name(name)?;
        // Somebody else's code, so not under the lock.
        let at = self.clock.now();
        let mut state = self.lock();
        let id = state.id + 1;
        let queue = state.queue(name)?;
        queue.settle(Instant::now(), &self.limits);
        let is_full = queue.len() >= self.limits.max_items;
        let pushed = if is_full {
            Err(WorkQueueError::Full {
                queue: name.to_owned(),
                limit: self.limits.max_items,
                dead: queue.counts().dead,
            })
        } else {
            queue.push(id, item, at);
            state.id = id;
            Ok(id)
        };
        finish(state, name);
        pushed
    }

    fn join<'a>(&'a self, name: &'a str, hold: Duration) -> Result<Turn<'a>, WorkQueueError> {
        let mut state = self.lock();
        let ticket = state.ticket + 1;
        state.queue(name)?.join(ticket);
        state.ticket = ticket;
        Ok(Turn {
            owner: self,
            name,
            ticket,
            hold,
        })
    }
}

impl State {
    /// A queue, which begins if it is not there.
    fn queue(&mut self, name: &str) -> Result<&mut Queue, WorkQueueError> {
        if !self.queues.contains_key(name) && self.queues.len() >= MemoryWorkQueue::MAX_QUEUES {
            return Err(WorkQueueError::TooManyQueues {
                queue: name.to_owned(),
                limit: MemoryWorkQueue::MAX_QUEUES,
            });
        }
        Ok(self.queues.entry(name.into()).or_default())
    }
}

/// After a change to a queue: tells who is first in line, and forgets the queue if nobody would
/// miss it.
fn finish(mut state: MutexGuard<'_, State>, name: &str) {
    let Some(queue) = state.queues.get_mut(name) else {
        return;
    };
    let waker = queue.first_waker();
    if queue.is_forgettable() {
        state.queues.remove(name);
    }
    drop(state);
    waker.into_iter().for_each(Waker::wake);
}

/// A place in the line of those who wait for an item. Whoever leaves it, with an item or without,
/// tells the next.
struct Turn<'a> {
    owner: &'a MemoryWorkQueue,
    name: &'a str,
    ticket: u64,
    hold: Duration,
}

/// What somebody in line finds.
enum Found {
    Item(ClaimedItem),
    /// Nothing for now; look again at this time, or when woken.
    Nothing(Option<Instant>),
}

impl Turn<'_> {
    async fn claim(&self) -> ClaimedItem {
        let mut timer: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|cx| {
            // So that who always finds more still lets its neighbours run.
            let budget = ready!(tokio::task::coop::poll_proceed(cx));
            loop {
                match self.look(cx) {
                    Found::Item(claim) => {
                        budget.made_progress();
                        return Poll::Ready(claim);
                    }
                    Found::Nothing(due) => timer = due.map(|due| Box::pin(time::sleep_until(due))),
                }
                match &mut timer {
                    Some(timer) => ready!(timer.as_mut().poll(cx)),
                    None => return Poll::Pending,
                }
            }
        })
        .await
    }

    fn look(&self, cx: &Context<'_>) -> Found {
        let limits = &self.owner.limits;
        let mut state = self.owner.lock();
        let State { queues, token, .. } = &mut *state;
        // It is there as long as somebody waits in its line.
        let Some(queue) = queues.get_mut(self.name) else {
            return Found::Nothing(None);
        };
        let is_first = queue.is_first(self.ticket);
        if is_first {
            queue.settle(Instant::now(), limits);
            if queue.has_claimable(limits)
                && let Some(claim) = queue.deliver(self.name, *token + 1, time::after(self.hold))
            {
                *token += 1;
                return Found::Item(claim);
            }
        }
        let replaced = queue.wait(self.ticket, cx.waker());
        let due = queue.next_due().filter(|_| is_first);
        drop(state);
        drop(replaced);
        Found::Nothing(due)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.owner.lock();
        let queue = state.queues.get_mut(self.name);
        let waker = queue.and_then(|queue| queue.leave_line(self.ticket));
        finish(state, self.name);
        drop(waker);
    }
}

impl WorkQueue for MemoryWorkQueue {
    fn push<'a>(
        &'a self,
        queue: &'a str,
        item: Record,
    ) -> BoxFuture<'a, Result<u64, WorkQueueError>> {
        Box::pin(async move { self.add(queue, item) })
    }

    fn claim<'a>(
        &'a self,
        queue: &'a str,
        hold: Duration,
    ) -> BoxFuture<'a, Result<ClaimedItem, WorkQueueError>> {
        Box::pin(async move {
            check_queue_name(queue)?;
            let turn = self.join(queue, hold)?;
            Ok(turn.claim().await)
        })
    }

    fn extend<'a>(
        &'a self,
        claim: &'a ClaimedItem,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Instant, WorkQueueError>> {
        Box::pin(async move {
            let (until, token) = (time::after(hold), claim.token);
            let held = Place::Claimed { until, token };
            self.change_held(claim, |queue| queue.put(claim.id, held))?;
            Ok(until)
        })
    }

    fn acknowledge<'a>(
        &'a self,
        claim: &'a ClaimedItem,
    ) -> BoxFuture<'a, Result<(), WorkQueueError>> {
        Box::pin(async move { self.change_held(claim, |queue| queue.remove(claim.id)) })
    }

    fn give_back<'a>(
        &'a self,
        claim: &'a ClaimedItem,
        after: Duration,
    ) -> BoxFuture<'a, Result<(), WorkQueueError>> {
        Box::pin(async move {
            let until = time::after(after);
            let delayed = Place::Delayed { until };
            self.change_held(claim, |queue| {
                queue.give_back(claim.id, delayed, &self.limits);
            })
        })
    }

    fn reject<'a>(&'a self, claim: &'a ClaimedItem) -> BoxFuture<'a, Result<(), WorkQueueError>> {
        Box::pin(async move { self.change_held(claim, |queue| queue.put(claim.id, Place::Dead)) })
    }

    fn dead<'a>(
        &'a self,
        queue: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadItem>, WorkQueueError>> {
        Box::pin(async move {
            check_queue_name(queue)?;
            let dead = self.change(queue, |queue| queue.dead(from).take(limit).collect());
            Ok(dead.unwrap_or_default())
        })
    }

    fn put_back<'a>(
        &'a self,
        queue: &'a str,
        id: u64,
    ) -> BoxFuture<'a, Result<(), WorkQueueError>> {
        Box::pin(async move { self.change_dead(queue, id, |queue| queue.revive(id)) })
    }

    fn remove<'a>(&'a self, queue: &'a str, id: u64) -> BoxFuture<'a, Result<(), WorkQueueError>> {
        Box::pin(async move { self.change_dead(queue, id, |queue| queue.remove_dead(id)) })
    }

    fn counts<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<QueueCounts, WorkQueueError>> {
        Box::pin(async move {
            check_queue_name(queue)?;
            let counts = self.change(queue, |queue| queue.counts());
            Ok(counts.unwrap_or_default())
        })
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }
}

impl Default for MemoryWorkQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryWorkQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MemoryWorkQueue")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
