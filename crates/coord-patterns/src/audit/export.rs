//! A trail as lines, and as entries.

use std::io::Write;

use coord_bus::EventLog;

use super::chain::PAGE;
use super::{AuditEntry, AuditError, AuditFault, AuditHead};

/// Writes a trail as lines of JSON, each entry as it is in the log, and a closing line with the
/// head that the trail has.
///
/// It is written as it is found, tampered with or not: [`verify_lines`](super::verify_lines) tells.
///
/// # Errors
///
/// [`AuditError::Log`] or [`AuditError::Lines`].
pub async fn export(
    log: &dyn EventLog,
    trail: &str,
    mut out: impl Write,
) -> Result<AuditHead, AuditError> {
    let mut head = AuditHead::default();
    loop {
        let read = log.read(trail, head.entries + 1, PAGE).await;
        let page = read.map_err(|source| AuditError::log(trail, source))?;
        for stored in &page {
            out.write_all(&stored.record.payload)?;
            out.write_all(b"\n")?;
            head.entries = stored.version;
            if let Some(entry) = AuditEntry::unseal(&stored.record.payload) {
                head.head = entry.hash;
            }
        }
        if page.len() < PAGE {
            break;
        }
    }
    serde_json::to_writer(&mut out, &head).map_err(std::io::Error::from)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(head)
}

/// The entries of a trail from a number on, at most `limit`: to show them, one a line, by their
/// `Display`.
///
/// # Errors
///
/// [`AuditError::Tampered`] if one of them is none; [`AuditError::Log`].
pub async fn entries(
    log: &dyn EventLog,
    trail: &str,
    from: u64,
    limit: usize,
) -> Result<Vec<AuditEntry>, AuditError> {
    let read = log.read(trail, from, limit).await;
    let records = read.map_err(|source| AuditError::log(trail, source))?;
    let entries = records.iter().map(|stored| {
        let number = stored.version;
        let entry = AuditEntry::unseal(&stored.record.payload);
        Ok(entry.ok_or(AuditFault::Altered { number })?)
    });
    entries.collect()
}
