//! Acquiring, renewing and releasing a lease.

use std::time::Duration;

use coord_bus::{Durability, Grant, LeaseError};

use super::{Command, Work};
use crate::leases::{self, Counters, Tenure};
use crate::presence::Handle;
use crate::store::Outcome;

/// Ended before any clock began.
const OVER: i64 = i64::MIN;

pub(crate) struct Acquire {
    pub(crate) name: String,
    pub(crate) holder: String,
    pub(crate) ttl: Duration,
}

pub(crate) struct Renew {
    pub(crate) grant: Grant,
    pub(crate) ttl: Duration,
}

pub(crate) struct Release {
    pub(crate) grant: Grant,
}

impl Work<'_> {
    /// The time by which leases are counted: no earlier than any that was seen before, by whichever
    /// process.
    pub(super) fn lease_now(&self) -> Outcome<i64> {
        let latest = Counters::read(self.connection)?.latest;
        Ok(self.lease_clock.now_after(latest))
    }
}

impl Command for Acquire {
    type Answer = Result<Grant, LeaseError>;

    /// A token must not come again, so a loss of power may not take it away.
    fn durability(&self) -> Durability {
        Durability::Disk
    }

    fn run(&mut self, work: &mut Work<'_>) -> Outcome<Self::Answer> {
        let now = work.lease_now()?;
        let mut counters = Counters::read(work.connection)?;
        match leases::find(work.connection, &self.name)? {
            Some(tenure) => {
                if let Some(held) = tenure.held(now, work.presence) {
                    let name = self.name.clone();
                    return Ok(Err(LeaseError::Held { name, held }));
                }
            }
            None => {
                if !leases::make_room(work.connection, &mut counters, now, work.presence)? {
                    return Ok(Err(leases::full(&self.name)));
                }
            }
        }
        let handle = match work.presence.announce() {
            Ok(handle) => handle,
            Err(error) => return Ok(Err(error.into())),
        };
        counters.newest_token = counters.newest_token.saturating_add(1);
        counters.latest = now;
        counters.write(work.connection)?;
        let grant = Grant {
            name: self.name.clone(),
            holder: self.holder.clone(),
            token: counters.newest_token,
        };
        put(work, &grant, after(now, self.ttl), Some(handle))?;
        Ok(Ok(grant))
    }
}

impl Command for Renew {
    type Answer = Result<(), LeaseError>;

    /// Whoever held a lease at a loss of power holds nothing after it.
    fn durability(&self) -> Durability {
        Durability::Process
    }

    fn run(&mut self, work: &mut Work<'_>) -> Outcome<Self::Answer> {
        change(work, &self.grant, Some(self.ttl))
    }
}

impl Command for Release {
    type Answer = Result<(), LeaseError>;

    fn durability(&self) -> Durability {
        Durability::Process
    }

    fn run(&mut self, work: &mut Work<'_>) -> Outcome<Self::Answer> {
        change(work, &self.grant, None)
    }
}

/// Gives a grant that holds its lease another time, or none any more.
fn change(
    work: &Work<'_>,
    grant: &Grant,
    ttl: Option<Duration>,
) -> Outcome<Result<(), LeaseError>> {
    let now = work.lease_now()?;
    let tenure = leases::find(work.connection, &grant.name)?;
    let held = tenure.and_then(|tenure| tenure.held(now, work.presence));
    if held.is_none_or(|held| held.token != grant.token) {
        return Ok(Err(LeaseError::stale(grant)));
    }
    let (until, handle) = match ttl {
        None => (OVER, None),
        Some(ttl) => match work.presence.announce() {
            Ok(handle) => (after(now, ttl), Some(handle)),
            Err(error) => return Ok(Err(error.into())),
        },
    };
    let mut counters = Counters::read(work.connection)?;
    counters.latest = now;
    counters.write(work.connection)?;
    put(work, grant, until, handle)?;
    Ok(Ok(()))
}

fn put(work: &Work<'_>, grant: &Grant, until: i64, handle: Option<Handle>) -> Outcome<()> {
    let tenure = Tenure {
        name: grant.name.clone(),
        holder: grant.holder.clone(),
        token: grant.token,
        until,
        handle,
    };
    leases::put(work.connection, &tenure)
}

fn after(now: i64, ttl: Duration) -> i64 {
    let micros = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
    now.saturating_add(micros)
}
