//! Consumers that compete: each event goes to one member of a group, and to another if that one
//! does not see it through.

mod claim;
mod redelivery;

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::link::{FrameClaim, FrameGroup};
use crate::received::Delivery;
use crate::time::Sleep;
use crate::topic::Codec;
use crate::{Backoff, DeadLetter, Event, Publisher, Subscriber, time};
pub use claim::Claim;
use claim::Hold;
use redelivery::{Redelivery, Returned};

/// How many events a group may have handed out that are not acknowledged, as in JetStream.
pub(crate) const MAX_UNACKNOWLEDGED: usize = 1000;

/// A member of a group of consumers, which share the events of one topic: each event goes to one
/// member.
///
/// A group is there while it has a member: it takes what is published from when the first joins,
/// and when the last is dropped, what it has not handed out goes with it. A group is one subscriber
/// of its topic, which loses nothing.
///
/// # Fairness
///
/// Members are served in the order in which they asked. Who does not ask gets nothing, so a member
/// that is slow takes less.
///
/// # Acknowledging
///
/// A member gets a [`Claim`]. [`Claim::acknowledge`] says that it has been dealt with; a claim that
/// is dropped instead, in whatever way, comes back to the group and is handed out again. At most
/// 1000 events of a group are handed out, or came back, and are not acknowledged: who asks for more
/// waits.
///
/// # What comes back
///
/// The first time that an event comes back it is handed out at once, before those behind it in the
/// topic's order: mostly it was its worker that failed. From then on it waits, half a second and
/// each time twice as long, at most a minute, or as [`backoff`](Self::backoff) says; meanwhile those
/// behind it are handed out. So events are handed out in the topic's order only as long as none comes
/// back twice, or is [given back](Claim::give_back) for later.
///
/// After five deliveries, or as [`max_deliveries`](Self::max_deliveries) says, who asks next is not
/// given it: it is published as a [`DeadLetter`] of its topic, where the handler is `group` and the
/// name of the group, and is acknowledged. Until it is published there it is not lost: where that
/// is refused, as that topic is closed, the event is handed out once more. Dead letters themselves
/// have no such topic, nor have groups of a [`Log`](crate::Log) alone: theirs is handed out until it
/// is acknowledged.
pub struct GroupMember<E> {
    source: Source<E>,
    redelivery: Redelivery<E>,
}

enum Source<E> {
    Group(Arc<Group<E>>),
    Link {
        topic: Arc<str>,
        frames: Box<dyn FrameGroup>,
        codec: Codec<E>,
    },
}

impl<E> GroupMember<E> {
    /// The only member of a group that nobody else can join.
    pub(crate) fn alone(subscriber: Subscriber<E>) -> Self {
        Self::of(Group::new(subscriber, Weak::new()))
    }

    /// The group takes no more; its members get what was published before, and then `None`.
    pub(crate) fn stop_group(&self) {
        if let Source::Group(group) = &self.source {
            group.stop();
        }
    }

    pub(crate) fn of_link(topic: Arc<str>, frames: Box<dyn FrameGroup>, codec: Codec<E>) -> Self {
        Self {
            source: Source::Link {
                topic,
                frames,
                codec,
            },
            redelivery: Redelivery::default(),
        }
    }

    fn of(group: Arc<Group<E>>) -> Self {
        Self {
            source: Source::Group(group),
            redelivery: Redelivery::default(),
        }
    }

    /// With another number of deliveries, after which an event that nobody has acknowledged becomes
    /// a dead letter; 5 by default, `u32::MAX` for none. Zero counts as one.
    ///
    /// It goes by what the member says that asks next: let all of a group say the same.
    #[must_use]
    pub fn max_deliveries(mut self, deliveries: u32) -> Self {
        self.redelivery.max_deliveries = deliveries.max(1);
        self
    }

    /// With another wait for what this member lets come back, from the second time on.
    ///
    /// By default half a second, doubled each time, at most a minute.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.redelivery.backoff = backoff;
        self
    }
}

