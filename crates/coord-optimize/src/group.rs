//! A stream for each key: [`Groups`] and [`Group`].

mod router;

use std::fmt;
use std::hash::Hash;
use std::mem;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_core::Stream;

use self::router::{Crowd, OUTER, Router};
use crate::above_zero::above_zero;
use crate::intake::Intake;
use crate::ledger::{Ledger, LedgerHandle};

/// How many groups there are at most where nothing else is said.
pub const DEFAULT_GROUPS: usize = 1000;

/// How many items a group holds where nothing else is said.
pub const DEFAULT_GROUP_SIZE: usize = 100;

/// The stream of [`OptimizeExt::group_by`](crate::OptimizeExt::group_by): a [`Group`] for each key,
/// when its first item comes. All have to be read: whoever reads, takes items for all.
///
/// A group ends when the source does, or so long after its last item as
/// [`idle`](Self::idle) says; the next item of its key begins another. There are at most
/// [`at_most`](Self::at_most) groups that have not ended: where one more is needed, the one ends
/// whose last item is the oldest. What a group holds still comes out then.
///
/// A group holds at most [`group_size`](Self::group_size) items. One more, and nobody gets any before
/// the group is read: so a group that is kept and never read stops the others. What comes for a
/// group that was dropped is dropped, for as long as the group lasts. If this stream is dropped, so is
/// what comes for new keys.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use coord_optimize::OptimizeExt;
/// use tokio_stream::{StreamExt, iter};
///
/// let lines = iter([("web", "up"), ("db", "up"), ("web", "down")]);
/// let mut groups = lines.group_by(|line| line.0);
/// let web = groups.next().await.unwrap();
/// let db = groups.next().await.unwrap();
/// assert_eq!((*web.key(), *db.key()), ("web", "db"));
/// assert_eq!(web.map(|line| line.1).collect::<Vec<_>>().await, ["up", "down"]);
/// assert_eq!(db.map(|line| line.1).collect::<Vec<_>>().await, ["up"]);
/// assert!(groups.next().await.is_none());
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping the future of a `next()` loses nothing, of the groups' neither.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Groups<S: Stream, K: Hash + Eq + Clone, F: FnMut(&S::Item) -> K> {
    shared: Arc<Shared<S, K, F>>,
}

/// The items of one key, from [`Groups`].
#[must_use = "a stream does nothing unless it is polled"]
pub struct Group<S: Stream, K: Hash + Eq + Clone, F: FnMut(&S::Item) -> K> {
    key: K,
    number: u64,
    shared: Arc<Shared<S, K, F>>,
}

struct Shared<S: Stream, K, F> {
    state: Mutex<State<S, K, F>>,
    crowd: Arc<Crowd>,
    /// Of the crowd: everybody is woken, whoever's poll it was that found nothing.
    waker: Waker,
}

struct State<S: Stream, K, F> {
    source: Pin<Box<Intake<S>>>,
    key: F,
    router: Router<K, S::Item>,
}

impl<S, K, F> Groups<S, K, F>
where
    S: Stream,
    K: Hash + Eq + Clone,
    F: FnMut(&S::Item) -> K,
{
    pub(crate) fn new(source: S, key: F) -> Self {
        let crowd = Arc::<Crowd>::default();
        let state = State {
            source: Box::pin(Intake::new(source)),
            key,
            router: Router::new(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            waker: Waker::from(Arc::clone(&crowd)),
            crowd,
        };
        let shared = Arc::new(shared);
        Self { shared }
    }

    /// A group ends when no item has come for so long; by default it does not. RxJS's `duration`,
    /// begun anew by each item. An item that waits for room in its group has come.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn idle(self, time: Duration) -> Self {
        let idle = above_zero("the time after which a group ends", time);
        self.shared.state().router.idle_after(idle);
        self
    }

    /// At most so many groups that have not ended, and as many that wait to be given out:
    /// [`DEFAULT_GROUPS`] by default.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn at_most(self, groups: usize) -> Self {
        self.shared.state().router.at_most = above_zero("the most groups", groups);
        self
    }

    /// At most so many items in each group: [`DEFAULT_GROUP_SIZE`] by default.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn group_size(self, items: usize) -> Self {
        self.shared.state().router.size = above_zero("the size of a group", items);
        self
    }

    /// What became of the items of all groups so far.
    pub fn ledger(&self) -> Ledger {
        self.shared.state().router.books.ledger
    }

    /// To read the ledger from elsewhere.
    pub fn ledger_handle(&mut self) -> LedgerHandle {
        self.shared.state().router.books.handle()
    }
}

