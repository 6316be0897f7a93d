//! Who drives durable runs: an orchestrator, as long as it holds a lease of its own.
//!
//! There is one lease an orchestrator, not one a run. A run says in its records whose grant it is
//! driven under; who finds that grant gone may claim the run, by a record that has to be the next
//! one of its stream. So of several who claim it one succeeds, and who had it before, and does not
//! know that it is gone, cannot append to it any more.
//!
//! A lease also runs out while its process stands still, as when it is stopped or the machine sleeps. Then
//! it is acquired anew, and each run is told under which grant it is driven now, in its records again: one
//! that nobody has claimed meanwhile goes on as if nothing had been, and of any other that is refused.
//!
//! Steps may hold every thread of the runtime for longer than a lease lasts, and then no task of it renews anything.
//! So a thread of its own does, too.
//!
//! Until when the lease is [known](Known) to hold is asked before anything begins in a run.

mod known;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use coord_bus::time::{Clock, sleep, timeout};
use coord_bus::{CancellationToken, Grant, Lease, LeaseError, LeaseExt, TaskScope};
use futures_util::future::join3;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::live_runs::LiveRuns;
use crate::orchestrator::Run;
use crate::records::Owner;
use crate::{RunId, RunJournal, WorkflowError, bell, run};
pub(crate) use known::Known;
use known::Noted;

/// For how long an orchestrator that is not heard of any more keeps its runs from others, where the
/// keeper of leases does not know that its process is gone.
pub const DEFAULT_LEASE_TTL: Duration = Duration::from_secs(30);

/// How long the lease that ran out may take to be acquired anew before its runs are left to others: what they
/// do goes on meanwhile.
const ANEW_WITHIN: Duration = Duration::from_secs(5);

/// After how long it is tried again to renew a lease that cannot be, and is held all the same.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// Where an orchestrator keeps its runs, and how it says that it is there.
pub(crate) struct Keeping {
    pub(crate) journal: RunJournal,
    /// Those that go on here.
    pub(crate) runs: Arc<LiveRuns>,
    /// Another for each orchestrator.
    lease: String,
    ttl: Duration,
    /// Cancelled when runs are to be left as they are.
    pub(crate) suspend: CancellationToken,
    held: Slot,
    /// Rung where until when that is so may be another.
    changed: Arc<Notify>,
    clock: Arc<dyn Clock>,
    tasks: TaskScope,
}

/// The lease, if it has been acquired. Locked while it is acquired, so that no run begins under a grant that
/// is over.
type Slot = Arc<tokio::sync::Mutex<Option<Held>>>;

/// The lease is held, for all that is known.
#[derive(Clone)]
pub(crate) struct Held {
    /// Who this orchestrator is to others.
    pub(crate) owner: Owner,
    /// Until when, as far as is known.
    pub(crate) known: Arc<Known>,
    /// Cancelled when it is lost, or given up.
    pub(crate) lost: CancellationToken,
}