impl<E: Event> GroupMember<E> {
    /// Of this group, with the topic for its dead letters.
    pub(crate) fn with_dead_letters(
        mut self,
        group: &str,
        letters: Publisher<DeadLetter<E>>,
    ) -> Self {
        let group = format!("group {group}").into();
        self.redelivery.dead_letters = Some((group, letters));
        self
    }

    /// The next event that is for this member, or `None` once the topic is closed and every event
    /// of it has been acknowledged.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing has been claimed and nothing is lost; over a link, a dead
    /// letter that was on its way may be told of twice. While it is pending it may hold the
    /// subscriber of the whole group: one that is neither polled nor dropped keeps events from all other members.
    ///
    /// # Panics
    ///
    /// When an event has come back twice and waits, outside a tokio runtime that has timers.
    pub async fn recv(&self) -> Option<Claim<E>> {
        loop {
            let mut claim = self.claim().await?;
            claim.returns_after = self.redelivery.wait(claim.attempt);
            // Rare, and large.
            if !self.redelivery.is_over(claim.attempt)
                || !Box::pin(self.redelivery.bury(&claim)).await
            {
                return Some(claim);
            }
            claim.acknowledge();
        }
    }

    async fn claim(&self) -> Option<Claim<E>> {
        let (topic, frames, codec) = match &self.source {
            Source::Group(group) => return group.recv().await,
            Source::Link {
                topic,
                frames,
                codec,
            } => (topic, frames, codec),
        };
        loop {
            let FrameClaim {
                frame,
                sequence,
                attempt,
                receipt,
            } = frames.claim().await?;
            match (codec.decode)(&frame.payload) {
                Ok(event) => {
                    let topic = Arc::clone(topic);
                    let delivery = Delivery::alone(topic, event, frame.details, sequence);
                    return Some(Claim::new(delivery, attempt, Hold::Link(Some(receipt))));
                }
                // No member of this program could.
                Err(_) => receipt.acknowledge(),
            }
        }
    }
}

impl<E> fmt::Debug for GroupMember<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GroupMember")
            .finish_non_exhaustive()
    }
}

impl<E> Clone for GroupMember<E>
where
    E: Send + Sync + 'static,
{
    /// Another member of the same group.
    fn clone(&self) -> Self {
        let mut another = match &self.source {
            Source::Group(group) => {
                group.lock().members += 1;
                Self::of(Arc::clone(group))
            }
            Source::Link {
                topic,
                frames,
                codec,
            } => Self::of_link(Arc::clone(topic), frames.another(), *codec),
        };
        another.redelivery = self.redelivery.clone();
        another
    }
}

impl<E> Drop for GroupMember<E> {
    fn drop(&mut self) {
        if let Source::Group(group) = &self.source {
            group.part();
        }
    }
}

/// The groups of one topic, by name.
pub(crate) struct Groups<E>(Mutex<HashMap<Arc<str>, Weak<Group<E>>>>);

impl<E> Groups<E> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Weak<Group<E>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more member of the group of this name, which is made if there is none.
    pub(crate) fn join(
        self: &Arc<Self>,
        name: Arc<str>,
        subscribe: impl FnOnce() -> Subscriber<E>,
    ) -> GroupMember<E> {
        let mut groups = self.lock();
        if let Some(group) = groups.get(&name).and_then(Weak::upgrade) {
            let mut state = group.lock();
            // Without members it is at its end, and only claims of it are left.
            if state.members > 0 {
                state.members += 1;
                drop(state);
                return GroupMember::of(group);
            }
        }
        let group = Group::new(subscribe(), Arc::downgrade(self));
        groups.retain(|_, group| group.strong_count() > 0);
        groups.insert(name, Arc::downgrade(&group));
        GroupMember::of(group)
    }
}

/// One subscriber, and what it has handed out.
struct Group<E> {
    /// Members take turns at it: this lock is fair. `None` once the last of them is gone.
    source: tokio::sync::Mutex<Option<Subscriber<E>>>,
    state: Mutex<State<E>>,
    /// Held while members join and part.
    groups: Weak<Groups<E>>,
}

