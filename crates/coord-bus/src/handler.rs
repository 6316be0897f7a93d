//! Handlers: functions that are called with each event, tried again when they fail, and told apart
//! from the events by a topic for what could not be handled.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::group::MAX_UNACKNOWLEDGED;
use crate::task_scope::catch;
use crate::{
    Backoff, Claim, DeadLetter, Delivery, Event, Failure, GroupMember, Overflow, Publisher,
    TaskScope, time,
};

/// How a handler is called.
///
/// ```
/// use std::time::Duration;
/// use coord_bus::{Backoff, HandlerOptions};
///
/// let options = HandlerOptions::new()
///     .group("billing")
///     .concurrency(4)
///     .max_attempts(5)
///     .backoff(Backoff::constant(Duration::from_secs(1)));
/// ```
#[derive(Debug, Clone)]
pub struct HandlerOptions {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) group: Option<Arc<str>>,
    pub(crate) overflow: Overflow,
    pub(crate) concurrency: usize,
    max_attempts: u32,
    backoff: Backoff,
}

impl Default for HandlerOptions {
    fn default() -> Self {
        Self {
            name: None,
            group: None,
            overflow: Overflow::Block,
            concurrency: 1,
            max_attempts: 3,
            backoff: Backoff::exponential(Duration::from_millis(500)),
        }
    }
}

impl HandlerOptions {
    /// The defaults: one event at a time, three attempts, 500 ms between the first two and twice
    /// that before the third.
    pub fn new() -> Self {
        Self::default()
    }

    /// The handler's name, for dead letters and descriptions; by default the place where it was
    /// set up.
    #[must_use]
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Shares the events with the other handlers and members of this group, instead of getting
    /// each of them.
    #[must_use]
    pub fn group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// What happens when it falls a topic's capacity behind; [`Overflow::Block`] by default. A group
    /// loses nothing, whatever this says.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// How many events it may handle at once; 1 by default, which keeps them in order. Zero counts
    /// as one, and more than 1000 as that: more a group never hands out.
    #[must_use]
    pub fn concurrency(mut self, events: usize) -> Self {
        self.concurrency = events.clamp(1, MAX_UNACKNOWLEDGED);
        self
    }

    /// How often an event is tried in all; 3 by default. Zero counts as one.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// How long to wait before the next attempt, where the failure [says nothing of
    /// that](Failure::retry_after). Later events wait too, so that order is kept.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }
}

/// A handler at work: see [`BusExt::on`](crate::BusExt::on). Dropped, it is stopped where it awaits,
/// and what it was at goes to another of its group, or is lost if it has none.
#[derive(Debug)]
pub struct Handler {
    scope: TaskScope,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    handled: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
    lost: AtomicU64,
}

/// What a handler has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerReport {
    /// Events that were handled.
    pub handled: u64,
    /// Attempts that were made after a failed one.
    pub retried: u64,
    /// Events that became dead letters.
    pub dead: u64,
    /// Events that should have, where the dead-letter topic took no more: it was closed first.
    pub lost: u64,
    /// Whether it has come to its end: its topic was closed or it was drained, and there is no
    /// event left.
    pub is_over: bool,
}

impl Handler {
    /// What it has done so far.
    pub fn report(&self) -> HandlerReport {
        let count = |count: &AtomicU64| count.load(Ordering::Acquire);
        HandlerReport {
            handled: count(&self.counts.handled),
            retried: count(&self.counts.retried),
            dead: count(&self.counts.dead),
            lost: count(&self.counts.lost),
            is_over: self.scope.running().is_empty(),
        }
    }