impl<S: Stream, K, F> Shared<S, K, F> {
    fn state(&self) -> MutexGuard<'_, State<S, K, F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, K, F> Shared<S, K, F>
where
    S: Stream,
    K: Hash + Eq + Clone,
    F: FnMut(&S::Item) -> K,
{
    /// What `look` finds, before or after items were taken for all; the crowd is woken if more come.
    fn poll<T>(
        &self,
        number: u64,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut Router<K, S::Item>) -> Poll<T>,
    ) -> Poll<T> {
        let mut state = self.state();
        let State {
            source,
            key,
            router,
        } = &mut *state;
        let sitting = Sitting(router);
        let router = &mut *sitting.0;
        let mut found = look(router);
        if found.is_pending() {
            // Before anything is taken: what wakes it may come at once.
            let waker = cx.waker().clone();
            self.crowd.waiting().insert(number, waker);
            let mut crowd = Context::from_waker(&self.waker);
            router.end_late(&self.crowd);
            router.unstick(&self.crowd);
            if router.stuck.is_none() && !router.ended {
                let taken = source.as_mut().poll_each(&mut crowd, |item| {
                    router.books.ledger.received += 1;
                    let key = key(&item);
                    router.held += 1;
                    router.route(key, item, &self.crowd);
                    match router.stuck {
                        None => ControlFlow::Continue(()),
                        Some(_) => ControlFlow::Break(()),
                    }
                });
                router.ended = taken == Poll::Ready(None);
            }
            if router.ended {
                Arc::clone(&self.crowd).wake();
            }
            router.poll_idle(&self.crowd, &mut crowd);
            found = look(router);
        }
        if found.is_ready() {
            self.crowd.waiting().remove(&number);
            // There is room now for what was stuck.
            if router.stuck.is_some() {
                Arc::clone(&self.crowd).wake();
            }
        }
        router.books.close(router.held);
        mem::forget(sitting);
        found
    }
}

/// One poll. If the user's closure panics in it, the books are closed still.
struct Sitting<'a, K: Hash + Eq + Clone, T>(&'a mut Router<K, T>);

impl<K: Hash + Eq + Clone, T> Drop for Sitting<'_, K, T> {
    fn drop(&mut self) {
        self.0.close_after_panic();
    }
}

impl<S, K, F> Stream for Groups<S, K, F>
where
    S: Stream,
    K: Hash + Eq + Clone,
    F: FnMut(&S::Item) -> K,
{
    type Item = Group<S, K, F>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let shared = &self.shared;
        let found = shared.poll(OUTER, cx, |router| match router.new.pop_front() {
            Some(new) => Poll::Ready(Some(new)),
            None if router.ended => Poll::Ready(None),
            None => Poll::Pending,
        });
        found.map(|new| {
            new.map(|(key, number)| Group {
                key,
                number,
                shared: Arc::clone(shared),
            })
        })
    }
}

impl<S, K, F> Stream for Group<S, K, F>
where
    S: Stream,
    K: Hash + Eq + Clone,
    F: FnMut(&S::Item) -> K,
{
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let number = self.number;
        self.shared.poll(number, cx, |router| {
            let Some(group) = router.groups.get_mut(&number) else {
                return Poll::Ready(None);
            };
            if let Some(item) = group.items.pop_front() {
                router.held -= 1;
                router.books.ledger.given_out += 1;
                return Poll::Ready(Some(item));
            }
            if group.ended || router.ended {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
    }
}

impl<S: Stream, K: Hash + Eq + Clone, F: FnMut(&S::Item) -> K> Group<S, K, F> {
    /// The key of all its items.
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<S: Stream, K: Hash + Eq + Clone, F: FnMut(&S::Item) -> K> Drop for Group<S, K, F> {
    fn drop(&mut self) {
        self.shared.state().router.leave(self.number);
        self.shared.crowd.waiting().remove(&self.number);
        // Somebody else may have waited for it to be read.
        Arc::clone(&self.shared.crowd).wake();
    }
}

impl<S: Stream, K: Hash + Eq + Clone, F: FnMut(&S::Item) -> K> Drop for Groups<S, K, F> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let router = &mut state.router;
        router.outer_gone = true;
        for (_, number) in mem::take(&mut router.new) {
            router.leave(number);
        }
        drop(state);
        self.shared.crowd.waiting().remove(&OUTER);
        Arc::clone(&self.shared.crowd).wake();
    }
}

impl<S: Stream, K, F: FnMut(&S::Item) -> K> fmt::Debug for Groups<S, K, F>
where
    K: Hash + Eq + Clone,
{
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state();
        formatter
            .debug_struct("Groups")
            .field("groups", &state.router.live.len())
            .field("ledger", &state.router.books.ledger)
            .finish_non_exhaustive()
    }
}

impl<S: Stream, K, F: FnMut(&S::Item) -> K> fmt::Debug for Group<S, K, F>
where
    K: Hash + Eq + Clone + fmt::Debug,
{
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Group")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
