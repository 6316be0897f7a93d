//! How far a journal has come: a number that grows with whatever is kept for good, and never falls. So a file that is
//! behind what was noted beside it has lost something, whoever has copied its write-ahead log or taken it away.
//!
//! It is made up of what is there anyway: the largest id of a record, which SQLite gives, and the newest token. Only
//! where streams are removed the largest id may fall, so there that is added up.

use rusqlite::Connection;

use crate::Damage;
use crate::check::is_damage;
use crate::leases::Counters;
use crate::store::{Fault, Outcome};

/// How far the journal is.
pub(crate) fn of(connection: &Connection) -> Outcome<u64> {
    let counters = Counters::read(connection)?;
    let records = newest_id(connection)?.saturating_add(counters.removed);
    Ok(records.saturating_add(counters.newest_token))
}

/// Removes something, with which the journal goes on.
pub(crate) fn removing(
    connection: &Connection,
    remove: impl FnOnce() -> Outcome<()>,
) -> Outcome<()> {
    let before = newest_id(connection)?;
    remove()?;
    let fallen = before.saturating_sub(newest_id(connection)?);
    let mut counters = Counters::read(connection)?;
    counters.removed = counters.removed.saturating_add(fallen + 1);
    counters.write(connection)
}

/// That the journal is no less far than it was when it was synced, if that is known. Where it cannot be said because of
/// other damage, that is for who meets it.
pub(crate) fn compare(connection: &Connection, synced: Option<u64>) -> Outcome<()> {
    let Some(synced) = synced else {
        return Ok(());
    };
    match of(connection) {
        Ok(there) if there < synced => Err(Damage::Behind { synced, there }.into()),
        Err(Fault::Sqlite(error)) if !is_damage(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

fn newest_id(connection: &Connection) -> Outcome<u64> {
    let mut statement = connection.prepare_cached("SELECT max(id) FROM records")?;
    let newest: Option<i64> = statement.query_row((), |row| row.get(0))?;
    Ok(newest.map_or(0, |id| id.max(0).unsigned_abs()))
}
