//! The entries of streams: where each ends, and whether it is closed.

use coord_bus::{StreamInfo, StreamOrder, StreamQuery};
use rusqlite::{Connection, Row, Statement};

use crate::chain::{self, Hash};
use crate::store::Outcome;
use crate::{Damage, moment};

/// The entry of a stream that has begun.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) number: i64,
    pub(crate) name: String,
    /// The number of its last record.
    pub(crate) version: u64,
    /// When that was appended.
    pub(crate) at: i64,
    /// The checksum of the last record.
    pub(crate) head: Hash,
    pub(crate) is_closed: bool,
    /// The name of the stream that needs it, if one does.
    pub(crate) needed_by: Option<String>,
}

/// When a stream was closed, and its number.
pub(crate) type Closing = (i64, i64);

const COLUMNS: &str = "number, name, version, at, head, is_closed, seal, needed_by";

pub(crate) const FIND: &str = "SELECT number, name, version, at, head, is_closed, seal, needed_by
    FROM streams WHERE name = ?1";
pub(crate) const NEWEST: &str = "SELECT max(number) FROM streams";
/// Those whose names begin so and that were closed between two, the first one first. What is behind the prefix
/// is in no name.
pub(crate) const CLOSED_BETWEEN: &str =
    "SELECT number, name, version, at, head, is_closed, seal, needed_by
    FROM streams INDEXED BY closed_streams
    WHERE is_closed = 1 AND (at, number) > (?2, ?3) AND (at, number) < (?4, ?5)
        AND name >= ?1 AND name < ?1 || char(0x10ffff)
    ORDER BY at, number";
/// The one that was closed last but for so many, of those that need not be there for another. By their names, which the `+` says, here and below: where there
/// are few of them, all that are closed may be many.
pub(crate) const CLOSED_BEFORE: &str =
    "SELECT number, name, version, at, head, is_closed, seal, needed_by
    FROM streams WHERE number = (SELECT number FROM streams
        WHERE +is_closed = 1 AND needed_by IS NULL
            AND name >= ?1 AND name < ?1 || char(0x10ffff)
        ORDER BY at DESC, number DESC LIMIT 1 OFFSET ?2)";
/// The one that was closed first.
pub(crate) const CLOSED_FIRST: &str =
    "SELECT number, name, version, at, head, is_closed, seal, needed_by
    FROM streams WHERE number = (SELECT number FROM streams
        WHERE +is_closed = 1 AND name >= ?1 AND name < ?1 || char(0x10ffff)
        ORDER BY at, number LIMIT 1)";
/// How many streams there can be, as each has a number of its own.
pub(crate) const NUMBERS: &str = "SELECT
    (SELECT max(number) FROM streams) - (SELECT min(number) FROM streams) + 1";

impl Entry {
    /// Reads an entry, and compares it with its seal.
    fn read(row: &Row) -> Outcome<Self> {
        let name: String = row.get(1).unwrap_or_default();
        let read = || -> rusqlite::Result<_> {
            let entry = Self {
                number: row.get(0)?,
                name: name.clone(),
                version: row.get::<_, i64>(2)?.cast_unsigned(),
                at: row.get(3)?,
                head: row.get(4)?,
                is_closed: row.get(5)?,
                needed_by: row.get(7)?,
            };
            Ok((entry, row.get::<_, Hash>(6)?))
        };
        match read() {
            Ok((entry, seal)) if chain::stream(&entry) == seal => Ok(entry),
            _ => Err(Damage::Entry { stream: name }.into()),
        }
    }

    fn info(self) -> Outcome<StreamInfo> {
        let Some(at) = moment::from_micros(self.at) else {
            return Err(Damage::Entry { stream: self.name }.into());
        };
        Ok(StreamInfo {
            name: self.name,
            number: self.number.cast_unsigned(),
            version: self.version,
            at,
            is_closed: self.is_closed,
            needed_by: self.needed_by,
        })
    }
}