    /// Takes no more events, and waits until those published before have been handled, at most for
    /// `deadline`; then it is stopped where it awaits. What it did, in all; `is_over` says whether
    /// it got through. One that holds its thread goes on beside that:
    /// [`TaskScope::shutdown`].
    ///
    /// A member of a group goes on with what it has in hand and leaves the rest to the others.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the handler takes no more and goes on with what there is.
    pub async fn drain(&self, deadline: Duration) -> HandlerReport {
        let stopped = self.scope.shutdown(deadline).await;
        HandlerReport {
            is_over: stopped.aborted.is_empty(),
            ..self.report()
        }
    }

    /// Sets it to work.
    pub(crate) fn start<E, F, Fut, X>(
        name: &Arc<str>,
        members: Vec<GroupMember<E>>,
        options: &HandlerOptions,
        dead_letters: Publisher<DeadLetter<E>>,
        handle: F,
    ) -> Self
    where
        E: Event,
        F: Fn(Delivery<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), X>> + Send + 'static,
        X: Into<Failure> + Send + 'static,
    {
        let scope = TaskScope::new(&**name);
        let counts = Arc::new(Counts::default());
        let work = Arc::new(Work {
            name: Arc::clone(name),
            max_attempts: options.max_attempts,
            backoff: options.backoff,
            dead_letters,
            handle,
            counts: Arc::clone(&counts),
        });
        let is_shared = options.group.is_some();
        for member in members {
            let (work, stop) = (Arc::clone(&work), scope.token());
            scope.spawn(&**name, async move {
                let mut is_stopped = false;
                loop {
                    let claim = match is_stopped {
                        true => member.recv().await,
                        false => match stop.run_until_cancelled(member.recv()).await {
                            Some(claim) => claim,
                            // The others of the group go on with what is left.
                            None if is_shared => return,
                            None => {
                                is_stopped = true;
                                member.stop_group();
                                continue;
                            }
                        },
                    };
                    let Some(claim) = claim else {
                        return;
                    };
                    work.see_through(claim).await;
                }
            });
        }
        Self { scope, counts }
    }
}

struct Work<E, F> {
    name: Arc<str>,
    max_attempts: u32,
    backoff: Backoff,
    dead_letters: Publisher<DeadLetter<E>>,
    handle: F,
    counts: Arc<Counts>,
}

impl<E, F, Fut, X> Work<E, F>
where
    E: Event,
    F: Fn(Delivery<E>) -> Fut,
    Fut: Future<Output = Result<(), X>>,
    X: Into<Failure>,
{
    /// Tries an event until it is handled, or dead.
    async fn see_through(&self, claim: Claim<E>) {
        let mut attempt = 1;
        let failure = loop {
            let Err(failure) = self.attempt(&claim).await else {
                add(&self.counts.handled);
                return claim.acknowledge();
            };
            if failure.is_permanent() || attempt >= self.max_attempts {
                break failure;
            }
            let said = failure.retry_delay();
            time::sleep(said.unwrap_or_else(|| self.backoff.delay(attempt))).await;
            attempt += 1;
            add(&self.counts.retried);
        };
        let letter = DeadLetter::new(
            claim.delivery().clone(),
            Arc::clone(&self.name),
            attempt,
            &failure,
        );
        // It is dead once somebody can find it: until then it is this handler's.
        match letter.publish(&self.dead_letters).await {
            true => add(&self.counts.dead),
            false => add(&self.counts.lost),
        }
        claim.acknowledge();
    }

    async fn attempt(&self, claim: &Claim<E>) -> Result<(), Failure> {
        let delivery = claim.delivery().clone();
        // Called within, so that a panic of the call itself is one of this event too.
        let handled = async { (self.handle)(delivery).await.map_err(X::into) };
        match catch(claim.meta().cause().run(handled)).await {
            Ok(handled) => handled,
            Err(panic) => Err(Failure::panicked(&*panic)),
        }
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::AcqRel);
}

impl fmt::Display for HandlerReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            handled,
            retried,
            dead,
            lost,
            ..
        } = self;
        write!(
            formatter,
            "{handled} handled, {retried} attempts more, {dead} dead, {lost} lost"
        )
    }
}
