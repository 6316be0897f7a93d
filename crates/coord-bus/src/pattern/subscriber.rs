//! Receiving from all topics that match a pattern, in turns.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_core::Stream;
use slab::Slab;
use tokio::task::coop;

use super::{AnyDelivery, AnySource, Inbox, Pattern, Watching};
use crate::log::More;
use crate::{Ledger, TryReceiveError};

/// Receives the events of all topics whose names match a [`Pattern`]: of those that there are,
/// and of those that are opened later, from their first event on.
///
/// It is an ordinary subscriber of each of them: publishing costs what it costs with one subscriber
/// more, and with [`Overflow::Block`](crate::Overflow::Block) each topic waits for it when it is
/// full. Receiving costs nothing for topics that have nothing.
///
/// # Order
///
/// The events of a topic come in the topic's order. Topics that have something take turns, one
/// event each; between events of different topics there is no order.
///
/// # Closing
///
/// When the bus is closed (or gone, with its publishers), what has been accepted is still received;
/// then comes `None`. [`close`](Self::close) does the same for one subscriber. A topic that is
/// closed alone just has nothing more. Dropping the subscriber is how to unsubscribe at once.
#[must_use = "it holds publishers up until it receives or is dropped"]
pub struct PatternSubscriber {
    /// First, so that nothing is attached any more when the others are dropped.
    watching: Option<Watching>,
    sources: Slab<Source>,
    /// The topics to be asked, in order: each is in here or in the inbox, if it is not asleep.
    turns: VecDeque<usize>,
    /// What became of the events of topics that have ended.
    gone: Ledger,
    inbox: Arc<Inbox>,
}

struct Source {
    topic: Box<dyn AnySource>,
    bell: Arc<Bell>,
    waker: Waker,
}

/// Puts a topic into its subscriber's inbox when it has something again.
struct Bell {
    inbox: Weak<Inbox>,
    id: usize,
    /// Whether the topic is to be asked anyway.
    rung: AtomicBool,
}

impl Bell {
    /// Whether it has been rung already.
    fn ring(&self) -> bool {
        self.rung.swap(true, Ordering::AcqRel)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.ring()
            && let Some(inbox) = self.inbox.upgrade()
        {
            inbox.notify(self.id);
        }
    }
}

impl PatternSubscriber {
    pub(crate) fn new(inbox: Arc<Inbox>, watching: Watching) -> Self {
        Self {
            watching: Some(watching),
            sources: Slab::new(),
            turns: VecDeque::new(),
            gone: Ledger::default(),
            inbox,
        }
    }

    /// The pattern.
    pub fn pattern(&self) -> &Pattern {
        self.inbox.pattern()
    }

    /// The next event, or `None` once no topic can be opened any more and everything has been
    /// received.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing has been received and nothing is lost.
    pub async fn recv(&mut self) -> Option<AnyDelivery> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next event, if there is one already.
    ///
    /// # Errors
    ///
    /// Says whether there may be one later.
    pub fn try_recv(&mut self) -> Result<AnyDelivery, TryReceiveError> {
        match self.next() {
            More::Yes(delivery) => Ok(delivery),
            More::Closed => Err(TryReceiveError::Closed),
            More::Empty => Err(TryReceiveError::Empty),
        }
    }

    /// Takes nothing that is published from now on, and holds no publisher up any more. What was
    /// published before is still received, and then `None`.
    pub fn close(&mut self) {
        self.watching = None;
        self.inbox.close();
        self.open_mail();
        for (id, source) in &mut self.sources {
            source.topic.close();
            // Each is to be asked whether that was its end.
            if !source.bell.ring() {
                self.turns.push_back(id);
            }
        }
    }

    /// What became of the events that it was to get: the sum over its topics.
    pub fn ledger(&self) -> Ledger {
        let fresh: Ledger = {
            let mail = self.inbox.lock();
            mail.fresh.iter().map(|topic| topic.ledger()).sum()
        };
        let sources = self.sources.iter();
        let known: Ledger = sources.map(|(_, source)| source.topic.ledger()).sum();
        [self.gone, known, fresh].into_iter().sum()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<AnyDelivery>> {
        let budget = ready!(coop::poll_proceed(cx));
        let next = match self.next() {
            More::Yes(delivery) => Some(delivery),
            More::Closed => None,
            More::Empty => {
                // What came meanwhile is looked at in the next poll: a topic may have asked for
                // that only so that other tasks can run.
                if !self.inbox.sleep(cx.waker(), self.sources.is_empty()) {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        };
        budget.made_progress();
        Poll::Ready(next)
    }

    /// The next event of those topics whose turn it is, each of which is asked at most once.
    fn next(&mut self) -> More<AnyDelivery> {
        let closed = self.open_mail();
        for _ in 0..self.turns.len() {
            let Some(id) = self.turns.pop_front() else {
                break;
            };
            let Some(source) = self.sources.get_mut(id) else {
                continue;
            };
            // Before it is asked: what comes from now on rings again.
            source.bell.rung.store(false, Ordering::Release);
            match source.topic.next(&source.waker) {
                More::Yes(delivery) => {
                    if !source.bell.ring() {
                        self.turns.push_back(id);
                    }
                    return More::Yes(delivery);
                }
                More::Empty => {}
                More::Closed => {
                    let source = self.sources.remove(id);
                    self.gone += source.topic.ledger();
                }
            }
        }
        match closed && self.sources.is_empty() {
            true => More::Closed,
            false => More::Empty,
        }
    }

    /// Lets those take turns that have come, or have something again. Whether no more can come.
    fn open_mail(&mut self) -> bool {
        let mut mail = self.inbox.lock();
        self.turns.extend(mail.woken.drain(..));
        let fresh = mem::take(&mut mail.fresh);
        let closed = mail.closed;
        drop(mail);
        for topic in fresh {
            let entry = self.sources.vacant_entry();
            let bell = Arc::new(Bell {
                inbox: Arc::downgrade(&self.inbox),
                id: entry.key(),
                rung: AtomicBool::new(true),
            });
            self.turns.push_back(entry.key());
            entry.insert(Source {
                topic,
                waker: Waker::from(Arc::clone(&bell)),
                bell,
            });
        }
        closed
    }
}

impl Stream for PatternSubscriber {
    type Item = AnyDelivery;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx)
    }
}

impl fmt::Debug for PatternSubscriber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PatternSubscriber")
            .field("pattern", self.pattern())
            .finish_non_exhaustive()
    }
}
