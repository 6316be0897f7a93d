//! All records as JSON lines.

use std::io::Write;
use std::sync::Arc;

use coord_bus::{StoredRecord, StreamQuery, Timestamp};
use rusqlite::Connection;
use serde::Serialize;

use crate::records::{self, Verified};
use crate::store::{Fault, Store};
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
pub(crate) fn export(
    store: &Store,
    connection: &Connection,
    out: &mut dyn Write,
) -> Result<u64, JournalError> {
    let error = |fault: Fault| store.error(fault);
    let mut exported = 0;
    let mut query = StreamQuery::by_name().limit(PAGE_STREAMS);
    let mut before = String::new();
    loop {
        let infos = streams::list(connection, &query).map_err(error)?;
        let Some(last) = infos.last() else { break };
        query = query.after(last);
        for info in infos {
            // In a damaged index what comes next may be what was before: that would go on for ever.
            if info.name <= before {
                let stream = info.name;
                return Err(error(Damage::Entry { stream }.into()));
            }
            before.clone_from(&info.name);
            let mut next = 1;
            loop {
                let page = records::page(connection, &info.name, next, PAGE_RECORDS, PAGE_BYTES);
                let page = page.map_err(error)?;
                let Some(last) = page.last() else { break };
                next = last.stored.version + 1;
                exported += page.len() as u64;
                for verified in &page {
                    write(out, &info.name, verified)?;
                }
            }
        }
    }
    out.flush().map_err(output)?;
    Ok(exported)
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
