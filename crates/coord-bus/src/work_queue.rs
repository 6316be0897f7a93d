//! The work queue: items that are handed out one by one, and again until somebody is done with them.

use std::time::Duration;

use futures_core::future::BoxFuture;
use jiff::Timestamp;

use crate::event_log::name_fault;
use crate::time::Instant;
use crate::{Durability, Record};

/// How long to hold an item where nothing speaks for another time; JetStream's ack wait, and the
/// visibility timeout of SQS.
pub const DEFAULT_HOLD: Duration = Duration::from_secs(30);

/// Named queues of items, each item for one of those who claim them, at least once.
///
/// An item is *ready*, or *delayed* until it is ready, or *claimed*, or *dead*. A claim hands out
/// the oldest ready item, and holds it for a time that the claimer states. If the item is not
/// acknowledged within that time it is ready again, for whoever claims next; so a worker that has
/// gone leaves nothing undone. An item that has been delivered [`QueueLimits::max_deliveries`]
/// times without success is not handed out again: it is dead, until somebody looks at it.
///
/// A queue begins with what is done to it first, and one that never was is an empty one.
///
/// Object-safe: take `&dyn WorkQueue` or `Arc<dyn WorkQueue>`. Who writes one runs
/// `conformance_work_queue!` (feature `test-util`) over it.
///
/// # Who holds an item
///
/// Each delivery has a token, larger than that of every delivery of the queue before it. An item is
/// held by its latest delivery, and only until the deadline: at the deadline the hold is over, also
/// where nobody else has claimed the item yet. From then on that delivery can no longer extend,
/// acknowledge, give back or reject: it is refused with [`WorkQueueError::Stale`], and has changed
/// nothing. So what was acknowledged was acknowledged by the only one who held it.
///
/// Work that touches something outside the queue should show its token there: a
/// [`Fence`](crate::Fence) for each item refuses who does not know yet that its time is over.
///
/// # Order
///
/// Items come in the order in which they were pushed. One that comes again keeps its place before
/// all that were pushed later, but a delayed item holds up no other. Claims that wait on the same
/// value are served in the order in which they began to wait; between processes, in any.
///
/// # What holds once a call has returned
///
/// A call that has returned `Ok` is seen by every call that begins after it, and a push survives
/// what [`durability`](Self::durability) says; so do an acknowledgement and a rejection. One that
/// has returned an error has changed nothing, [`WorkQueueError::Failed`] excepted: it has happened,
/// or it has not.
///
/// # Cancel safety
///
/// A call, dropped before it is done, has happened or it has not. A claim that waits, dropped, takes
/// no item with it: what it may have been given just then is ready again at the end of its time. A
/// claim that waits and is no longer polled keeps its turn, and those behind it wait with it: drop
/// it instead.
pub trait WorkQueue: Send + Sync {
    /// Adds an item at the end of a queue, ready at once. Gives the item's id, larger than that of
    /// every item pushed to this queue before.
    ///
    /// # Errors
    ///
    /// [`WorkQueueError::Full`] when the queue holds as many items as it may; it does not wait for
    /// room. Or `InvalidQueueName`, `TooManyQueues` or `Failed`.
    fn push<'a>(
        &'a self,
        queue: &'a str,
        item: Record,
    ) -> BoxFuture<'a, Result<u64, WorkQueueError>>;

    /// Claims the oldest item that is ready, and holds it for a time from now on; see
    /// [`DEFAULT_HOLD`] for one that suits most work. Waits until there is one, and as long as
    /// [`QueueLimits::max_claimed`] items are claimed. Who does not want to wait for ever sets a
    /// [`timeout`](crate::time::timeout).
    ///
    /// # Errors
    ///
    /// `InvalidQueueName`, `TooManyQueues` or `Failed`.
    fn claim<'a>(
        &'a self,
        queue: &'a str,
        hold: Duration,
    ) -> BoxFuture<'a, Result<ClaimedItem, WorkQueueError>>;

    /// Holds a claimed item for a time from now on, be it longer or shorter than it was. Gives the
    /// new deadline.
    ///
    /// # Errors
    ///
    /// [`WorkQueueError::Stale`], or `Failed`.
    fn extend<'a>(
        &'a self,
        claim: &'a ClaimedItem,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Instant, WorkQueueError>>;

    /// The work is done: the item leaves the queue.
    ///
    /// # Errors
    ///
    /// [`WorkQueueError::Stale`], or `Failed`.
    fn acknowledge<'a>(
        &'a self,
        claim: &'a ClaimedItem,
    ) -> BoxFuture<'a, Result<(), WorkQueueError>>;

    /// The work has failed this time: the item is ready again after a delay, such as that of a
    /// [`Backoff`](crate::Backoff) for [`ClaimedItem::delivery`] failures. If this was its last delivery
    /// it is dead at once.
    ///
    /// # Errors
    ///
    /// [`WorkQueueError::Stale`], or `Failed`.
    fn give_back<'a>(
        &'a self,
        claim: &'a ClaimedItem,
        after: Duration,
    ) -> BoxFuture<'a, Result<(), WorkQueueError>>;

    /// The work has failed, and would each time: the item is dead at once.
    ///
    /// # Errors
    ///
    /// [`WorkQueueError::Stale`], or `Failed`.
    fn reject<'a>(&'a self, claim: &'a ClaimedItem) -> BoxFuture<'a, Result<(), WorkQueueError>>;

    /// The dead items of a queue from an id on, in the order of their ids, at most `limit` of them.
    /// Fewer mean that there are no more now. From 0 on there are all.
    ///
    /// # Errors
    ///
    /// `InvalidQueueName` or `Failed`.
    fn dead<'a>(
        &'a self,
        queue: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadItem>, WorkQueueError>>;

    /// A dead item is ready again, in its old place, as if it had never been delivered.
    ///
    /// # Errors
    ///
    /// [`WorkQueueError::NotDead`]; or `InvalidQueueName` or `Failed`.
    fn put_back<'a>(&'a self, queue: &'a str, id: u64)
    -> BoxFuture<'a, Result<(), WorkQueueError>>;

    /// A dead item leaves the queue.
    ///
    /// # Errors
    ///
    /// [`WorkQueueError::NotDead`]; or `InvalidQueueName` or `Failed`.
    fn remove<'a>(&'a self, queue: &'a str, id: u64) -> BoxFuture<'a, Result<(), WorkQueueError>>;

    /// How many items are where.
    ///
    /// # Errors
    ///
    /// `InvalidQueueName` or `Failed`.
    fn counts<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<QueueCounts, WorkQueueError>>;

    /// What a push survives that has returned `Ok`.
    fn durability(&self) -> Durability;
}

