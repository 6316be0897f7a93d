//! What a service is, whether it is a part of this program or a process.

use std::collections::BTreeMap;
use std::sync::Arc;

use coord_bus::{BoxFuture, CancellationToken, Failure};
use tokio::sync::watch;

/// A service: whatever is to stay, and be ready for others.
pub trait ManagedService: Send + Sync + 'static {
    /// Runs it: calls [`ServiceContext::ready`] once it can do its work, and ends when it is
    /// drained, or told to stop.
    ///
    /// Dropped, it leaves nothing behind: that is what happens when it takes longer than the whole
    /// has.
    ///
    /// # Errors
    ///
    /// Why it cannot do its work any more.
    fn run(&self, context: ServiceContext) -> BoxFuture<'_, Result<(), Failure>>;

    /// Whether it is well; asked while it is ready. By default it is as long as it runs.
    ///
    /// # Errors
    ///
    /// What is wrong.
    fn check(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }

    /// Whether it tells its states itself, and has its own limits for becoming ready and for draining, and
    /// its own checks; `false` by default. So where it says so, nothing but the deadline of who disables it
    /// ends one that does not drain.
    fn keeps_itself(&self) -> bool {
        false
    }
}

/// What a service says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    Nothing,
    Ready,
    NotReady(String),
}

/// What a service is run with.
#[derive(Debug, Clone)]
pub struct ServiceContext {
    pub(super) said: Arc<watch::Sender<Said>>,
    pub(super) drain: CancellationToken,
    pub(super) stop: CancellationToken,
    pub(super) lost: watch::Receiver<BTreeMap<String, String>>,
}

impl ServiceContext {
    /// It can do its work: what needs it may start, and has it again.
    pub fn ready(&self) {
        self.said.send_replace(Said::Ready);
    }

    /// It cannot do its work for now, and why: it is not well, and those that need it have lost it, until it
    /// is [`ready`](Self::ready) again. It is not checked meanwhile. Before it was ready for the first time
    /// this changes nothing.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.said.send_if_modified(|said| {
            let was_ready = *said != Said::Nothing;
            if was_ready {
                *said = Said::NotReady(reason.into());
            }
            was_ready
        });
    }

    /// Cancelled when it is to take on nothing new, finish what it has, and end.
    pub fn draining(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// Cancelled when it is to end without finishing anything: its time to drain is over.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// What it needs and is not there, or not well, with the reasons.
    pub fn lost(&self) -> BTreeMap<String, String> {
        self.lost.borrow().clone()
    }

    /// Waits until that changes, since it was waited for last.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has not noticed anything.
    pub async fn lost_changed(&mut self) -> BTreeMap<String, String> {
        if self.lost.changed().await.is_err() {
            // Nobody will tell any more.
            std::future::pending::<()>().await;
        }
        self.lost.borrow_and_update().clone()
    }
}
