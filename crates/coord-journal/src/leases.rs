//! The entries of leases, and the tokens that were given.

use coord_bus::{EventLogError, Fence, Grant, Held, LeaseError};
use rusqlite::Connection;
use std::time::Duration;

use crate::chain::{self, Hash};
use crate::presence::{Handle, Presence};
use crate::store::Outcome;
use crate::{Damage, MAX_LEASES};

/// The entry of a lease: the newest grant, whether it still holds or not.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) name: String,
    pub(crate) holder: String,
    pub(crate) token: u64,
    /// When it ends. What was released has ended long ago.
    pub(crate) until: i64,
    /// The journal through which it was acquired, or renewed last. With that it ends, too.
    pub(crate) handle: Option<Handle>,
}

impl Tenure {
    /// How it is held now, if it is.
    pub(crate) fn held(self, now: i64, presence: &Presence) -> Option<Held> {
        let left = self.until.checked_sub(now).filter(|left| *left > 0)?;
        let is_open = |handle: &Handle| presence.is_open(handle);
        self.handle.as_ref().is_none_or(is_open).then(|| Held {
            by: self.holder,
            token: self.token,
            expires_in: Duration::from_micros(left.unsigned_abs()),
        })
    }
}

/// What the journal knows of all leases together, and of what is not there any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    /// The newest token that was given or seen, of any name: so what is forgotten does not come
    /// again.
    pub(crate) newest_token: u64,
    /// The newest token when entries were forgotten last. A lease without an entry may have had any
    /// token up to this one.
    pub(crate) forgotten_token: u64,
    /// The latest time that leases were counted by.
    pub(crate) latest: i64,
    /// What its [position](crate::position) is ahead by, as streams were removed.
    pub(crate) removed: u64,
}

impl Counters {
    pub(crate) fn read(connection: &Connection) -> Outcome<Self> {
        let sql = "SELECT newest_token, forgotten_token, latest, seal, removed
                   FROM counters WHERE id = 1";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(())?;
        let Some(row) = rows.next()? else {
            return Err(Damage::Counters.into());
        };
        let read = || -> rusqlite::Result<_> {
            let counters = Self {
                newest_token: row.get::<_, i64>(0)?.cast_unsigned(),
                forgotten_token: row.get::<_, i64>(1)?.cast_unsigned(),
                latest: row.get(2)?,
                removed: row.get::<_, i64>(4)?.cast_unsigned(),
            };
            Ok((counters, row.get::<_, Hash>(3)?))
        };
        match read() {
            Ok((counters, seal)) if counters.seal() == seal => Ok(counters),
            _ => Err(Damage::Counters.into()),
        }
    }

    pub(crate) fn write(&self, connection: &Connection) -> Outcome<()> {
        let sql = "UPDATE counters SET newest_token = ?1, forgotten_token = ?2, latest = ?3,
                   seal = ?4, removed = ?5 WHERE id = 1";
        connection.prepare_cached(sql)?.execute((
            self.newest_token.cast_signed(),
            self.forgotten_token.cast_signed(),
            self.latest,
            self.seal(),
            self.removed.cast_signed(),
        ))?;
        Ok(())
    }

    fn seal(&self) -> Hash {
        chain::counters(self)
    }
}

/// The entry of a lease, if it has one.
pub(crate) fn find(connection: &Connection, name: &str) -> Outcome<Option<Tenure>> {
    let sql = "SELECT name, holder, token, until, handle, seal FROM leases WHERE name = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([name])?;
    rows.next()?.map(read).transpose()
}

pub(crate) fn read(row: &rusqlite::Row) -> Outcome<Tenure> {
    let name: String = row.get(0).unwrap_or_default();
    let read = || -> rusqlite::Result<_> {
        let tenure = Tenure {
            name: name.clone(),
            holder: row.get(1)?,
            token: row.get::<_, i64>(2)?.cast_unsigned(),
            until: row.get(3)?,
            handle: row.get(4)?,
        };
        Ok((tenure, row.get::<_, Hash>(5)?))
    };
    match read() {
        Ok((tenure, seal)) if seal_of(&tenure) == seal => Ok(tenure),
        _ => Err(Damage::Lease { lease: name }.into()),
    }
}

fn seal_of(tenure: &Tenure) -> Hash {
    let handle = tenure.handle.as_ref();
    chain::lease(
        &tenure.name,
        &tenure.holder,
        tenure.token,
        tenure.until,
        handle,
    )
}

