//! A child seen from outside, its [`Child`] handle, and from inside, its [`ChildContext`].

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::vocabulary::Recovery;
use coord_bus::{ABORT_GRACE, CancellationToken};
use tokio::sync::watch;

use super::group::Group;
use super::nested::Nested;
use super::{ChildEnd, ChildSpec, ChildState, ChildStatus, DEFAULT_SHUTDOWN};
use crate::teller::Teller;

/// A handle on a child. Cheap to clone. Dropping it changes nothing for the child.
#[derive(Clone)]
pub struct Child {
    shared: Arc<Shared>,
}

/// What an incarnation knows of itself. Cheap to clone.
#[derive(Clone)]
pub struct ChildContext {
    shared: Arc<Shared>,
    incarnation: u32,
    token: CancellationToken,
    outage: Option<Outage>,
}

/// Since when a child has been failing, and what is being tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    pub(super) since: Instant,
    pub(super) attempt: u32,
}

/// What the handles, the contexts and the keeper of one child share.
pub(super) struct Shared {
    name: Box<str>,
    significant: bool,
    /// How long it may take to stop.
    shutdown: Option<Duration>,
    status: watch::Sender<Status>,
    orders: watch::Sender<Orders>,
    /// The supervisor that the present incarnation is.
    below: Mutex<Option<Nested>>,
    teller: Teller,
}

struct Status {
    incarnation: u32,
    /// When that incarnation began.
    began: Instant,
    /// The last one that has been polled.
    polled: u32,
    has_been_ready: bool,
    state: ChildState,
}

/// What the keeper of a child is asked to do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Orders {
    /// Incarnations up to this one are to make place for the next.
    restart_of: u32,
    /// Incarnations up to this one are taken for failed.
    failed: u32,
    /// For how many others it waits, which are restarted, before it begins anew.
    pub(super) holders: u32,
    /// It is to stop for one of them.
    held: bool,
    pub(super) stop: Option<Stop>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    Gracefully,
    Now,
}

impl Orders {
    pub(super) fn are_for(&self, incarnation: u32) -> bool {
        self.stop.is_some() || self.held || self.restart_of >= incarnation
    }

    /// Whether it is to be restarted for nothing else than that it is taken for failed.
    pub(super) fn only_failed(&self, incarnation: u32) -> bool {
        self.failed >= incarnation && !self.are_for(incarnation)
    }
}

impl Child {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The child's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// How it is now.
    pub fn state(&self) -> ChildState {
        self.shared.status.borrow().state.clone()
    }

    /// How often it was restarted, by itself and by hand.
    pub fn restarts(&self) -> u32 {
        self.shared.status.borrow().incarnation.saturating_sub(1)
    }

    pub(super) fn status(&self) -> ChildStatus {
        let status = self.shared.status.borrow();
        ChildStatus {
            name: self.shared.name.to_string(),
            state: status.state.clone(),
            restarts: status.incarnation.saturating_sub(1),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.shared.status.borrow().state, ChildState::Ended(_))
    }

    /// Waits until the child is ready: until its present incarnation, or a later one, has called
    /// [`ChildContext::ready`]. A child that never calls it is never ready.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    ///
    /// # Errors
    ///
    /// Why the child ended, if it did so for good before.
    pub async fn ready(&self) -> Result<(), ChildEnd> {
        self.shared
            .wait_for(|state| match state {
                ChildState::Running { ready: true, .. } => Some(Ok(())),
                ChildState::Ended(end) => Some(Err(end.clone())),
                _ => None,
            })
            .await
    }

    /// Whether any of its incarnations has been ready, also where nobody who waits for that came to see it.
    pub fn has_been_ready(&self) -> bool {
        self.shared.status.borrow().has_been_ready
    }

    /// Waits until the child is not ready, or is ready in a later incarnation than now: how it is then.
    ///
    /// # Cancel safety
    ///
    /// Safe. What happens before it is called is not noticed: see [`restarts`](Self::restarts).
    pub async fn not_ready(&self) -> ChildState {
        let present = self.restarts().saturating_add(1);
        self.shared
            .wait_for(|state| match state {
                ChildState::Running {
                    ready: true,
                    incarnation,
                } if *incarnation == present => None,
                state => Some(state.clone()),
            })
            .await
    }

