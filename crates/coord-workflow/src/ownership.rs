//! Who drives durable runs: an orchestrator, as long as it holds a lease of its own.
//!
//! There is one lease an orchestrator, not one a run. A run says in its records whose grant it is
//! driven under; who finds that grant gone may claim the run, by a record that has to be the next
//! one of its stream. So of several who claim it one succeeds, and who had it before, and does not
//! know that it is gone, cannot append to it any more.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use coord_bus::{CancellationToken, EventLog, Grant, LeaseExt, TaskScope};

use crate::live_runs::LiveRuns;
use crate::records::{self, Owner};
use crate::{RunId, RunJournal, WorkflowError};

/// For how long an orchestrator that is not heard of any more keeps its runs from others, where the
/// keeper of leases does not know that its process is gone.
pub const DEFAULT_LEASE_TTL: Duration = Duration::from_secs(30);

/// Where an orchestrator keeps its runs, and how it says that it is there.
pub(crate) struct Keeping {
    pub(crate) journal: RunJournal,
    /// Those that go on here.
    pub(crate) runs: Arc<LiveRuns>,
    /// Another for each orchestrator.
    lease: String,
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
    pub(crate) fn new(journal: RunJournal, lease: String) -> Self {
        Self {
            journal,
            runs: Arc::default(),
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
        let acquiring =
            self.journal
                .leases
                .acquire_when_free(&self.lease, &holder, DEFAULT_LEASE_TTL);
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

    /// Whether a run that is kept under this owner is this orchestrator's.
    pub(crate) async fn is_own(&self, owner: &Owner) -> bool {
        let held = self.held.lock().await;
        held.as_ref().is_some_and(|held| held.owner == *owner)
    }

    /// Renews the lease until the orchestrator is shut down, and listens for news of its runs.
    fn keep(&self, grant: Grant, lost: CancellationToken) {
        let leases = Arc::clone(&self.journal.leases);
        let stop = self.tasks.token();
        let listening = listen(
            Arc::clone(&self.journal.log),
            self.lease.clone(),
            Arc::clone(&self.runs),
        );
        self.tasks.spawn("lease", async move {
            // Whether it is lost or given up: its runs are not this orchestrator's any more.
            let _lost = lost.drop_guard();
            let _ = leases
                .hold(grant, DEFAULT_LEASE_TTL, async {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        never = listening => match never {},
                    }
                })
                .await;
        });
    }

    /// Gives the lease up: the runs that are left are anybody's.
    pub(crate) async fn give_up(&self, deadline: Duration) {
        self.tasks.shutdown(deadline).await;
    }

    pub(crate) fn abort(&self) {
        self.tasks.abort();
    }
}

/// Hears of runs that were told something by others.
async fn listen(log: Arc<dyn EventLog>, lease: String, runs: Arc<LiveRuns>) -> Infallible {
    let bell = records::bell(&lease);
    if let Ok(mut bell) = log.tail(&bell, 1) {
        while let Some(Ok(rung)) = poll_fn(|cx| bell.as_mut().poll_next(cx)).await {
            let run = str::from_utf8(&rung.record.payload).unwrap_or_default();
            if let Ok(run) = RunId::named(run) {
                runs.has_news(&run);
            }
        }
    }
    // Where the journal has failed, its runs hear of that when they write.
    pending().await
}
