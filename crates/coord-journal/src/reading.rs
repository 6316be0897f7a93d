//! What is read of a journal in several statements is read as it was at one moment.

use std::ops::Deref;

use rusqlite::Connection;

/// Everything is read as it was when the first of it was, until this is dropped.
///
/// As the transactions of rusqlite, but that these statements are parsed once for each connection: they cost as much
/// as a read of a few records.
pub(crate) struct Reading<'c> {
    connection: &'c Connection,
}

impl<'c> Reading<'c> {
    pub(crate) fn begin(connection: &'c Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN")?.execute([])?;
        Ok(Self { connection })
    }
}

impl Deref for Reading<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        // Where it cannot be, what went wrong has ended it, and was told.
        let ending = self.connection.prepare_cached("ROLLBACK");
        let _ = ending.and_then(|mut ending| ending.execute([]));
    }
}
