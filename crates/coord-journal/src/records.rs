//! The records of streams: added at the end, and compared with their checksums when they are read.

use coord_bus::{Record, StoredRecord};
use rusqlite::{Connection, OptionalExtension, Row, Rows, ToSql};

use crate::chain::{self, Hash};
use crate::reading::Reading;
use crate::store::{Fault, Outcome};
use crate::streams::Entry;
use crate::{Damage, moment};

/// How large a record may be, its kind and its payload together, in bytes: 256 MiB.
pub const MAX_RECORD_BYTES: usize = 256 << 20;

pub(crate) fn bytes(record: &Record) -> usize {
    record.kind.len() + record.payload.len()
}

/// How many records are put into the table by one statement, where there are as many.
const TOGETHER: usize = 16;

/// Records that are to be put into the table with others, as many in one statement cost less than each in
/// one of its own.
#[derive(Debug, Default)]
pub(crate) struct Added(Vec<NewRecord>);

#[derive(Debug)]
struct NewRecord {
    stream: i64,
    version: u64,
    at: i64,
    record: Record,
    hash: Hash,
}

impl Added {
    /// Adds records at the end of a stream, and moves the entry on to the last of them.
    pub(crate) fn add(&mut self, entry: &mut Entry, records: Vec<Record>, at: i64) {
        entry.at = at;
        for record in records {
            entry.version += 1;
            let (before, Record { kind, payload }) = (&entry.head, &record);
            let hash = chain::record(before, &entry.name, entry.version, at, kind, payload);
            entry.head = hash;
            self.0.push(NewRecord {
                stream: entry.number,
                version: entry.version,
                at,
                record,
                hash,
            });
        }
    }

    /// Puts them into the table: at the end of a transaction, and before that is looked at.
    pub(crate) fn write(&mut self, connection: &Connection) -> Outcome<()> {
        let (together, alone) = self.0.as_chunks::<TOGETHER>();
        insert(connection, together.iter().map(<[_; TOGETHER]>::as_slice))?;
        insert(connection, alone.iter().map(std::slice::from_ref))?;
        self.0.clear();
        Ok(())
    }
}

/// Puts groups of records into the table, each as large as the first.
fn insert<'a>(
    connection: &Connection,
    groups: impl ExactSizeIterator<Item = &'a [NewRecord]>,
) -> Outcome<()> {
    let mut groups = groups.peekable();
    let Some(first) = groups.peek() else {
        return Ok(());
    };
    let mut statement = connection.prepare_cached(&insert_sql(first.len()))?;
    for group in groups {
        let mut column = 0;
        for new in group {
            let Record { kind, payload } = &new.record;
            let values: [&dyn ToSql; COLUMNS] = [
                &new.stream,
                &new.version.cast_signed(),
                &new.at,
                kind,
                payload,
                &new.hash,
            ];
            for value in values {
                column += 1;
                statement.raw_bind_parameter(column, value)?;
            }
        }
        statement.raw_execute()?;
    }
    Ok(())
}

const COLUMNS: usize = 6;

/// Two of one version would be damage, which undoes the whole transaction as any fault does. That is said, as SQLite
/// keeps a copy of each page that such a statement changes otherwise, to undo that alone.
fn insert_sql(records: usize) -> String {
    let rows = vec!["(?, ?, ?, ?, ?, ?)"; records].join(", ");
    let columns = "stream, version, at, kind, payload, hash";
    format!("INSERT OR ROLLBACK INTO records ({columns}) VALUES {rows}")
}

/// A record with its checksum, as it was read.
pub(crate) struct Verified {
    pub(crate) stored: StoredRecord,
    pub(crate) hash: Hash,
}

/// Goes along the records of a stream, and stops where one is not as it was written.
pub(crate) struct Walk<'a> {
    entry: &'a Entry,
    rows: Rows<'a>,
    /// The version of the next record.
    next: u64,
    /// The checksum of the one before it.
    before: Hash,
}

pub(crate) const FROM_VERSION: &str = "SELECT version, at, kind, payload, hash FROM records
    INDEXED BY records_by_stream WHERE stream = ?1 AND version >= ?2 ORDER BY version";