impl Keeping {
    pub(crate) fn new(
        journal: RunJournal,
        lease: String,
        ttl: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            journal,
            runs: Arc::default(),
            lease,
            ttl,
            suspend: CancellationToken::new(),
            held: Slot::default(),
            changed: Arc::default(),
            clock,
            tasks: TaskScope::new("ownership of runs"),
        }
    }

    /// How the lease is held, for a run of this workflow. Acquires it where it is not.
    pub(crate) async fn held(&self, workflow: &str) -> Result<Held, WorkflowError> {
        let mut slot = self.held.lock().await;
        self.check_open(workflow)?;
        if let Some(held) = &*slot
            && !held.lost.is_cancelled()
        {
            return Ok(held.clone());
        }
        let (leases, holder) = (&self.journal.leases, holder());
        let known = Known::new(&self.changed);
        let noted = noted(leases, &known);
        let acquiring = noted.acquire_when_free(&self.lease, &holder, self.ttl);
        let grant = acquiring.await?;
        if let Err(shut_down) = self.check_open(workflow) {
            // Nobody would renew it any more.
            leases.begin_release(grant);
            return Err(shut_down);
        }
        let held = Held {
            owner: owner(&grant),
            known: Arc::clone(&known),
            lost: self.suspend.child_token(),
        };
        let tenure = Tenure {
            journal: self.journal.clone(),
            runs: Arc::clone(&self.runs),
            clock: Arc::clone(&self.clock),
            held: Arc::clone(&self.held),
            lost: held.lost.clone(),
            stop: self.tasks.token(),
            ttl: self.ttl,
            thread: on_a_thread(leases, (grant.clone(), Arc::clone(&known)), self.ttl),
        };
        self.tasks.spawn("lease", tenure.keep(grant, known));
        *slot = Some(held.clone());
        Ok(held)
    }

    fn check_open(&self, workflow: &str) -> Result<(), WorkflowError> {
        match self.suspend.is_cancelled() {
            false => Ok(()),
            true => Err(WorkflowError::ShutDown {
                workflow: workflow.to_owned(),
            }),
        }
    }

    /// That a run is driven by this owner, who is there.
    pub(crate) fn driven_elsewhere(&self, run: &RunId, owner: &Owner) -> WorkflowError {
        let holder = match owner.lease.ends_with(&*OF_PROCESS) {
            _ if owner.lease == self.lease => "this orchestrator".to_owned(),
            true => "another orchestrator of this process".to_owned(),
            false => owner.holder.clone(),
        };
        let run = run.to_string();
        WorkflowError::DrivenElsewhere { run, holder }
    }

    /// Whether a run that is kept under this owner is this orchestrator's.
    pub(crate) async fn is_own(&self, owner: &Owner) -> bool {
        let held = self.held.lock().await;
        held.as_ref().is_some_and(|held| held.owner == *owner)
    }

    /// A run goes on here since a moment ago, kept as held like this: what has become of the lease until the
    /// run was there to be told, it is told.
    pub(crate) async fn has_begun(&self, run: &Run, was: &Held) {
        let held = self.held.lock().await;
        let Some(run) = run.shared.upgrade() else {
            return;
        };
        match &*held {
            _ if self.suspend.is_cancelled() => {}
            _ if was.lost.is_cancelled() => run.lease_lost(),
            Some(held) if held.owner != was.owner => run.renew_owner(held),
            _ => {}
        }
    }

    /// Gives the lease up: the runs that are left are anybody's.
    pub(crate) async fn give_up(&self, deadline: Duration) {
        self.tasks.shutdown(deadline).await;
    }

    /// The same, where nobody waits for it.
    pub(crate) fn abort(&self) {
        self.tasks.abort();
        if let Ok(mut held) = self.held.try_lock()
            && let Some(held) = held.take()
        {
            self.journal.leases.begin_release(held.owner.into());
        }
    }
}

/// What the leases of all orchestrators of this process end with: its number may be that of another, in a container of
/// its own.
static OF_PROCESS: LazyLock<String> = LazyLock::new(|| format!(".{}", RunId::unique()));

/// The name of a lease for another orchestrator.
pub(crate) fn new_lease() -> String {
    format!("orchestrator-{}{}", RunId::unique(), *OF_PROCESS)
}

/// Who acquires the lease, for people.
fn holder() -> String {
    format!("process {}", std::process::id())
}

fn owner(grant: &Grant) -> Owner {
    Owner {
        lease: grant.name.clone(),
        token: grant.token,
        holder: grant.holder.clone(),
    }
}

fn noted(leases: &Arc<dyn Lease>, known: &Arc<Known>) -> Noted {
    Noted {
        leases: Arc::clone(leases),
        known: Arc::clone(known),
    }
}

impl From<Owner> for Grant {
    fn from(owner: Owner) -> Self {
        Self {
            name: owner.lease,
            token: owner.token,
            holder: owner.holder,
        }
    }
}

