//! Who drives durable runs: an orchestrator, as long as it holds a lease of its own.
//!
//! There is one lease an orchestrator, not one a run. A run says in its records whose grant it is
//! driven under; who finds that grant gone may claim the run, by a record that has to be the next
//! one of its stream. So of several who claim it one succeeds, and who had it before, and does not
//! know that it is gone, cannot append to it any more.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::{CancellationToken, EventLog, Grant, Lease, LeaseExt, TaskScope};

use crate::WorkflowError;
use crate::records::Owner;

/// For how long an orchestrator that is not heard of any more keeps its runs from others, where the
/// keeper of leases does not know that its process is gone.
pub const DEFAULT_LEASE_TTL: Duration = Duration::from_secs(30);

/// Where an orchestrator keeps its runs, and how it says that it is there.
pub(crate) struct Keeping {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) leases: Arc<dyn Lease>,
    pub(crate) ttl: Duration,
    /// Another for each orchestrator.
    pub(crate) lease: String,
    /// Cancelled when runs are to be left as they are.
    pub(crate) suspend: CancellationToken,
    held: tokio::sync::Mutex<Option<Held>>,
    tasks: TaskScope,
}

/// The lease is held, for all that is known.
struct Held {
    owner: Owner,
    /// Cancelled when it is lost, or given up.
    lost: CancellationToken,
}

impl Keeping {
    pub(crate) fn new(log: Arc<dyn EventLog>, leases: Arc<dyn Lease>, lease: String) -> Self {
        Self {
            log,
            leases,
            ttl: DEFAULT_LEASE_TTL,
            lease,
            suspend: CancellationToken::new(),
            held: tokio::sync::Mutex::default(),
            tasks: TaskScope::new("ownership of runs"),
        }
    }

    /// Who this orchestrator is to others, and what is cancelled when it is that no more. Acquires
    /// the lease where it is not held.
    pub(crate) async fn owner(&self) -> Result<(Owner, CancellationToken), WorkflowError> {
        let mut held = self.held.lock().await;
        if let Some(held) = &*held
            && !held.lost.is_cancelled()
        {
            return Ok((held.owner.clone(), held.lost.clone()));
        }
        let holder = format!("process {}", std::process::id());
        let acquiring = self
            .leases
            .acquire_when_free(&self.lease, &holder, self.ttl);
        let grant = acquiring.await?;
        let owner = Owner {
            lease: grant.name.clone(),
            token: grant.token,
            holder,
        };
        let lost = self.suspend.child_token();
        self.keep(grant, lost.clone());
        *held = Some(Held {
            owner: owner.clone(),
            lost: lost.clone(),
        });
        Ok((owner, lost))
    }

    /// Renews the lease until the orchestrator is shut down.
    fn keep(&self, grant: Grant, lost: CancellationToken) {
        let (leases, ttl) = (Arc::clone(&self.leases), self.ttl);
        let stop = self.tasks.token();
        self.tasks.spawn("lease", async move {
            // Whether it is lost or given up: its runs are not this orchestrator's any more.
            let _lost = lost.drop_guard();
            let _ = leases.hold(grant, ttl, stop.cancelled()).await;
        });
    }

    /// Who else drives a run that is kept under this owner, if somebody does.
    pub(crate) async fn driven_by(&self, owner: &Owner) -> Result<Option<String>, WorkflowError> {
        let held = self.leases.current(&owner.lease).await?;
        let is_held = held.is_some_and(|held| held.token == owner.token);
        Ok(is_held.then(|| owner.holder.clone()))
    }

    /// Gives the lease up: the runs that are left are anybody's.
    pub(crate) async fn give_up(&self, deadline: Duration) {
        self.tasks.shutdown(deadline).await;
    }

    pub(crate) fn abort(&self) {
        self.tasks.abort();
    }
}