impl<'a> Walk<'a> {
    /// Along the records from a version on, which the statement [`FROM_VERSION`] gives.
    pub(crate) fn begin(
        connection: &Connection,
        statement: &'a mut rusqlite::Statement<'_>,
        entry: &'a Entry,
        from: u64,
    ) -> Outcome<Self> {
        let before = match from {
            1 => chain::BEGINNING,
            _ => hash_of(connection, entry, from - 1)?,
        };
        let rows = statement.query((entry.number, from.cast_signed()))?;
        Ok(Self {
            entry,
            rows,
            next: from,
            before,
        })
    }

    /// The next record; `None` after the last.
    pub(crate) fn step(&mut self) -> Outcome<Option<Verified>> {
        let (stream, version) = (self.entry.name.clone(), self.next);
        let Some(row) = self.rows.next()? else {
            if self.next <= self.entry.version {
                return Err(Damage::Missing { stream, version }.into());
            }
            return Ok(None);
        };
        let there = row.get::<_, i64>(0).map(i64::cast_unsigned);
        match there {
            Ok(there) if there > self.entry.version => {
                let version = there;
                return Err(Damage::Added { stream, version }.into());
            }
            Ok(there) if there != version => {
                return Err(Damage::Missing { stream, version }.into());
            }
            _ => {}
        }
        let verified = read(row, &self.before, &stream, version);
        // The entry says what the last one is, so nobody can have put another in its place.
        let is_last = version == self.entry.version;
        match verified {
            Some(verified) if !is_last || verified.hash == self.entry.head => {
                self.next += 1;
                self.before = verified.hash;
                Ok(Some(verified))
            }
            _ => Err(Damage::Changed { stream, version }.into()),
        }
    }
}

/// A record, if it is what its checksum says.
fn read(row: &Row, before: &Hash, stream: &str, version: u64) -> Option<Verified> {
    let at = row.get(1).ok()?;
    let kind: String = row.get(2).ok()?;
    let payload: Vec<u8> = row.get(3).ok()?;
    let hash: Hash = row.get(4).ok()?;
    if chain::record(before, stream, version, at, &kind, &payload) != hash {
        return None;
    }
    let stored = StoredRecord {
        version,
        at: moment::from_micros(at)?,
        record: Record { kind, payload },
    };
    Some(Verified { stored, hash })
}

fn hash_of(connection: &Connection, entry: &Entry, version: u64) -> Outcome<Hash> {
    let sql = "SELECT hash FROM records INDEXED BY records_by_stream
               WHERE stream = ?1 AND version = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let hash = statement
        .query_row((entry.number, version.cast_signed()), |row| row.get(0))
        .optional()?;
    let missing = || Damage::Missing {
        stream: entry.name.clone(),
        version,
    };
    Ok(hash.ok_or_else(missing)?)
}

/// At most so many records of a stream from a version on, and no more once they are so many bytes.
pub(crate) fn page(
    connection: &Connection,
    stream: &str,
    from: u64,
    limit: usize,
    bytes_max: usize,
) -> Outcome<Vec<Verified>> {
    let (records, stopped) = page_until(connection, stream, from, limit, bytes_max)?;
    stopped.map_or(Ok(records), Err)
}

/// As [`page`], with what stopped it: the records before that are whole.
pub(crate) fn page_until(
    connection: &Connection,
    stream: &str,
    from: u64,
    limit: usize,
    bytes_max: usize,
) -> Outcome<(Vec<Verified>, Option<Fault>)> {
    let from = from.max(1);
    let transaction = Reading::begin(connection)?;
    let entry = crate::streams::find(&transaction, stream)?;
    let Some(entry) = entry.filter(|entry| from <= entry.version) else {
        return Ok((Vec::new(), None));
    };
    let mut statement = transaction.prepare_cached(FROM_VERSION)?;
    let mut walk = Walk::begin(&transaction, &mut statement, &entry, from)?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while records.len() < limit && bytes < bytes_max {
        let verified = match walk.step() {
            Ok(Some(verified)) => verified,
            Ok(None) => break,
            Err(fault) => return Ok((records, Some(fault))),
        };
        let Record { kind, payload } = &verified.stored.record;
        bytes += kind.len() + payload.len();
        records.push(verified);
    }
    Ok((records, None))
}
