//! The tables of a journal, their versions, and the way from each version to the next.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::leases::Counters;
use crate::store::{Fault, Outcome, Store};
use crate::streams::{self, Entry};
use crate::{Damage, JournalError, chain, position};

/// The version that this program writes.
pub(crate) const VERSION: u32 = 4;

/// Marks a file of SQLite as a journal: "cjrn".
const APPLICATION_ID: i32 = 0x636a_726e;

/// Every table and index, by its name. A file has exactly these, word for word.
///
/// Records are in the order in which they were appended, whatever their streams, so appends to many
/// streams fill the same pages. Streams and open ones have an index for each order in which they are
/// listed, closed ones for how long they have been that. Times are microseconds since 1970.
const TABLES: [(&str, &str); 8] = [
    (
        "closed_streams",
        "CREATE INDEX closed_streams ON streams (at) WHERE is_closed = 1",
    ),
    (
        "counters",
        "CREATE TABLE counters (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            newest_token INTEGER NOT NULL,
            forgotten_token INTEGER NOT NULL,
            latest INTEGER NOT NULL,
            seal BLOB NOT NULL
        , removed INTEGER NOT NULL DEFAULT 0) STRICT",
    ),
    (
        "leases",
        "CREATE TABLE leases (
            name TEXT PRIMARY KEY,
            holder TEXT NOT NULL,
            token INTEGER NOT NULL,
            until INTEGER NOT NULL,
            handle BLOB,
            seal BLOB NOT NULL
        ) STRICT, WITHOUT ROWID",
    ),
    (
        "open_streams",
        "CREATE INDEX open_streams ON streams (name) WHERE is_closed = 0",
    ),
    (
        "open_streams_by_number",
        "CREATE INDEX open_streams_by_number ON streams (number) WHERE is_closed = 0",
    ),
    (
        "records",
        "CREATE TABLE records (
            id INTEGER PRIMARY KEY,
            stream INTEGER NOT NULL,
            version INTEGER NOT NULL,
            at INTEGER NOT NULL,
            kind TEXT NOT NULL,
            payload BLOB NOT NULL,
            hash BLOB NOT NULL
        ) STRICT",
    ),
    (
        "records_by_stream",
        "CREATE UNIQUE INDEX records_by_stream ON records (stream, version)",
    ),
    (
        "streams",
        "CREATE TABLE streams (
            number INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            version INTEGER NOT NULL,
            at INTEGER NOT NULL,
            head BLOB NOT NULL,
            is_closed INTEGER NOT NULL,
            seal BLOB NOT NULL
        , needed_by TEXT) STRICT",
    ),
];

/// From each version to this one: the first leads from version 0.
const MIGRATIONS: [fn(&Transaction) -> Outcome<()>; VERSION as usize] =
    [from_0, from_1, from_2, from_3];

/// Makes the tables of an empty file, or brings those of an earlier version up to this one. Only one
/// process at a time may do this. Nothing is written if the file is behind what was synced.
pub(crate) fn prepare(
    store: &Store,
    connection: &mut Connection,
    synced: Option<u64>,
) -> Result<(), JournalError> {
    let error = |fault| store.error(fault);
    let is_new = is_empty(connection).map_err(error)?;
    let version = version(store, connection, is_new)?;
    if is_new {
        create(connection, synced).map_err(error)?;
    } else {
        ensure_wal(connection).map_err(error)?;
        migrate(connection, version, synced).map_err(error)?;
    }
    verify(connection).map_err(error)?;
    position::compare(connection, synced).map_err(error)
}

/// That the tables of a file are of this version, where nothing may be written.
pub(crate) fn look(store: &Store, connection: &Connection) -> Result<(), JournalError> {
    match version(store, connection, false)? {
        VERSION => verify(connection).map_err(|fault| store.error(fault)),
        _ => Err(JournalError::ReadOnly {
            file: store.file.clone(),
            source: Arc::new(io::Error::other("its tables are of an earlier version")),
        }),
    }
}

/// The version of the tables, which is known here.
fn version(store: &Store, connection: &Connection, is_new: bool) -> Result<u32, JournalError> {
    let error = |fault| store.error(fault);
    let id: i32 = pragma(connection, "application_id").map_err(error)?;
    if !is_new && id != APPLICATION_ID {
        return Err(JournalError::NotAJournal {
            dir: store.dir().to_owned(),
            entry: store.file.file_name().unwrap_or_default().into(),
        });
    }
    let version: u32 = pragma(connection, "user_version").map_err(error)?;
    if version > VERSION {
        return Err(newer(store.file.clone(), version));
    }
    Ok(version)
}

pub(crate) fn newer(file: PathBuf, version: u32) -> JournalError {
    JournalError::Newer {
        file,
        version,
        known: VERSION,
    }
}

/// That nobody has brought the tables up to a version which is not known here, while they were open.
pub(crate) fn ensure_known(connection: &Connection) -> Outcome<()> {
    match pragma(connection, "user_version")? {
        version if version > VERSION => Err(Fault::Newer(version)),
        _ => Ok(()),
    }
}

