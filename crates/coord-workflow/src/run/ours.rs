//! Whether a durable run is known to be this process's: asked before anything begins in it.
//!
//! What begins because of something that has happened is held until that is kept, which proves it. But an attempt after a
//! backoff, a round, an item of a list begin because of a timer, or by themselves; and a process that was stopped for
//! longer than its lease lasts goes on with them in any order, also before it looks at its lease. So two numbers are
//! compared each time. Where the lease may have run out, what is to begin waits: until it holds again, and is that
//! under which the run is kept; or until the run is left.

use std::pin::pin;
use std::sync::Arc;

use coord_bus::CancellationToken;

use super::Shared;
use super::recorder::Recorder;
use crate::ownership::Known;

impl Shared {
    /// Whether it is, at this moment. A run that is not kept is nobody else's.
    #[inline]
    pub(super) fn is_ours(&self) -> bool {
        !self.is_durable
            || self
                .queue()
                .recorder
                .as_deref()
                .is_none_or(Recorder::is_ours)
    }

    /// Waits until it is: for ever where it is lost, of which who waits hears otherwise.
    pub(super) async fn until_ours(&self) {
        if self.is_ours() {
            return;
        }
        let known = self
            .queue()
            .recorder
            .as_ref()
            .map(|recorder| Arc::clone(recorder.known()));
        let Some(changed) = known.as_deref().map(Known::changed) else {
            return;
        };
        loop {
            let mut again = pin!(changed.notified());
            again.as_mut().enable();
            if self.is_ours() {
                return;
            }
            again.await;
        }
    }

    /// Waits until a step may begin something. Whether it may: else it is to end.
    pub(super) async fn may_begin(&self) -> bool {
        self.is_ours() || self.is_ours_before(&self.token).await
    }

    /// Waits until it is known whether the run is lost. Whether it is not: what is done for its end goes on where it is to
    /// end, or to be left.
    pub(super) async fn is_not_lost(&self) -> bool {
        self.is_ours_before(&self.lost()).await
    }

    async fn is_ours_before(&self, ended: &CancellationToken) -> bool {
        tokio::select! {
            biased;
            () = ended.cancelled() => false,
            () = self.until_ours() => true,
        }
    }
}

impl Recorder {
    #[inline]
    pub(super) fn is_ours(&self) -> bool {
        self.known().holds()
    }
}