/// The entry of a stream, if it has begun.
pub(crate) fn find(connection: &Connection, name: &str) -> Outcome<Option<Entry>> {
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query([name])?;
    let entry = rows.next()?.map(Entry::read).transpose()?;
    match entry {
        // The index leads to the entry of another stream.
        Some(entry) if entry.name != name => Err(Damage::Entry {
            stream: name.to_owned(),
        }
        .into()),
        entry => Ok(entry),
    }
}

/// The number for the next stream: larger than that of each that is there.
pub(crate) fn next_number(connection: &Connection) -> Outcome<i64> {
    let mut statement = connection.prepare_cached(NEWEST)?;
    let newest: Option<i64> = statement.query_row((), |row| row.get(0))?;
    Ok(newest.unwrap_or(0) + 1)
}

/// Adds the entry of a stream that begins.
pub(crate) fn insert(connection: &Connection, entry: &Entry) -> Outcome<()> {
    let sql = "INSERT INTO streams (number, name, version, at, head, is_closed, seal, needed_by)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    connection.prepare_cached(sql)?.execute((
        entry.number,
        &entry.name,
        entry.version.cast_signed(),
        entry.at,
        entry.head,
        entry.is_closed,
        chain::stream(entry),
        &entry.needed_by,
    ))?;
    Ok(())
}

/// Moves the entry of a stream on to its last record. What says whether it is closed stays as it is: to
/// name it would write the entries of two indexes anew, and so two more pages.
pub(crate) const ADVANCE: &str =
    "UPDATE streams SET version = ?2, at = ?3, head = ?4, seal = ?5 WHERE number = ?1";

/// What the statement [`ADVANCE`] does.
pub(crate) fn advance(statement: &mut Statement<'_>, entry: &Entry) -> Outcome<()> {
    statement.execute((
        entry.number,
        entry.version.cast_signed(),
        entry.at,
        entry.head,
        chain::stream(entry),
    ))?;
    Ok(())
}

/// The same, for a stream that is closed now, or open again.
pub(crate) fn advance_and_turn(connection: &Connection, entry: &Entry) -> Outcome<()> {
    let sql = "UPDATE streams SET version = ?2, at = ?3, head = ?4, is_closed = ?5, seal = ?6
               WHERE number = ?1";
    connection.prepare_cached(sql)?.execute((
        entry.number,
        entry.version.cast_signed(),
        entry.at,
        entry.head,
        entry.is_closed,
        chain::stream(entry),
    ))?;
    Ok(())
}

/// Removes a stream: its entry and its records.
pub(crate) fn remove(connection: &Connection, entry: &Entry) -> Outcome<()> {
    let sql = "DELETE FROM records WHERE stream = ?1";
    connection.prepare_cached(sql)?.execute([entry.number])?;
    let sql = "DELETE FROM streams WHERE number = ?1";
    match connection.prepare_cached(sql)?.execute([entry.number])? {
        1 => Ok(()),
        // The index leads to an entry that the table does not have.
        _ => Err(Damage::Entry {
            stream: entry.name.clone(),
        }
        .into()),
    }
}

/// The streams that a query asks for.
pub(crate) fn list(connection: &Connection, query: &StreamQuery) -> Outcome<Vec<StreamInfo>> {
    let mut statement = connection.prepare_cached(&list_sql(query))?;
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut rows = match &query.order {
        StreamOrder::Name { after: None } => statement.query(("", limit))?,
        StreamOrder::Name { after: Some(after) } => statement.query((after, limit))?,
        StreamOrder::NewestFirst { before } => {
            let before =
                before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
            statement.query((before, limit))?
        }
    };
    let mut infos = Vec::new();
    while let Some(row) = rows.next()? {
        infos.push(Entry::read(row)?.info()?);
    }
    Ok(infos)
}

