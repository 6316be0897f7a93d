//! The lease: who may do something alone, and for how long.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio::task::unconstrained;

use crate::event_log::name_fault;
use crate::time::{self, Instant};

/// The right to do something alone, by name, for a time.
///
/// A lease that is not renewed runs out by itself, so a holder that has gone blocks nobody for
/// longer than its time. A lease is not a lock: a holder that was suspended may go on in the belief
/// that it holds what somebody else has by now. What must not be touched by two keeps a
/// [`Fence`](crate::Fence), and is shown the token of the grant with each change.
///
/// Times are durations, counted by the lease's own keeper from when it does what it is asked for:
/// so they mean the same in each process. To the holder, less is left than it was granted by the
/// time that the answer took.
///
/// Object-safe: take `&dyn Lease` or `Arc<dyn Lease>`. Most users need only
/// [`LeaseExt::hold`]. Who writes one runs `conformance_lease!` (feature `test-util`) over it.
///
/// # Tokens
///
/// Each grant of a name has a token, larger than that of every grant of that name before it, also
/// after a release, or after the lease ran out. Whether the tokens of two names compare is not
/// said.
///
/// # Who holds it
///
/// The newest grant, until its time is over or it is released; at the end of its time it is over,
/// also where nobody else has acquired the lease yet. From then on the grant is refused with
/// [`LeaseError::Stale`]. Holders are told apart by their tokens alone: a holder that comes again
/// under its own name, such as a process that was restarted, waits like anybody else.
///
/// # Cancel safety
///
/// A call, dropped before it is done, has happened or it has not. What an acquire may have got is
/// free again at the end of its time.
pub trait Lease: Send + Sync {
    /// Acquires a lease that nobody holds, for a time from now on. Does not wait: see
    /// [`LeaseExt::acquire_when_free`].
    ///
    /// `holder` is for people: who it is, in the words of errors and of [`current`](Self::current).
    ///
    /// # Errors
    ///
    /// [`LeaseError::Held`], with who holds it and for how long; or any other but `Stale`.
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Grant, LeaseError>>;

    /// Holds the lease for a time from now on, be it longer or shorter than it was.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Stale`] or `Failed`.
    fn renew<'a>(
        &'a self,
        grant: &'a Grant,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), LeaseError>>;

    /// Gives the lease up before its time is over.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Stale`] or `Failed`.
    fn release(&self, grant: Grant) -> BoxFuture<'_, Result<(), LeaseError>>;

    /// Who holds a lease now, if anybody does. It may be over as soon as this is read: to be shown,
    /// not to be relied on.
    ///
    /// # Errors
    ///
    /// `InvalidLeaseName` or `Failed`.
    fn current<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Held>, LeaseError>>;
}

/// A lease was granted.
///
/// Dropping it does nothing: the lease runs out at the end of its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The name of the lease.
    pub name: String,
    /// Who acquired it, in its own words.
    pub holder: String,
    /// The fencing token: larger than that of each earlier grant of the name.
    pub token: u64,
}

/// How a lease is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// By whom, in its own words.
    pub by: String,
    /// The token of the grant.
    pub token: u64,
    /// When it runs out, from now on, if it is not renewed; more than nothing.
    pub expires_in: Duration,
}

