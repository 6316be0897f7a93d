//! Looking at everything in a journal, and naming what is not as it was written.

use rusqlite::Connection;

use crate::reading::Reading;
use crate::records::{FROM_VERSION, Walk};
use crate::store::{Fault, Outcome};
use crate::streams::{self, Entry};
use crate::{Damage, leases, position, schema};

/// How many faults a report names: past these it is clear that the file cannot be trusted.
pub const MAX_FAULTS: usize = 1_000;

/// How many streams are looked at in one transaction. A long one would keep the write-ahead log
/// from being emptied.
const PAGE: usize = 256;

/// What [`Journal::check`](crate::Journal::check) found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// How many streams were looked at.
    pub streams: u64,
    /// How many records were as they were written.
    pub records: u64,
    /// What is not as it was written, the first [`MAX_FAULTS`] of it.
    pub faults: Vec<Damage>,
    /// How many faults were found in all.
    pub found: u64,
}

impl CheckReport {
    /// Whether everything is as it was written.
    pub fn is_clean(&self) -> bool {
        self.found == 0
    }

    /// Adds what was found elsewhere.
    pub(crate) fn extend(&mut self, damage: Option<Damage>) {
        damage.into_iter().for_each(|damage| self.add(damage));
    }

    fn add(&mut self, damage: Damage) {
        self.found += 1;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(damage);
        }
    }

    /// Notes what damage stopped a part of the check. Anything else stops all of it.
    fn note<T>(&mut self, outcome: Outcome<T>) -> Outcome<Option<T>> {
        match outcome {
            Ok(done) => Ok(Some(done)),
            Err(Fault::Damage(damage)) => {
                self.add(damage);
                Ok(None)
            }
            Err(Fault::Sqlite(error)) if is_damage(&error) => {
                let fault = error.to_string();
                self.add(Damage::File { fault });
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }
}

/// Whether SQLite says so because of what is in the file.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(code) => matches!(code, DatabaseCorrupt | NotADatabase),
        // A value of another type than the table's.
        None => true,
    }
}

/// With how far the journal is known to have been synced, if it is to be compared with that.
pub(crate) fn check(connection: &Connection, synced: Option<u64>) -> Outcome<CheckReport> {
    let mut report = CheckReport::default();
    let integrity = integrity(connection, &mut report);
    report.note(integrity)?;
    let schema = schema::verify(connection);
    report.note(schema)?;
    let compared = position::compare(connection, synced);
    report.note(compared)?;
    let mut after = i64::MIN;
    while let Some(last) = streams_after(connection, after, &mut report)? {
        after = last;
    }
    let orphans = orphans(connection, &mut report);
    report.note(orphans)?;
    let leases = all_leases(connection, &mut report);
    report.note(leases)?;
    let counters = leases::Counters::read(connection);
    report.note(counters)?;
    Ok(report)
}

/// What SQLite itself knows: pages, cells, indexes.
fn integrity(connection: &Connection, report: &mut CheckReport) -> Outcome<()> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({MAX_FAULTS})"))?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let fault: String = row.get(0)?;
        if fault != "ok" {
            report.add(Damage::File { fault });
        }
    }
    Ok(())
}

/// Looks at some streams. The number of the last of them, if there was one.
fn streams_after(
    connection: &Connection,
    after: i64,
    report: &mut CheckReport,
) -> Outcome<Option<i64>> {
    let transaction = Reading::begin(connection)?;
    let page = streams::page(&transaction, after, PAGE);
    let page = report.note(page)?.unwrap_or_default();
    // In a damaged tree what comes next may be what was before: that would go on for ever.
    let last = page.last().map(|(number, _)| *number);
    let last = last.filter(|last| *last > after);
    for (_, entry) in page {
        report.streams += 1;
        if let Some(entry) = report.note(entry)? {
            let records = records_of(&transaction, &entry, report);
            report.note(records)?;
        }
    }
    Ok(last)
}

/// Looks at the records of a stream, up to the first that is not as it was written: what comes
/// after it hangs on it.
fn records_of(connection: &Connection, entry: &Entry, report: &mut CheckReport) -> Outcome<()> {
    let by_name = streams::find(connection, &entry.name)?;
    if by_name.is_none_or(|found| found.number != entry.number) {
        let stream = entry.name.clone();
        return Err(Damage::Entry { stream }.into());
    }
    let mut statement = connection.prepare_cached(FROM_VERSION)?;
    let mut walk = Walk::begin(connection, &mut statement, entry, 1)?;
    while walk.step()?.is_some() {
        report.records += 1;
    }
    let sql = "SELECT min(version) FROM records WHERE stream = ?1 AND version < 1";
    let before: Option<i64> = connection.query_row(sql, [entry.number], |row| row.get(0))?;
    match before {
        None => Ok(()),
        Some(version) => Err(Damage::Added {
            stream: entry.name.clone(),
            version: version.cast_unsigned(),
        }
        .into()),
    }
}

/// Records whose stream has no entry.
fn orphans(connection: &Connection, report: &mut CheckReport) -> Outcome<()> {
    let sql = "SELECT stream, count(*) FROM records
               WHERE stream NOT IN (SELECT number FROM streams) GROUP BY stream";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let (number, records): (i64, i64) = (row.get(0)?, row.get(1)?);
        report.add(Damage::Orphaned {
            number,
            records: records.unsigned_abs(),
        });
    }
    Ok(())
}

fn all_leases(connection: &Connection, report: &mut CheckReport) -> Outcome<()> {
    let sql = "SELECT name, holder, token, until, handle, seal FROM leases ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        report.note(leases::read(row))?;
    }
    Ok(())
}