    /// Asks for a new incarnation: the present one is asked to stop, and aborted after its
    /// [`shutdown`](super::ChildSpec::shutdown) time; then the next starts at once, without a
    /// backoff. A child that waits to be restarted is started now.
    ///
    /// It does not count against the intensity, and the count of failures in a row begins anew: who calls
    /// it whenever something fails restarts without end what fails at once. Let
    /// [`RecoveryStrategy::restart`](crate::RecoveryStrategy::restart) do that, which heeds both. Only
    /// this child is restarted, whatever the supervisor's [`Strategy`](super::Strategy).
    ///
    /// Asked again before the next incarnation has started, it is the same request. Says whether
    /// another comes: one that has ended, or was asked to [stop](Self::stop), has none, and may be
    /// [started](super::Supervisor::start) anew once it has ended.
    pub fn restart(&self) -> bool {
        let status = self.shared.status.borrow();
        let incarnation = status.incarnation;
        let is_there = !matches!(status.state, ChildState::Ended(_));
        drop(status);
        let mut is_to_stop = false;
        self.shared.orders.send_if_modified(|orders| {
            is_to_stop = orders.stop.is_some();
            let is_new = orders.restart_of < incarnation;
            orders.restart_of = orders.restart_of.max(incarnation);
            is_new
        });
        is_there && !is_to_stop
    }

    /// Takes the present incarnation for failed if something failed then, unless it has begun since:
    /// it is restarted as after any failure. Waits until the next one is ready, or has run for so long.
    ///
    /// Dropped before it is done, it is restarted all the same.
    pub(crate) async fn restart_as_failed(
        &self,
        failed: Instant,
        long_enough: Duration,
    ) -> Result<(), String> {
        let incarnation = {
            let status = self.shared.status.borrow();
            let is_later = status.began > failed;
            if is_later { 0 } else { status.incarnation }
        };
        self.shared.orders.send_if_modified(|orders| {
            let is_new = orders.failed < incarnation;
            orders.failed = orders.failed.max(incarnation);
            is_new
        });
        let mut status = self.shared.status.subscribe();
        // The other end is held here, so this never fails.
        let waited = status.wait_for(|status| {
            status.incarnation > incarnation || matches!(status.state, ChildState::Ended(_))
        });
        let next = waited.await.map_or(0, |status| status.incarnation);
        let name = self.name();
        let judged = self.shared.wait_for(|state| match state {
            ChildState::Ended(end) => Some(Err(format!("`{name}` does not come back: {end}"))),
            ChildState::Running { ready: true, .. } => Some(Ok(())),
            ChildState::Running { incarnation, .. } if *incarnation == next => None,
            _ => Some(Err(format!("`{name}` failed again before it was ready"))),
        });
        time::timeout(long_enough, judged).await.unwrap_or(Ok(()))
    }

    /// Asks the child to stop for good, as [`stop`](Self::stop) does, and does not wait.
    pub fn ask_to_stop(&self) {
        self.shared.ask_to_stop(Stop::Gracefully);
    }

    /// Stops the child for good, and waits until it has ended. The present incarnation is asked by
    /// its token, and aborted after its [`shutdown`](super::ChildSpec::shutdown) time.
    ///
    /// An error that it returns once it was asked is taken for its way to stop; a panic is
    /// published. One that holds its thread cannot be aborted, and has not ended as long as it does.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the child was asked to stop, and goes on stopping.
    pub async fn stop(&self) -> ChildEnd {
        self.ask_to_stop();
        self.ended().await
    }

    /// Stops the child, and waits for as long as it may take, and a moment more: one that has not ended then
    /// holds its thread.
    pub(super) async fn stop_unless_stuck(&self) {
        let _ = time::timeout(self.longest_stop(), self.stop()).await;
    }

