//! Walks a trail, and names the first thing that is wrong with it.

use std::io::{BufRead, Read};

use coord_bus::EventLog;

use super::entry::{AuditEntry, AuditHead, MAX_ENTRY};
use super::{AuditError, AuditFault};

/// How many records are read at once.
pub(super) const PAGE: usize = 256;

/// The longest line: an entry with its hash.
const MAX_LINE: usize = MAX_ENTRY + 128;

/// Whether a trail in a log is what was written: its head, if so. With a head that was kept
/// elsewhere, also whether it is still the same trail up to there.
///
/// # Errors
///
/// [`AuditError::Tampered`] says what is wrong first; [`AuditError::Log`] that it could not be
/// read.
pub async fn verify(
    log: &dyn EventLog,
    trail: &str,
    kept: Option<&AuditHead>,
) -> Result<AuditHead, AuditError> {
    let mut chain = Chain::new(Some(trail), kept);
    let mut from = 1;
    loop {
        let read = log.read(trail, from, PAGE).await;
        let page = read.map_err(|source| AuditError::log(trail, source))?;
        for stored in &page {
            chain.take(&stored.record.payload);
        }
        from += page.len() as u64;
        if page.len() < PAGE {
            return Ok(chain.end(None)?);
        }
    }
}

/// Whether lines are a trail as it was exported: its head, if so. With a head that was kept
/// elsewhere, also whether it is still the same trail up to there.
///
/// # Errors
///
/// [`AuditError::Tampered`] says what is wrong first; [`AuditError::Lines`] that they could not be
/// read.
pub fn verify_lines(
    mut lines: impl BufRead,
    kept: Option<&AuditHead>,
) -> Result<AuditHead, AuditError> {
    let mut chain = Chain::new(None, kept);
    let mut closing: Option<AuditHead> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        let longest = MAX_LINE as u64 + 1;
        if lines.by_ref().take(longest).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if let Some(closing) = &closing {
            let entries = closing.entries;
            return Err(AuditFault::Added { entries }.into());
        }
        if line.pop_if(|last| *last == b'\n').is_none() && line.len() > MAX_LINE {
            // The rest of it counts as more lines, none of which is an entry.
            line.clear();
        }
        match serde_json::from_slice(&line) {
            Ok(head) => closing = Some(head),
            Err(_) => chain.take(&line),
        }
    }
    let Some(closing) = closing else {
        return Err(chain.cut().into());
    };
    Ok(chain.end(Some(&closing))?)
}

/// A trail as far as it was read.
struct Chain<'a> {
    trail: Option<String>,
    kept: Option<&'a AuditHead>,
    head: AuditHead,
    /// In which place the next line is.
    place: u64,
    /// What is wrong, unless it turns out to be something else.
    fault: Option<AuditFault>,
}

impl<'a> Chain<'a> {
    fn new(trail: Option<&str>, kept: Option<&'a AuditHead>) -> Self {
        Self {
            trail: trail.map(str::to_owned),
            kept,
            head: AuditHead::default(),
            place: 1,
            fault: None,
        }
    }

    fn take(&mut self, line: &[u8]) {
        let place = self.place;
        self.place += 1;
        match &self.fault {
            None => self.fault = self.admit(line, place).err(),
            // Whether what is missing comes later.
            Some(AuditFault::Missing { number }) => {
                let number = *number;
                if AuditEntry::unseal(line).is_some_and(|entry| entry.number == number) {
                    self.fault = Some(AuditFault::OutOfOrder { number, place });
                }
            }
            Some(_) => {}
        }
    }

    fn admit(&mut self, line: &[u8], place: u64) -> Result<(), AuditFault> {
        let number = self.head.entries + 1;
        let entry = AuditEntry::unseal(line).ok_or(AuditFault::Altered { number })?;
        let trail = self.trail.get_or_insert_with(|| entry.trail.clone());
        if *trail != entry.trail {
            let trail = entry.trail;
            return Err(AuditFault::Foreign { number, trail });
        }
        if entry.number > number {
            return Err(AuditFault::Missing { number });
        }
        if entry.number < number {
            let number = entry.number;
            return Err(AuditFault::Repeated { number, place });
        }
        if entry.previous != self.head.head {
            let number = (number - 1).max(1);
            return Err(AuditFault::Rewritten { number });
        }
        self.head = AuditHead {
            entries: number,
            head: entry.hash,
        };
        match self.kept {
            Some(kept) if kept.entries == number && kept.head != self.head.head => {
                Err(AuditFault::Rewritten { number })
            }
            _ => Ok(()),
        }
    }

    fn cut(self) -> AuditFault {
        let entries = self.head.entries;
        self.fault.unwrap_or(AuditFault::Cut { entries })
    }

    fn end(self, closing: Option<&AuditHead>) -> Result<AuditHead, AuditFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let entries = self.head.entries;
        let longest = closing.into_iter().chain(self.kept);
        if longest.clone().any(|head| head.entries > entries) {
            let number = entries + 1;
            return Err(AuditFault::Missing { number });
        }
        match closing {
            Some(closing) if closing.entries < entries => Err(AuditFault::Added {
                entries: closing.entries,
            }),
            Some(closing) if *closing != self.head => {
                let number = entries.max(1);
                Err(AuditFault::Rewritten { number })
            }
            _ => Ok(self.head),
        }
    }
}