/// The lease from when it was acquired on, until it is lost or given up.
struct Tenure {
    journal: RunJournal,
    runs: Arc<LiveRuns>,
    clock: Arc<dyn Clock>,
    held: Slot,
    lost: CancellationToken,
    /// Cancelled when it is to be given up.
    stop: CancellationToken,
    ttl: Duration,
    /// Who renews it, too: is told under which grant it is held.
    thread: mpsc::Sender<(Grant, Arc<Known>)>,
}

/// Renews a lease on a thread of its own, as long as there is who could say that it is held under another grant.
/// Where no thread is to be had, only the runtime's do.
fn on_a_thread(
    leases: &Arc<dyn Lease>,
    mut grant: (Grant, Arc<Known>),
    ttl: Duration,
) -> mpsc::Sender<(Grant, Arc<Known>)> {
    let (thread, told) = mpsc::channel();
    // Who keeps the leases goes when all others have let go of it.
    let (leases, runtime) = (Arc::downgrade(leases), Handle::current());
    let renewing = move || {
        loop {
            match told.recv_timeout(ttl / 3) {
                Ok(anew) => grant = anew,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let Some(leases) = leases.upgrade() else {
                        return;
                    };
                    let (grant, known) = &grant;
                    // What became of it learns who holds it.
                    let _ = runtime.block_on(noted(&leases, known).renew(grant, ttl));
                }
            }
        }
    };
    let named = thread::Builder::new().name("lease".to_owned());
    let _ = named.spawn(renewing);
    thread
}

impl Tenure {
    /// Renews the lease until the orchestrator is shut down, listens for news of its runs, and sees to their time.
    async fn keep(self, mut grant: Grant, mut known: Arc<Known>) {
        let leases = &self.journal.leases;
        loop {
            let listening = async {
                let log = &*self.journal.log;
                let closing = bell::close_left(log, &**leases);
                let listening = bell::listen(log, &grant.name, &self.runs);
                let comparing = run::compare(&*self.clock, &self.runs);
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    ((), never, _) = join3(closing, listening, comparing) => match never {},
                }
            };
            let noted = noted(leases, &known);
            let held = noted.hold(grant.clone(), self.ttl, listening);
            if held.await.is_ok() {
                return;
            }
            (grant, known) = tokio::select! {
                () = self.stop.cancelled() => return,
                anew = self.acquire_anew(grant, known) => match anew {
                    Some(anew) => anew,
                    None => return,
                },
            };
            let _ = self.thread.send((grant.clone(), Arc::clone(&known)));
        }
    }

    /// Acquires the lease that ran out, and has the runs go on under the new grant. `None`: it is lost, and
    /// so are they.
    async fn acquire_anew(&self, grant: Grant, was: Arc<Known>) -> Option<(Grant, Arc<Known>)> {
        let mut held = self.held.lock().await;
        let holder = holder();
        // What was known of the grant before says nothing of this one: no run is kept under it yet.
        let known = Known::new(was.changed());
        let noted = noted(&self.journal.leases, &known);
        let acquiring = noted.acquire(&grant.name, &holder, self.ttl);
        match timeout(ANEW_WITHIN, acquiring).await {
            Ok(Ok(anew)) => {
                let now = Held {
                    owner: owner(&anew),
                    known: Arc::clone(&known),
                    lost: self.lost.clone(),
                };
                *held = Some(now.clone());
                drop(held);
                for run in self.runs.all() {
                    run.renew_owner(&now);
                }
                Some((anew, known))
            }
            // It was only not renewed, and is held under the grant that is known.
            Ok(Err(LeaseError::Held { held, .. })) if held.token == grant.token => {
                sleep(RENEW_AGAIN.min(held.expires_in)).await;
                Some((grant, was))
            }
            _ => {
                // Before anybody else begins a run under what is gone.
                self.is_lost();
                None
            }
        }
    }

    fn is_lost(&self) {
        for run in self.runs.all() {
            run.lease_lost();
        }
        self.lost.cancel();
    }
}

impl Drop for Tenure {
    /// Whether it is lost or given up: its runs are not this orchestrator's any more.
    fn drop(&mut self) {
        self.is_lost();
    }
}