/// A lease was not granted, or is lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// Somebody holds it.
    #[error(
        "lease `{name}` is held by {} for another {:?}, if it is not renewed: try again then",
        held.by,
        held.expires_in
    )]
    Held {
        /// The name of the lease.
        name: String,
        /// By whom, and for how long.
        held: Held,
    },
    /// The grant does not hold the lease any more.
    #[error(
        "lease `{name}` is not held by {holder} with token {token} any more: it ran out or was \
         released; stop what it stood for, and acquire it anew"
    )]
    Stale {
        /// The name of the lease.
        name: String,
        /// Who acquired it.
        holder: String,
        /// The token of the grant.
        token: u64,
    },
    /// The name is not one that a lease can have.
    #[error(
        "`{name}` cannot be a lease's name: {fault} (names are letters, digits, `-`, `_` and `.`, \
         such as `run-2024.1`)"
    )]
    InvalidLeaseName {
        /// The name.
        name: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// As many leases are held as may be.
    #[error(
        "lease `{name}` cannot be granted: {limit} leases are held, the limit; use fewer names, or \
         release some"
    )]
    Full {
        /// The name of the lease.
        name: String,
        /// How many may be held.
        limit: usize,
    },
    /// What keeps the leases failed.
    #[error("the keeper of leases failed")]
    Failed {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LeaseError {
    /// That this grant is stale: for who writes a keeper of leases.
    pub fn stale(grant: &Grant) -> Self {
        Self::Stale {
            name: grant.name.clone(),
            holder: grant.holder.clone(),
            token: grant.token,
        }
    }
}

/// Checks a lease's name, as every keeper of leases does before anything else. The rule is that of
/// [`check_stream_name`](crate::check_stream_name).
///
/// # Errors
///
/// [`LeaseError::InvalidLeaseName`].
pub fn check_lease_name(name: &str) -> Result<(), LeaseError> {
    name_fault(name).map_or(Ok(()), |fault| {
        Err(LeaseError::InvalidLeaseName {
            name: name.to_owned(),
            fault,
        })
    })
}

/// What most users of a [`Lease`] need: to get it, and to keep it while they work.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
///
/// use coord_bus::{Fence, Lease, LeaseExt, MemoryLeases};
///
/// const TTL: Duration = Duration::from_secs(30);
///
/// let leases = MemoryLeases::new();
/// let mut fence = Fence::new(); // kept by what is to be changed by one at a time
///
/// let grant = leases.acquire_when_free("compaction", "worker 1", TTL).await?;
/// let token = grant.token;
/// let compacted = leases.hold(grant, TTL, async {
///     // … as long as it takes.
///     fence.admit(token)
/// });
/// compacted.await??;
/// assert_eq!(leases.current("compaction").await?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub trait LeaseExt: Lease {
    /// Acquires a lease, and waits until that is possible. Asks again when the lease would run out,
    /// and meanwhile in each third of `ttl`, at least each millisecond. Of several who wait, anyone
    /// gets it.
    ///
    /// # Errors
    ///
    /// Any but `Held` and `Stale`.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have got the lease just then; it is free again after `ttl`.
    fn acquire_when_free(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
    ) -> impl Future<Output = Result<Grant, LeaseError>> + Send {
        async move {
            loop {
                let held = match self.acquire(name, holder, ttl).await {
                    Err(LeaseError::Held { held, .. }) => held,
                    done => return done,
                };
                let pause = held.expires_in.min(ttl / 3);
                time::sleep(pause.max(Duration::from_millis(1))).await;
            }
        }
    }

    /// Begins to release a lease, for who must not wait: in a `Drop`. With [`MemoryLeases`](crate::MemoryLeases) and
    /// in a journal that is enough; a lease whose keeper has to be waited for runs out at the end of its time.
    fn begin_release(&self, grant: Grant) {
        let release = pin!(unconstrained(self.release(grant)));
        let _ = release.poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Runs a future while the lease is held, and then releases the lease. The lease is renewed
    /// before the future is polled first, and then at each third of `ttl`.
    ///
    /// When the lease is lost, or could not be renewed for as long as `ttl`, the future is dropped
    /// where it awaits. It is polled by the same task that renews: work that holds its thread for
    /// longer than `ttl` loses the lease without noticing, so show the token to a
    /// [`Fence`](crate::Fence).
    ///
    /// # Errors
    ///
    /// [`LeaseError::Stale`] when the lease is lost. When it could not be renewed in time, why, as
    /// far as that is known. What the release says is not told: the work is done by then.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it drops the future, and [begins to release](Self::begin_release) the lease.
    fn hold<F: Future + Send>(
        &self,
        grant: Grant,
        ttl: Duration,
        work: F,
    ) -> impl Future<Output = Result<F::Output, LeaseError>> + Send
    where
        F::Output: Send,
    {
        async move {
            let mut held = Holding {
                lease: self,
                grant: Some(grant.clone()),
            };
            let until = time::after(ttl);
            let renewed = self.renew(&grant, ttl).await;
            // What the work had is dropped with it before the lease is released.
            let output = match renewed {
                Err(lost) => Err(lost),
                Ok(()) => {
                    let mut work = pin!(work);
                    tokio::select! {
                        biased;
                        lost = keep(self, &grant, ttl, until) => Err(lost),
                        output = &mut work => Ok(output),
                    }
                }
            };
            held.grant = None;
            if output.is_ok() {
                // Without an answer it runs out by itself.
                let _ = time::timeout(ttl, self.release(grant)).await;
            }
            output
        }
    }
}

impl<L: Lease + ?Sized> LeaseExt for L {}

/// What is held; dropped, it is given back, as far as that can be done without waiting.
struct Holding<'l, L: Lease + ?Sized> {
    lease: &'l L,
    /// `None` once it is lost, or released otherwise.
    grant: Option<Grant>,
}

impl<L: Lease + ?Sized> Drop for Holding<'_, L> {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.lease.begin_release(grant);
        }
    }
}

/// Renews a lease that is held until then, for ever. Ends when it is lost.
async fn keep(
    lease: &(impl Lease + ?Sized),
    grant: &Grant,
    ttl: Duration,
    mut until: Instant,
) -> LeaseError {
    let mut failure = None;
    while Instant::now() < until {
        time::sleep_until(time::after(ttl / 3).min(until)).await;
        // What is granted is counted from now on at the earliest.
        let renewed_until = time::after(ttl);
        match time::timeout_at(until, lease.renew(grant, ttl)).await {
            Ok(Ok(())) => {
                until = renewed_until;
                failure = None;
            }
            Ok(Err(stale @ LeaseError::Stale { .. })) => return stale,
            Ok(Err(error)) => failure = Some(error),
            Err(_) => break,
        }
    }
    failure.unwrap_or_else(|| LeaseError::stale(grant))
}
