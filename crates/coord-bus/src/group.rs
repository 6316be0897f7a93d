//! Consumers that compete: each event goes to one member of a group, and to another if that one
//! does not see it through.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};

use crate::link::{FrameClaim, FrameGroup, Receipt};
use crate::received::Delivery;
use crate::topic::Codec;
use crate::{Meta, Subscriber};

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
/// that is slow takes less. What comes back is handed out first, by its place in the topic's order.
///
/// # Acknowledging
///
/// A member gets a [`Claim`]. [`Claim::acknowledge`] says that it has been dealt with; a claim that
/// is dropped instead, in whatever way, is handed to who asks next. At most 1000 events of a group
/// are handed out and not acknowledged: who asks for more waits.
pub struct GroupMember<E> {
    source: Source<E>,
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
        }
    }

    fn of(group: Arc<Group<E>>) -> Self {
        Self {
            source: Source::Group(group),
        }
    }

    /// The next event that is for this member, or `None` once the topic is closed and every event
    /// of it has been acknowledged.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing has been claimed and nothing is lost. While it waits it
    /// may be the group's turn at the topic: poll it or drop it.
    pub async fn recv(&self) -> Option<Claim<E>> {
        match &self.source {
            Source::Group(group) => group.recv().await,
            Source::Link {
                topic,
                frames,
                codec,
            } => loop {
                let FrameClaim {
                    frame,
                    sequence,
                    attempt,
                    receipt,
                } = frames.claim().await?;
                match (codec.decode)(&frame.payload) {
                    Ok(event) => {
                        let topic = Arc::clone(topic);
                        return Some(Claim {
                            delivery: Some(Delivery::alone(topic, event, frame.details, sequence)),
                            attempt,
                            hold: Hold::Link(Some(receipt)),
                        });
                    }
                    // No member of this program could.
                    Err(_) => receipt.acknowledge(),
                }
            },
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
        match &self.source {
            Source::Group(group) => {
                group.lock().members += 1;
                Self::of(Arc::clone(group))
            }
            Source::Link {
                topic,
                frames,
                codec,
            } => Self::of_link(Arc::clone(topic), frames.another(), *codec),
        }
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
    /// How many events are handed out and neither acknowledged nor given back.
    claimed: usize,
    /// Given back, by sequence: the event, and how often it was handed out.
    returned: BTreeMap<u64, (Delivery<E>, u32)>,
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
                claimed: 0,
                returned: BTreeMap::new(),
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
        let (delivery, attempt) = poll_fn(|cx| self.poll(source, cx)).await?;
        Some(Claim {
            delivery: Some(delivery),
            attempt,
            hold: Hold::Group(Arc::clone(self)),
        })
    }

    /// The next event to be handed out, and for which time.
    fn poll(
        &self,
        source: &mut Subscriber<E>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Delivery<E>, u32)>> {
        let mut state = self.lock();
        let replaced = match &state.waiting {
            Some(waiting) if waiting.will_wake(cx.waker()) => None,
            _ => state.waiting.replace(cx.waker().clone()),
        };
        if state.claimed >= MAX_UNACKNOWLEDGED {
            return Poll::Pending;
        }
        if let Some((_, (delivery, attempts))) = state.returned.pop_first() {
            state.claimed += 1;
            return Poll::Ready(Some((delivery, attempts + 1)));
        }
        let (is_stopped, claimed) = (state.is_stopped, state.claimed);
        drop(state);
        drop(replaced);
        if is_stopped {
            source.close();
        }
        match ready!(source.poll_delivery(cx)) {
            Some(delivery) => {
                self.lock().claimed += 1;
                Poll::Ready(Some((delivery, 1)))
            }
            // What is handed out may come back.
            None if claimed > 0 => Poll::Pending,
            None => Poll::Ready(None),
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
            true => std::mem::take(&mut state.returned),
            false => BTreeMap::new(),
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

    fn settle(&self, returned: Option<(Delivery<E>, u32)>) {
        let mut state = self.lock();
        state.claimed -= 1;
        let mut lost = None;
        match returned {
            Some((delivery, attempts)) if state.members > 0 => {
                let sequence = delivery.meta().sequence();
                state.returned.insert(sequence, (delivery, attempts));
            }
            returned => lost = returned,
        }
        let waiting = state.waiting.take();
        drop(state);
        drop(lost);
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// An event that was handed to one member of a group. Derefs to the event.
///
/// Acknowledge it once it has been dealt with; dropped instead, it is handed out again.
#[must_use = "dropped, it is handed to another member"]
pub struct Claim<E> {
    /// `None` once it is settled.
    delivery: Option<Delivery<E>>,
    attempt: u32,
    hold: Hold<E>,
}

enum Hold<E> {
    Group(Arc<Group<E>>),
    Link(Option<Box<dyn Receipt>>),
}

impl<E> Claim<E> {
    /// It has been dealt with: nobody else gets it.
    pub fn acknowledge(mut self) {
        self.settle(true);
    }

    /// The event, owned. Keeping it does not keep the claim.
    pub fn delivery(&self) -> &Delivery<E> {
        let delivery = self.delivery.as_ref();
        delivery.expect("it is there until the claim is dropped")
    }

    /// What is known of the event besides.
    pub fn meta(&self) -> Meta<'_> {
        self.delivery().meta()
    }

    /// How often it has been handed out: 1 for the first time.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    fn settle(&mut self, is_done: bool) {
        let Some(delivery) = self.delivery.take() else {
            return;
        };
        match &mut self.hold {
            Hold::Group(group) => {
                let returned = (!is_done).then_some((delivery, self.attempt));
                group.settle(returned);
            }
            Hold::Link(receipt) => {
                if let Some(receipt) = receipt.take().filter(|_| is_done) {
                    receipt.acknowledge();
                }
            }
        }
    }
}

impl<E> Drop for Claim<E> {
    fn drop(&mut self) {
        self.settle(false);
    }
}

impl<E> Deref for Claim<E> {
    type Target = E;

    fn deref(&self) -> &E {
        self.delivery()
    }
}

impl<E: fmt::Debug> fmt::Debug for Claim<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Claim")
            .field("event", &**self)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
