//! Forgetting streams, and giving back their space.

use coord_bus::{Durability, EventLogError};

use super::{Command, Work};
use crate::store::Outcome;
use crate::streams::{self, Entry};

/// The most pages that are given back in one transaction: 4 MiB.
const PAGES_MAX: u32 = 1_000;

pub(crate) struct Forget(pub(crate) String);

/// Forgets streams that a retention does not keep, as they were when they were found.
pub(crate) struct Remove(pub(crate) Vec<Entry>);

/// Gives some free pages back to the file system.
pub(crate) struct Shrink;

impl Command for Forget {
    type Answer = Result<bool, EventLogError>;

    fn durability(&self) -> Durability {
        Durability::Disk
    }

    fn run(&mut self, work: &mut Work<'_>) -> Outcome<Self::Answer> {
        work.settle()?;
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
                work.remove(&entry)?;
                Ok(Ok(true))
            }
        }
    }
}

impl Command for Remove {
    /// How many of them are gone.
    type Answer = u64;

    /// What comes back after a loss of power goes again.
    fn durability(&self) -> Durability {
        Durability::Process
    }

    fn run(&mut self, work: &mut Work<'_>) -> Outcome<u64> {
        work.settle()?;
        let mut gone = 0;
        for found in &self.0 {
            let entry = streams::find(work.connection, &found.name)?;
            // One that has gone on since, or begun anew, is for the next time.
            let is_same = |entry: &Entry| {
                (entry.number, entry.version, entry.is_closed)
                    == (found.number, found.version, true)
            };
            let Some(entry) = entry.filter(is_same) else {
                continue;
            };
            if streams::needed_by(work.connection, &entry)?.is_none() {
                work.remove(&entry)?;
                gone += 1;
            }
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