struct State<E> {
    members: usize,
    /// Told to take no more.
    is_stopped: bool,
    /// How many events were handed out and are not acknowledged, given back or not.
    unacknowledged: usize,
    returned: Returned<E>,
    /// Whose turn at the source it is, while it waits.
    waiting: Option<Waker>,
}

impl<E> Group<E> {
    fn new(subscriber: Subscriber<E>, groups: Weak<Groups<E>>) -> Arc<Self> {
        Arc::new(Self {
            source: tokio::sync::Mutex::new(Some(subscriber)),
            state: Mutex::new(State {
                members: 1,
                is_stopped: false,
                unacknowledged: 0,
                returned: Returned::default(),
                waiting: None,
            }),
            groups,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn recv(self: &Arc<Self>) -> Option<Claim<E>> {
        let mut source = self.source.lock().await;
        let source = source.as_mut()?;
        // Only one member waits for what comes back: who has the source.
        let mut timer = None;
        let next = poll_fn(|cx| self.poll(source, &mut timer, cx));
        let (delivery, attempt) = next.await?;
        Some(Claim::new(delivery, attempt, Hold::Group(Arc::clone(self))))
    }

    /// The next event to be handed out, and for which time.
    fn poll(
        &self,
        source: &mut Subscriber<E>,
        timer: &mut Option<Pin<Box<Sleep>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Delivery<E>, u32)>> {
        loop {
            let mut state = self.lock();
            let replaced = match &state.waiting {
                Some(waiting) if waiting.will_wake(cx.waker()) => None,
                _ => state.waiting.replace(cx.waker().clone()),
            };
            if let Some((delivery, attempts)) = state.returned.take() {
                return Poll::Ready(Some((delivery, attempts + 1)));
            }
            let (is_stopped, unacknowledged) = (state.is_stopped, state.unacknowledged);
            let due = state.returned.due();
            drop(state);
            drop(replaced);
            if is_stopped {
                source.close();
            }
            if unacknowledged < MAX_UNACKNOWLEDGED {
                match source.poll_delivery(cx) {
                    Poll::Ready(Some(delivery)) => {
                        self.lock().unacknowledged += 1;
                        return Poll::Ready(Some((delivery, 1)));
                    }
                    Poll::Ready(None) if unacknowledged == 0 => return Poll::Ready(None),
                    // What is handed out may come back.
                    Poll::Ready(None) | Poll::Pending => {}
                }
            }
            let Some(due) = due else {
                return Poll::Pending;
            };
            let timer = match timer {
                Some(timer) if timer.deadline() == due => timer,
                _ => timer.insert(Box::pin(time::sleep_until(due))),
            };
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn stop(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        let waiting = state.waiting.take();
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// A member goes; with the last, the subscriber.
    fn part(&self) {
        let groups = self.groups.upgrade();
        let groups = groups.as_ref().map(|groups| groups.lock());
        let mut state = self.lock();
        state.members -= 1;
        let is_last = state.members == 0;
        let returned = match is_last {
            true => mem::take(&mut state.returned),
            false => Returned::default(),
        };
        drop(state);
        drop(groups);
        // No member, so nobody has it locked.
        let subscriber = is_last
            .then(|| self.source.try_lock().ok()?.take())
            .flatten();
        // Outside all locks: what events do when they are dropped is their own business.
        drop((subscriber, returned));
    }

    fn acknowledge(&self) {
        let mut state = self.lock();
        state.unacknowledged -= 1;
        let waiting = state.waiting.take();
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// An event that was handed out this often comes back.
    fn give_back(&self, delivery: Delivery<E>, attempts: u32, after: Duration) {
        let mut state = self.lock();
        // Without members, nobody takes it.
        let lost = match state.members {
            0 => Some(delivery),
            _ => {
                state.returned.put(delivery, attempts, after);
                None
            }
        };
        let waiting = state.waiting.take();
        drop(state);
        drop(lost);
        waiting.into_iter().for_each(Waker::wake);
    }
}