/// One statement for each order and each choice. Each names its index, so one that would have to
/// look at streams that nobody asked for does not compile.
pub(crate) fn list_sql(query: &StreamQuery) -> String {
    let (index, condition, order) = match (&query.order, query.only_open) {
        (StreamOrder::Name { .. }, false) => ("", "name > ?1", "name"),
        (StreamOrder::Name { .. }, true) => (
            "INDEXED BY open_streams",
            "name > ?1 AND is_closed = 0",
            "name",
        ),
        (StreamOrder::NewestFirst { .. }, false) => ("", "number < ?1", "number DESC"),
        (StreamOrder::NewestFirst { .. }, true) => (
            "INDEXED BY open_streams_by_number",
            "number < ?1 AND is_closed = 0",
            "number DESC",
        ),
    };
    format!("SELECT {COLUMNS} FROM streams {index} WHERE {condition} ORDER BY {order} LIMIT ?2")
}

/// The names of some streams, in their order, beginning after one.
pub(crate) fn names(connection: &Connection, after: &str, limit: usize) -> Outcome<Vec<String>> {
    let sql = "SELECT name FROM streams WHERE name > ?1 ORDER BY name LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((after, limit as i64), |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Some streams, in the order of their numbers, beginning after a number.
pub(crate) fn page(
    connection: &Connection,
    after: i64,
    limit: usize,
) -> Outcome<Vec<(i64, Outcome<Entry>)>> {
    let sql = "SELECT number, name, version, at, head, is_closed, seal, needed_by FROM streams
               WHERE number > ?1 ORDER BY number LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((after, limit as i64))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push((row.get(0)?, Entry::read(row)));
    }
    Ok(entries)
}

/// Those whose names begin so and that were closed between two moments, the first one first, each with the number
/// that tells those of one moment apart: as long as `take` wants more.
pub(crate) fn closed_between(
    connection: &Connection,
    prefix: &str,
    (after, until): (Closing, Closing),
    mut take: impl FnMut(Entry) -> Outcome<bool>,
) -> Outcome<bool> {
    let mut statement = connection.prepare_cached(CLOSED_BETWEEN)?;
    let mut rows = statement.query((prefix, after.0, after.1, until.0, until.1))?;
    while let Some(row) = rows.next()? {
        if !take(Entry::read(row)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The stream that needs this one, if it is there: not one that has begun since in its place.
pub(crate) fn needer(connection: &Connection, entry: &Entry) -> Outcome<Option<Entry>> {
    let by = entry.needed_by.as_deref();
    let by = by.map(|by| find(connection, by)).transpose()?.flatten();
    Ok(by.filter(|by| by.number < entry.number))
}

/// The name of the open stream that needs this one, if there is one.
pub(crate) fn needed_by(connection: &Connection, entry: &Entry) -> Outcome<Option<String>> {
    let by = needer(connection, entry)?;
    Ok(by.filter(|by| !by.is_closed).map(|by| by.name))
}

/// Of those whose names begin so, and that need not be there for another, the one that was closed last but for so
/// many. Goes along all of them, unless there cannot be that many.
pub(crate) fn closed_before(
    connection: &Connection,
    prefix: &str,
    newest: u64,
) -> Outcome<Option<Entry>> {
    let newest = i64::try_from(newest).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(NUMBERS)?;
    let all: Option<i64> = statement.query_row((), |row| row.get(0))?;
    if all.unwrap_or(0) <= newest {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(CLOSED_BEFORE)?;
    let mut rows = statement.query((prefix, newest))?;
    rows.next()?.map(Entry::read).transpose()
}

/// Of those whose names begin so, the one that was closed first. Goes along all of them.
pub(crate) fn closed_first(connection: &Connection, prefix: &str) -> Outcome<Option<Entry>> {
    let mut statement = connection.prepare_cached(CLOSED_FIRST)?;
    let mut rows = statement.query([prefix])?;
    rows.next()?.map(Entry::read).transpose()
}