/// That the tables are what this program would make.
pub(crate) fn verify(connection: &Connection) -> Outcome<()> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<(String, String)> = rows.collect::<Result<_, _>>()?;
    let is_same = |(found, made): (&(String, String), &(&str, &str))| {
        (found.0.as_str(), found.1.as_str()) == *made
    };
    if found.len() == TABLES.len() && found.iter().zip(&TABLES).all(is_same) {
        return Ok(());
    }
    Err(Damage::Schema { version: VERSION }.into())
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> Outcome<T> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

fn is_empty(connection: &Connection) -> Outcome<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)";
    Ok(connection.query_row(sql, (), |row| row.get(0))?)
}

/// Asks first, since to change it one must be alone with the file.
fn ensure_wal(connection: &Connection) -> Outcome<()> {
    let mode: String = pragma(connection, "journal_mode")?;
    if mode != "wal" {
        connection.pragma_update(None, "journal_mode", "wal")?;
    }
    Ok(())
}

fn create(connection: &mut Connection, synced: Option<u64>) -> Outcome<()> {
    // So that space can be given back piece by piece.
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    ensure_wal(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    make_tables(&transaction)?;
    position::compare(&transaction, synced)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

fn make_tables(transaction: &Transaction) -> Outcome<()> {
    let (tables, indexes): (Vec<_>, Vec<_>) = TABLES
        .iter()
        .partition(|(_, sql)| sql.starts_with("CREATE TABLE"));
    for (_, sql) in tables.into_iter().chain(indexes) {
        transaction.execute(sql, ())?;
    }
    let seal = chain::counters(&Counters::default());
    let sql = "INSERT INTO counters VALUES (1, 0, 0, 0, ?1, 0)";
    transaction.execute(sql, [seal])?;
    Ok(())
}

fn migrate(connection: &mut Connection, from: u32, synced: Option<u64>) -> Outcome<()> {
    let Some(step) = MIGRATIONS.get(from as usize) else {
        return Ok(());
    };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    step(&transaction)?;
    position::compare(&transaction, synced)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

/// Version 0 had streams that could not be closed, entries without seals, and no leases.
fn from_0(transaction: &Transaction) -> Outcome<()> {
    transaction.execute_batch(
        "ALTER TABLE streams RENAME TO old_streams;
         ALTER TABLE records RENAME TO old_records;
         DROP INDEX records_by_stream;",
    )?;
    make_tables(transaction)?;
    transaction.execute_batch(
        "INSERT INTO records (id, stream, version, at, kind, payload, hash)
             SELECT id, stream, version, at, kind, payload, hash FROM old_records ORDER BY id;",
    )?;
    let sql = "SELECT number, name, version, head,
                   (SELECT at FROM records
                    WHERE stream = old_streams.number AND version = old_streams.version)
               FROM old_streams ORDER BY number";
    let mut old = transaction.prepare(sql)?;
    let mut rows = old.query(())?;
    while let Some(row) = rows.next()? {
        let (number, name): (i64, String) = (row.get(0)?, row.get(1)?);
        let (stored, head): (i64, chain::Hash) = (row.get(2)?, row.get(3)?);
        let version = stored.cast_unsigned();
        let missing = || Damage::Missing {
            stream: name.clone(),
            version,
        };
        let at = row.get::<_, Option<i64>>(4)?.ok_or_else(missing)?;
        let entry = Entry {
            number,
            name,
            version,
            at,
            head,
            is_closed: false,
            needed_by: None,
        };
        streams::insert(transaction, &entry)?;
    }
    drop(rows);
    drop(old);
    transaction.execute_batch("DROP TABLE old_streams; DROP TABLE old_records;")?;
    Ok::<_, Fault>(())
}

/// Version 1 had leases that did not know through which journal they were acquired. Their seals
/// stay as they are.
fn from_1(transaction: &Transaction) -> Outcome<()> {
    transaction.execute_batch("ALTER TABLE leases RENAME TO old_leases")?;
    let leases = TABLES.iter().find(|(name, _)| *name == "leases");
    transaction.execute(leases.expect("it is there").1, ())?;
    transaction.execute_batch(
        "INSERT INTO leases (name, holder, token, until, seal)
             SELECT name, holder, token, until, seal FROM old_leases;
         DROP TABLE old_leases;",
    )?;
    from_2(transaction)
}

/// Version 2 did not know which stream needs another. The seals of entries stay as they are, and the entries
/// where they are, however many there may be: SQLite only changes the words of the table, to those above.
fn from_2(transaction: &Transaction) -> Outcome<()> {
    transaction.execute_batch("ALTER TABLE streams ADD COLUMN needed_by TEXT")?;
    from_3(transaction)
}

/// Version 3 did not know what was removed. The seal of the counters stays as it is.
fn from_3(transaction: &Transaction) -> Outcome<()> {
    let sql = "ALTER TABLE counters ADD COLUMN removed INTEGER NOT NULL DEFAULT 0";
    Ok(transaction.execute_batch(sql)?)
}
