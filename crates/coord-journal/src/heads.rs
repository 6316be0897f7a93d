//! The entries of the streams that were appended to last, so that the next append need not look them
//! up.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::store::Outcome;
use crate::streams::{self, Entry};

/// How many entries are remembered at most: then all are forgotten, and those in use come back.
const HEADS_MAX: usize = 4_096;

/// What the writer has written itself and nobody else has changed.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    entries: HashMap<String, Entry>,
    /// Changes when another connection has committed.
    data_version: Option<i64>,
}

impl Heads {
    /// Begins a transaction: forgets everything if another process has written since the last.
    pub(crate) fn keep_if_unchanged(&mut self, connection: &Connection) -> Outcome<()> {
        let mut statement = connection.prepare_cached("PRAGMA data_version")?;
        let seen = Some(statement.query_row((), |row| row.get(0))?);
        if self.data_version != seen {
            self.clear();
            self.data_version = seen;
        }
        Ok(())
    }

    /// Takes out the entry of a stream, if it has begun.
    pub(crate) fn take(&mut self, connection: &Connection, stream: &str) -> Outcome<Option<Entry>> {
        match self.entries.remove(stream) {
            Some(entry) => Ok(Some(entry)),
            None => streams::find(connection, stream),
        }
    }

    /// Puts in the entry of a stream, as it has been written.
    pub(crate) fn put(&mut self, entry: Entry) {
        if self.entries.len() >= HEADS_MAX {
            self.clear();
        }
        self.entries.insert(entry.name.clone(), entry);
    }

    /// Forgets everything: a transaction was undone, or streams were removed.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
