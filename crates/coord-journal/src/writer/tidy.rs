//! Forgetting streams, and giving back their space.

use coord_bus::{Durability, EventLogError};

use super::{Command, Work};
use crate::Retention;
use crate::moment;
use crate::store::Outcome;
use crate::streams;

/// The most records that go in one transaction, so that appends do not wait for long. A stream goes
/// as a whole, so it may be more.
const RECORDS_MAX: u64 = 2_000;

/// The most pages that are given back in one transaction: 4 MiB.
const PAGES_MAX: u32 = 1_000;

pub(crate) struct Forget(pub(crate) String);

/// Forgets some of what a retention does not keep.
pub(crate) struct Retain(pub(crate) Retention);

/// Gives some free pages back to the file system.
pub(crate) struct Shrink;

impl Command for Forget {
    type Answer = Result<bool, EventLogError>;

    fn durability(&self) -> Durability {
        Durability::Disk
    }

    fn run(&mut self, work: &mut Work<'_>) -> Outcome<Self::Answer> {
        match streams::find(work.connection, &self.0)? {
            None => Ok(Ok(false)),
            Some(entry) if !entry.is_closed => Ok(Err(EventLogError::StillOpen {
                stream: self.0.clone(),
            })),
            Some(entry) => {
                if let Some(by) = streams::needed_by(work.connection, &entry)? {
                    let stream = entry.name;
                    return Ok(Err(EventLogError::StillNeeded { stream, by }));
                }
                streams::remove(work.connection, &entry)?;
                work.heads.clear();
                Ok(Ok(true))
            }
        }
    }
}

impl Command for Retain {
    /// How many streams are gone; none, when all that is left is to be kept.
    type Answer = u64;

    /// What comes back after a loss of power goes again.
    fn durability(&self) -> Durability {
        Durability::Process
    }

    fn run(&mut self, work: &mut Work<'_>) -> Outcome<u64> {
        let Retention {
            prefix,
            keep_for,
            keep_newest,
        } = &self.0;
        // Closed before this, it is old.
        let old = keep_for.map(|keep_for| {
            let kept_since = work.now.saturating_sub(keep_for).ok();
            kept_since.map_or(i64::MIN, moment::to_micros)
        });
        let closed = match keep_newest {
            Some(_) => streams::count_closed(work.connection, prefix)?,
            None => 0,
        };
        let (mut gone, mut needed, mut records) = (0, 0, 0);
        let mut after = (i64::MIN, i64::MIN);
        while records < RECORDS_MAX {
            let is_beyond = keep_newest.is_some_and(|newest| closed - gone - needed > newest);
            if !is_beyond && old.is_none() {
                break;
            }
            let oldest = streams::oldest_closed(work.connection, prefix, after)?;
            let Some(entry) = oldest else {
                break;
            };
            after = (entry.at, entry.number);
            let is_old = old.is_some_and(|old| entry.at < old);
            if !is_beyond && !is_old {
                break;
            }
            if streams::needed_by(work.connection, &entry)?.is_some() {
                needed += 1;
                continue;
            }
            work.heads.clear();
            streams::remove(work.connection, &entry)?;
            gone += 1;
            records += entry.version;
        }
        Ok(gone)
    }
}

impl Command for Shrink {
    /// How many free pages are left.
    type Answer = u64;

    fn durability(&self) -> Durability {
        Durability::Process
    }

    fn run(&mut self, work: &mut Work<'_>) -> Outcome<u64> {
        let sql = format!("PRAGMA incremental_vacuum({PAGES_MAX})");
        let mut statement = work.connection.prepare(&sql)?;
        let mut rows = statement.query(())?;
        while rows.next()?.is_some() {}
        let left = work
            .connection
            .pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0))?;
        Ok(left.cast_unsigned())
    }
}