    /// How long it may take to stop, and a moment more.
    pub(super) fn longest_stop(&self) -> Duration {
        self.shared.shutdown().saturating_add(ABORT_GRACE)
    }

    /// Waits until the child has ended for good, and says why.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn ended(&self) -> ChildEnd {
        self.shared
            .wait_for(|state| match state {
                ChildState::Ended(end) => Some(end.clone()),
                _ => None,
            })
            .await
    }
}

impl ChildContext {
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn new(
        shared: &Arc<Shared>,
        incarnation: u32,
        token: &CancellationToken,
        outage: Option<Outage>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            incarnation,
            token: token.clone(),
            outage,
        }
    }

    /// The child's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Which incarnation this is, from 1.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Cancelled when this incarnation is to stop, and when it is over in whatever way.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Says that this incarnation can do its work. The first time counts; once the incarnation is
    /// over it does nothing.
    pub fn ready(&self) {
        let is_first = self.shared.status.send_if_modified(|status| {
            let is_present = status.incarnation == self.incarnation;
            match &mut status.state {
                ChildState::Running { ready, .. } if is_present && !*ready => {
                    *ready = true;
                    status.has_been_ready = true;
                    true
                }
                _ => false,
            }
        });
        if is_first && let Some(Outage { since, attempt }) = self.outage {
            let duration = since.elapsed();
            let progress = Recovery::Recovered { attempt, duration };
            self.shared.tell_recovery(progress);
        }
    }
}

