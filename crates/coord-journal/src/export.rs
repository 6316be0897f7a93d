//! All records as JSON lines.

use std::io::Write;
use std::sync::Arc;

use coord_bus::{StoredRecord, Timestamp};
use rusqlite::Connection;
use serde::Serialize;

use crate::records::{self, Verified};
use crate::store::Store;
use crate::{Damage, JournalError, streams};

const PAGE_STREAMS: usize = 256;
const PAGE_RECORDS: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    stream: &'a str,
    version: u64,
    at: Timestamp,
    kind: &'a str,
    /// The payload, where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    /// The payload in hexadecimal digits, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
    hash: String,
}

/// Writes every record, stream by stream in the order of their names. How many they are.
///
/// What is damaged ends its own stream and no other.
pub(crate) fn all(
    store: &Store,
    connection: &Connection,
    out: &mut dyn Write,
) -> Result<u64, JournalError> {
    let (mut exported, mut damaged) = (0, None);
    let mut before = String::new();
    loop {
        let names = streams::names(connection, &before, PAGE_STREAMS);
        let names = names.map_err(|fault| store.error(fault))?;
        if names.is_empty() {
            break;
        }
        for name in names {
            // In a damaged index what comes next may be what was before: that would go on for ever.
            if name <= before {
                return Err(store.error(Damage::Entry { stream: name }.into()));
            }
            match records_of(store, connection, &name, out, &mut exported) {
                Err(error @ JournalError::Damaged { .. }) => {
                    damaged.get_or_insert(error);
                }
                done => done?,
            }
            before = name;
        }
    }
    out.flush().map_err(output)?;
    damaged.map_or(Ok(exported), Err)
}

/// Writes every record of one stream. How many they are.
pub(crate) fn one(
    store: &Store,
    connection: &Connection,
    stream: &str,
    out: &mut dyn Write,
) -> Result<u64, JournalError> {
    let mut exported = 0;
    let done = records_of(store, connection, stream, out, &mut exported);
    out.flush().map_err(output)?;
    done.map(|()| exported)
}

fn records_of(
    store: &Store,
    connection: &Connection,
    stream: &str,
    out: &mut dyn Write,
    exported: &mut u64,
) -> Result<(), JournalError> {
    let mut next = 1;
    loop {
        let page = records::page_until(connection, stream, next, PAGE_RECORDS, PAGE_BYTES);
        let (page, stopped) = page.map_err(|fault| store.error(fault))?;
        for verified in &page {
            write(out, stream, verified)?;
            *exported += 1;
        }
        match (stopped, page.last()) {
            (Some(fault), _) => return Err(store.error(fault)),
            (None, None) => return Ok(()),
            (None, Some(last)) => next = last.stored.version + 1,
        }
    }
}

fn write(out: &mut dyn Write, stream: &str, verified: &Verified) -> Result<(), JournalError> {
    let Verified { stored, hash } = verified;
    let StoredRecord {
        version,
        at,
        record,
    } = stored;
    let text = str::from_utf8(&record.payload).ok();
    let line = Line {
        stream,
        version: *version,
        at: *at,
        kind: &record.kind,
        payload: text,
        payload_hex: text.is_none().then(|| hex(&record.payload)),
        hash: hex(hash),
    };
    serde_json::to_writer(&mut *out, &line).map_err(|error| output(error.into()))?;
    out.write_all(b"\n").map_err(output)
}

fn output(source: std::io::Error) -> JournalError {
    JournalError::Output {
        source: Arc::new(source),
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
