//! The entries of the streams that were appended to last, so that the next append need not look them
//! up, and that one which goes on several times in a transaction is written once.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::schema;
use crate::store::Outcome;
use crate::streams::{self, Entry};

/// How many entries are remembered at most: then all are forgotten, and those in use come back.
const HEADS_MAX: usize = 4_096;

/// What the writer has written itself, or is about to, and nobody else has changed.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    entries: HashMap<String, Head>,
    /// The names of those that have gone on and are not written yet.
    moved: Vec<String>,
    /// Changes when another connection has committed.
    data_version: Option<i64>,
}

#[derive(Debug)]
struct Head {
    entry: Entry,
    /// What the table does not have yet.
    unwritten: Unwritten,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unwritten {
    Nothing,
    /// That the stream has gone on.
    End,
    /// And that it is closed now, or open again.
    EndAndTurn,
}

impl Heads {
    /// Begins a transaction: forgets everything if another process has written since the last. One of a later version
    /// may have brought the tables up to its own: then nothing more is written here.
    pub(crate) fn keep_if_unchanged(&mut self, connection: &Connection) -> Outcome<()> {
        let mut statement = connection.prepare_cached("PRAGMA data_version")?;
        let seen = Some(statement.query_row((), |row| row.get(0))?);
        if self.data_version != seen {
            schema::ensure_known(connection)?;
            self.clear();
            self.data_version = seen;
        }
        Ok(())
    }

    /// The entry of a stream, if it has begun.
    pub(crate) fn find(
        &mut self,
        connection: &Connection,
        stream: &str,
    ) -> Outcome<Option<&Entry>> {
        if !self.entries.contains_key(stream) {
            let Some(entry) = streams::find(connection, stream)? else {
                return Ok(None);
            };
            self.put(connection, entry)?;
        }
        Ok(self.entries.get(stream).map(|head| &head.entry))
    }

    /// Puts in the entry of a stream, as it has been written.
    pub(crate) fn put(&mut self, connection: &Connection, entry: Entry) -> Outcome<()> {
        if self.entries.len() >= HEADS_MAX {
            self.write(connection)?;
            self.clear();
        }
        let name = entry.name.clone();
        let unwritten = Unwritten::Nothing;
        self.entries.insert(name, Head { entry, unwritten });
        Ok(())
    }

    /// The entry of a stream that was found, to be moved on, and closed or opened. It is written with the others.
    pub(crate) fn advance(&mut self, stream: &str, is_closed: bool) -> Option<&mut Entry> {
        let head = self.entries.get_mut(stream)?;
        if head.unwritten == Unwritten::Nothing {
            head.unwritten = Unwritten::End;
            self.moved.push(stream.to_owned());
        }
        if head.entry.is_closed != is_closed {
            head.unwritten = Unwritten::EndAndTurn;
            head.entry.is_closed = is_closed;
        }
        Some(&mut head.entry)
    }

    /// Writes those that have gone on: at the end of a transaction, and before the table is looked at.
    pub(crate) fn write(&mut self, connection: &Connection) -> Outcome<()> {
        if self.moved.is_empty() {
            return Ok(());
        }
        let mut advance = connection.prepare_cached(streams::ADVANCE)?;
        for stream in self.moved.drain(..) {
            let Some(head) = self.entries.get_mut(&stream) else {
                continue;
            };
            match head.unwritten {
                Unwritten::Nothing => {}
                Unwritten::End => streams::advance(&mut advance, &head.entry)?,
                Unwritten::EndAndTurn => streams::advance_and_turn(connection, &head.entry)?,
            }
            head.unwritten = Unwritten::Nothing;
        }
        Ok(())
    }

    /// Forgets the entry of a stream that is removed.
    pub(crate) fn forget(&mut self, stream: &str) {
        self.entries.remove(stream);
    }

    /// Forgets everything: a transaction was undone, or another process has written.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.moved.clear();
    }
}