impl Shared {
    pub(super) fn new(spec: &ChildSpec, teller: Teller) -> Self {
        let state = ChildState::Running {
            incarnation: 1,
            ready: false,
        };
        let status = Status {
            incarnation: 1,
            began: Instant::now(),
            polled: 0,
            has_been_ready: false,
            state,
        };
        Self {
            name: spec.name().into(),
            significant: spec.significant,
            shutdown: spec.shutdown,
            status: watch::Sender::new(status),
            orders: watch::Sender::new(Orders::default()),
            below: Mutex::default(),
            teller,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn below(&self) -> MutexGuard<'_, Option<Nested>> {
        self.below.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long an incarnation may take to stop from now on.
    pub(super) fn shutdown(&self) -> Duration {
        self.shutdown_beside(&mut Vec::new())
    }

    /// The same, without the time of these supervisors, which is counted already: a tree may hold itself.
    pub(super) fn shutdown_beside(&self, counted: &mut Vec<Arc<Group>>) -> Duration {
        self.shutdown.unwrap_or_else(|| {
            let below = self.below().clone();
            let below = below.map(|nested| nested.group.longest_stop(counted));
            // As long as those below may take, and then what it does besides.
            below.unwrap_or_default().saturating_add(DEFAULT_SHUTDOWN)
        })
    }

    pub(super) fn teller(&self) -> &Teller {
        &self.teller
    }

    pub(super) fn tell_recovery(&self, progress: Recovery) {
        self.teller.recovery(&self.name, "restart", progress);
    }

    pub(super) fn ask_to_stop(&self, stop: Stop) {
        self.orders.send_if_modified(|orders| {
            let is_new = orders.stop < Some(stop);
            orders.stop = orders.stop.max(Some(stop));
            is_new
        });
    }

    /// The orders, once a child that waits to be restarted is not to wait any longer, or for another.
    pub(super) async fn ordered(&self, incarnation: u32) -> Orders {
        self.orders_when(|orders| orders.are_for(incarnation) || orders.holders > 0)
            .await
    }

    /// Resolves once this incarnation is to end, for an order or because it is taken for failed.
    pub(super) async fn to_end(&self, incarnation: u32) {
        self.orders_when(|orders| orders.are_for(incarnation) || orders.failed >= incarnation)
            .await;
    }

    pub(super) fn is_significant(&self) -> bool {
        self.significant
    }

    /// From now on it does not begin before it is released. If it runs, it runs on.
    pub(super) fn hold(&self) {
        self.orders.send_modify(|orders| orders.holders += 1);
    }

    /// Asks it to stop; for one that is held, and begins anew once it is released.
    pub(super) fn stop_for_another(&self) {
        self.orders
            .send_modify(|orders| orders.held = orders.holders > 0);
    }

    /// What [`hold`](Self::hold) has done is over.
    pub(super) fn release(&self) {
        self.orders.send_modify(|orders| {
            orders.holders = orders.holders.saturating_sub(1);
            orders.held &= orders.holders > 0;
        });
    }

    /// Resolves once it is held.
    pub(super) async fn claimed(&self) {
        self.orders_when(|orders| orders.holders > 0).await;
    }

    /// Waits until it has stopped for another, or has ended for good.
    pub(super) async fn held(&self) {
        self.wait_for(|state| {
            matches!(state, ChildState::Held | ChildState::Ended(_)).then_some(())
        })
        .await;
    }

    /// Waits until its present incarnation has been polled, or it has ended for good; for one that is held,
    /// until the next has.
    pub(super) async fn begun(&self) {
        self.status_when(|status| match status.state {
            ChildState::Held => false,
            ChildState::Ended(_) => true,
            _ => status.polled == status.incarnation,
        })
        .await;
    }

    /// Waits until any of its incarnations has been polled, or it has ended for good.
    pub(super) async fn has_once_begun(&self) {
        self.status_when(|status| {
            status.polled > 0 || matches!(status.state, ChildState::Ended(_))
        })
        .await;
    }

    async fn status_when(&self, is_due: impl FnMut(&Status) -> bool) {
        let mut status = self.status.subscribe();
        // The other end is held here, so this never fails.
        let _ = status.wait_for(is_due).await;
    }

    /// Waits until it is released or is to stop.
    pub(super) async fn released(&self) -> Orders {
        self.orders_when(|orders| orders.stop.is_some() || orders.holders == 0)
            .await
    }

    /// Resolves once the child is to be aborted.
    pub(super) async fn to_abort(&self) {
        self.orders_when(|orders| orders.stop == Some(Stop::Now))
            .await;
    }

    async fn orders_when(&self, are_due: impl Fn(&Orders) -> bool) -> Orders {
        let mut orders = self.orders.subscribe();
        // The other end is held here, so this never fails.
        let _ = orders.wait_for(are_due).await;
        *self.orders.borrow()
    }

    pub(super) fn orders(&self) -> Orders {
        *self.orders.borrow()
    }

    pub(super) fn begin(&self, incarnation: u32) {
        let ready = false;
        self.status.send_modify(|status| {
            status.incarnation = incarnation;
            status.began = Instant::now();
            status.state = ChildState::Running { incarnation, ready };
        });
    }

    /// This incarnation has been polled.
    pub(super) fn has_begun(&self, incarnation: u32) {
        self.status.send_if_modified(|status| {
            let is_new = status.polled < incarnation;
            status.polled = status.polled.max(incarnation);
            is_new
        });
    }

    pub(super) fn is_ready(&self) -> bool {
        let status = self.status.borrow();
        matches!(status.state, ChildState::Running { ready: true, .. })
    }

    pub(super) fn set(&self, state: ChildState) {
        self.status.send_modify(|status| status.state = state);
    }

    /// For a child whose task was aborted.
    pub(super) fn end_unless_ended(&self) {
        self.status.send_if_modified(|status| {
            let is_there = !matches!(status.state, ChildState::Ended(_));
            if is_there {
                status.state = ChildState::Ended(ChildEnd::Aborted);
            }
            is_there
        });
    }

    /// What `read` finds in the first state in which it finds something.
    async fn wait_for<T>(&self, read: impl Fn(&ChildState) -> Option<T>) -> T {
        let mut status = self.status.subscribe();
        loop {
            if let Some(found) = read(&status.borrow_and_update().state) {
                return found;
            }
            // The other end is held here, so this never fails.
            let _ = status.changed().await;
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Child")
            .field("name", &self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ChildContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChildContext")
            .field("name", &self.name())
            .field("incarnation", &self.incarnation)
            .finish_non_exhaustive()
    }
}