/// Puts an entry in the place of the one that the lease has, if it has one.
pub(crate) fn put(connection: &Connection, tenure: &Tenure) -> Outcome<()> {
    let sql = "INSERT OR REPLACE INTO leases (name, holder, token, until, handle, seal)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute((
        &tenure.name,
        &tenure.holder,
        tenure.token.cast_signed(),
        tenure.until,
        tenure.handle,
        seal_of(tenure),
    ))?;
    Ok(())
}

/// Makes room for one more entry: where there are as many as may be, those that nobody holds are
/// forgotten. Whether there is room then.
pub(crate) fn make_room(
    connection: &Connection,
    counters: &mut Counters,
    now: i64,
    presence: &Presence,
) -> Outcome<bool> {
    let is_full = || -> Outcome<bool> {
        let mut statement = connection.prepare_cached("SELECT count(*) FROM leases")?;
        let count: i64 = statement.query_row((), |row| row.get(0))?;
        Ok(count >= MAX_LEASES as i64)
    };
    if !is_full()? {
        return Ok(true);
    }
    let sql = "DELETE FROM leases WHERE until <= ?1";
    connection.prepare_cached(sql)?.execute([now])?;
    forget_closed(connection, presence)?;
    counters.forgotten_token = counters.newest_token;
    Ok(!is_full()?)
}

/// Forgets the leases of journals that are closed.
fn forget_closed(connection: &Connection, presence: &Presence) -> Outcome<()> {
    let sql = "SELECT DISTINCT handle FROM leases WHERE handle IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    // One that is none is damage, and stays to be found.
    let handles = statement.query_map((), |row| Ok(row.get::<_, Handle>(0).ok()))?;
    let handles: Vec<_> = handles.collect::<Result<_, _>>()?;
    let is_closed = |handle: &Handle| !presence.is_open(handle);
    for handle in handles.into_iter().flatten().filter(is_closed) {
        let sql = "DELETE FROM leases WHERE handle = ?1";
        connection.prepare_cached(sql)?.execute([handle])?;
    }
    Ok(())
}

/// Whether an append to a stream may be made by who holds this grant.
pub(crate) fn admit(
    connection: &Connection,
    stream: &str,
    grant: &Grant,
) -> Outcome<Result<Admitted, EventLogError>> {
    let tenure = find(connection, &grant.name)?;
    let counters = match tenure {
        None => Some(Counters::read(connection)?),
        Some(_) => None,
    };
    let mut fence = match (&tenure, &counters) {
        (Some(tenure), _) => Fence::at(tenure.token),
        // The first token that certainly was never forgotten.
        (None, Some(counters)) if counters.forgotten_token > 0 => {
            Fence::at(counters.forgotten_token + 1)
        }
        (None, _) => Fence::new(),
    };
    let is_known = tenure.is_some_and(|tenure| tenure.token == grant.token);
    let admitted = fence.admit(grant.token).map(|()| match is_known {
        true => Admitted::Known,
        false => Admitted::Newer,
    });
    Ok(admitted.map_err(|source| EventLogError::Fenced {
        stream: stream.to_owned(),
        lease: grant.name.clone(),
        source,
    }))
}

/// How an append was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// By the grant that the journal knows.
    Known,
    /// By one that another keeper of leases gave; the journal is to remember it.
    Newer,
}

/// Remembers a grant that another keeper of leases gave.
pub(crate) fn remember(
    connection: &Connection,
    grant: &Grant,
    now: i64,
    presence: &Presence,
) -> Outcome<Result<(), LeaseError>> {
    let mut counters = Counters::read(connection)?;
    let is_known = find(connection, &grant.name)?.is_some();
    if !is_known && !make_room(connection, &mut counters, now, presence)? {
        return Ok(Err(full(&grant.name)));
    }
    counters.newest_token = counters.newest_token.max(grant.token);
    counters.write(connection)?;
    let tenure = Tenure {
        name: grant.name.clone(),
        holder: grant.holder.clone(),
        token: grant.token,
        until: i64::MIN,
        handle: None,
    };
    put(connection, &tenure)?;
    Ok(Ok(()))
}

/// That as many leases are held as may be.
pub(crate) fn full(name: &str) -> LeaseError {
    LeaseError::Full {
        name: name.to_owned(),
        limit: MAX_LEASES,
    }
}
