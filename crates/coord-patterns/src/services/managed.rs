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

    /// Whether it tells its states itself, has its own limit for becoming ready, and its own
    /// checks; `false` by default.
    fn keeps_itself(&self) -> bool {
        false
    }
}

/// What a service is run with.
#[derive(Debug, Clone)]
pub struct ServiceContext {
    pub(super) ready: Arc<watch::Sender<bool>>,
    pub(super) drain: CancellationToken,
    pub(super) stop: CancellationToken,
    pub(super) lost: watch::Receiver<BTreeMap<String, String>>,
}

impl ServiceContext {
    /// It can do its work: what needs it may start.
    pub fn ready(&self) {
        self.ready.send_replace(true);
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
