//! Leases in the memory of this process, for tests and for what is alone in it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_core::future::BoxFuture;

use crate::lease::check_lease_name;
use crate::time::{self, Instant};
use crate::{Grant, Held, Lease, LeaseError};

/// A [`Lease`] in memory. Its tokens rise as long as it lives.
///
/// At most [`MAX_LEASES`](Self::MAX_LEASES) are held at a time; a name that nobody holds is
/// forgotten.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::time::Duration;
///
/// use coord_bus::{Lease, LeaseError, MemoryLeases};
///
/// let leases = MemoryLeases::new();
/// let ttl = Duration::from_secs(30);
/// let grant = leases.acquire("run-1", "worker 1", ttl).await?;
/// match leases.acquire("run-1", "worker 2", ttl).await {
///     Err(LeaseError::Held { held, .. }) => assert_eq!(held.by, "worker 1"),
///     other => panic!("{other:?}"),
/// }
/// leases.release(grant).await?;
/// # Ok::<(), LeaseError>(()) }).unwrap();
/// ```
#[derive(Debug, Default)]
pub struct MemoryLeases(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    held: HashMap<Box<str>, Tenure>,
    /// The last that was given, of any name: so what is forgotten does not come again.
    token: u64,
}

/// Over or not, as it was granted or renewed last.
#[derive(Debug)]
struct Tenure {
    holder: String,
    token: u64,
    until: Instant,
}

impl MemoryLeases {
    /// The most leases held at a time. A program that makes names from input meets an error there,
    /// and not the end of its memory.
    pub const MAX_LEASES: usize = 65_536;

    /// With every lease free.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done: no code but this runs under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grant(&self, name: &str, holder: &str, ttl: Duration) -> Result<Grant, LeaseError> {
        check_lease_name(name)?;
        let until = time::after(ttl);
        let mut state = self.lock();
        let now = Instant::now();
        if let Some(held) = state.current(name, now) {
            return Err(LeaseError::Held {
                name: name.to_owned(),
                held,
            });
        }
        if state.held.len() >= Self::MAX_LEASES {
            state.held.retain(|_, tenure| tenure.until > now);
        }
        if state.held.len() >= Self::MAX_LEASES {
            return Err(LeaseError::Full {
                name: name.to_owned(),
                limit: Self::MAX_LEASES,
            });
        }
        state.token += 1;
        let token = state.token;
        let tenure = Tenure {
            holder: holder.to_owned(),
            token,
            until,
        };
        state.held.insert(name.into(), tenure);
        Ok(Grant {
            name: name.to_owned(),
            holder: holder.to_owned(),
            token,
        })
    }
}

impl State {
    fn current(&self, name: &str, now: Instant) -> Option<Held> {
        let tenure = self.held.get(name)?;
        let expires_in = tenure.until.saturating_duration_since(now);
        (!expires_in.is_zero()).then(|| Held {
            by: tenure.holder.clone(),
            token: tenure.token,
            expires_in,
        })
    }

    /// What a grant holds, if it does.
    fn held_by(&mut self, grant: &Grant) -> Result<&mut Tenure, LeaseError> {
        let now = Instant::now();
        let tenure = self.held.get_mut(&*grant.name);
        tenure
            .filter(|tenure| tenure.token == grant.token && tenure.until > now)
            .ok_or_else(|| LeaseError::stale(grant))
    }
}

impl Lease for MemoryLeases {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Grant, LeaseError>> {
        Box::pin(async move { self.grant(name, holder, ttl) })
    }

    fn renew<'a>(
        &'a self,
        grant: &'a Grant,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async move {
            self.lock().held_by(grant)?.until = time::after(ttl);
            Ok(())
        })
    }

    fn release(&self, grant: Grant) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(async move {
            let mut state = self.lock();
            state.held_by(&grant)?;
            state.held.remove(&*grant.name);
            Ok(())
        })
    }

    fn current<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Held>, LeaseError>> {
        Box::pin(async move {
            check_lease_name(name)?;
            Ok(self.lock().current(name, Instant::now()))
        })
    }
}