/// How much a queue may hold, and how often it tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// The most items in one queue, wherever they are; the dead count too, so nothing is dropped to
    /// make room for them. 100,000 by default: with items of some 200 bytes, a few tens of
    /// megabytes.
    pub max_items: usize,
    /// The most items of one queue that are claimed at a time; at least 1. 1000 by default, as
    /// JetStream's `max_ack_pending`.
    pub max_claimed: usize,
    /// After how many deliveries an item that was not acknowledged is dead; at least 1. 5 by
    /// default.
    pub max_deliveries: u32,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            max_items: 100_000,
            max_claimed: 1000,
            max_deliveries: 5,
        }
    }
}

/// An item in the hands of who claimed it, until its deadline.
///
/// Dropping it does nothing: the item is ready again at the deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedItem {
    /// The queue that the item is in.
    pub queue: String,
    /// The item's id, the same in each delivery.
    pub id: u64,
    /// The fencing token: larger than that of each earlier delivery of the queue, whichever item it
    /// delivered.
    pub token: u64,
    /// Which delivery of the item this is; the first is 1.
    pub delivery: u32,
    /// Until when the item is held, where it is not [extended](WorkQueue::extend), by the timers
    /// of this process. What counts is the queue's own deadline, which may be a little sooner.
    pub held_until: Instant,
    /// When the item was pushed, by the queue's clock.
    pub pushed_at: Timestamp,
    /// The item.
    pub item: Record,
}

/// An item that is not handed out any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadItem {
    /// Its id.
    pub id: u64,
    /// How often it was delivered.
    pub deliveries: u32,
    /// When it was pushed, by the queue's clock.
    pub pushed_at: Timestamp,
    /// The item.
    pub item: Record,
}

/// How many items of a queue are where. Each is in one of these places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// To be claimed.
    pub ready: usize,
    /// Given back, and not ready yet.
    pub delayed: usize,
    /// In somebody's hands.
    pub claimed: usize,
    /// Delivered too often, or rejected.
    pub dead: usize,
}

/// A work queue did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkQueueError {
    /// The claim does not hold its item any more.
    #[error(
        "item {id} of queue `{queue}` is not held by token {token} any more: its time ran out, or \
         it was acknowledged, given back or rejected; leave it to who holds it now"
    )]
    Stale {
        /// The queue.
        queue: String,
        /// The item.
        id: u64,
        /// The token of the claim.
        token: u64,
    },
    /// The queue holds as many items as it may.
    #[error(
        "queue `{queue}` is full with its limit of {limit} items, {dead} of them dead: wait until \
         some are done, remove the dead, or raise the limit"
    )]
    Full {
        /// The queue.
        queue: String,
        /// How many items it may hold.
        limit: usize,
        /// How many of those that it holds are dead.
        dead: usize,
    },
    /// No dead item of the queue has this id.
    #[error(
        "item {id} of queue `{queue}` is not dead: it was put back or removed meanwhile, or never \
         died; list the dead items anew"
    )]
    NotDead {
        /// The queue.
        queue: String,
        /// The id.
        id: u64,
    },
    /// The name is not one that a queue can have.
    #[error(
        "`{name}` cannot be a queue's name: {fault} (names are letters, digits, `-`, `_` and `.`, \
         such as `mail.outgoing`)"
    )]
    InvalidQueueName {
        /// The name.
        name: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// There are as many queues as there may be.
    #[error(
        "queue `{queue}` cannot begin: there are {limit} queues, the limit; use fewer names, or \
         finish what is in some"
    )]
    TooManyQueues {
        /// The queue.
        queue: String,
        /// How many there may be.
        limit: usize,
    },
    /// What keeps the items failed.
    #[error("the work queue failed")]
    Failed {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl WorkQueueError {
    /// That this claim is stale: for who writes a queue.
    pub fn stale(claim: &ClaimedItem) -> Self {
        Self::Stale {
            queue: claim.queue.clone(),
            id: claim.id,
            token: claim.token,
        }
    }
}

/// Checks a queue's name, as every queue does before anything else. The rule is that of
/// [`check_stream_name`](crate::check_stream_name).
///
/// # Errors
///
/// [`WorkQueueError::InvalidQueueName`].
pub fn check_queue_name(name: &str) -> Result<(), WorkQueueError> {
    name_fault(name).map_or(Ok(()), |fault| {
        Err(WorkQueueError::InvalidQueueName {
            name: name.to_owned(),
            fault,
        })
    })
}
