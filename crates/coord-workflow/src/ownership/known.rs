//! For how long a grant is known to hold the lease, to who holds it: from when it was last asked for that on, for the time
//! that it is granted. So a process that was stopped for longer knows, whichever of its timers it looks at first, that
//! somebody else may have its runs by now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coord_bus::time::Instant;
use coord_bus::{BoxFuture, Grant, Held, Lease, LeaseError};
use tokio::sync::Notify;

use crate::run::in_nanos;

/// Until when a grant holds the lease, as far as is known.
pub(crate) struct Known {
    since: Instant,
    /// In nanoseconds since then.
    until: AtomicU64,
    /// Rung where it is known of a grant of this orchestrator, or a run is kept under another one, since. The same for
    /// all of its grants.
    changed: Arc<Notify>,
}

impl Known {
    /// Of a grant that is asked for.
    pub(super) fn new(changed: &Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            since: Instant::now(),
            until: AtomicU64::new(0),
            changed: Arc::clone(changed),
        })
    }

    /// Whether it holds the lease, for all that is known now.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        in_nanos(self.since.elapsed()) < self.until.load(Ordering::SeqCst)
    }

    /// Rung where this may be another since.
    pub(crate) fn changed(&self) -> &Arc<Notify> {
        &self.changed
    }

    /// It was asked for at this moment, and granted for such a time.
    fn granted(&self, asked: Instant, ttl: Duration) {
        let asked = asked.saturating_duration_since(self.since);
        let until = in_nanos(asked.saturating_add(ttl));
        self.until.fetch_max(until, Ordering::SeqCst);
        self.changed.notify_waiters();
    }
}

/// A lease of which what is granted is known.
pub(super) struct Noted {
    pub(super) leases: Arc<dyn Lease>,
    pub(super) known: Arc<Known>,
}

impl Lease for Noted {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Grant, LeaseError>> {
        Box::pin(async move {
            let asked = Instant::now();
            let grant = self.leases.acquire(name, holder, ttl).await?;
            self.known.granted(asked, ttl);
            Ok(grant)
        })
    }

    fn renew<'a>(
        &'a self,
        grant: &'a Grant,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async move {
            let asked = Instant::now();
            self.leases.renew(grant, ttl).await?;
            self.known.granted(asked, ttl);
            Ok(())
        })
    }

    fn release(&self, grant: Grant) -> BoxFuture<'_, Result<(), LeaseError>> {
        self.leases.release(grant)
    }

    fn current<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Held>, LeaseError>> {
        self.leases.current(name)
    }
}
