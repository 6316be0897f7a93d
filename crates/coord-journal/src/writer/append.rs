//! Appending to a stream.

use std::mem;

use coord_bus::{AppendTo, Appended, Durability, EventLogError, Record};

use super::{Command, Work};
use crate::leases::{self, Admitted};
use crate::store::Outcome;
use crate::streams::{self, Entry};
use crate::{chain, moment};

/// An append whose names have been checked.
pub(crate) struct Append(pub(crate) AppendTo);

impl Command for Append {
    type Answer = Result<Appended, EventLogError>;

    fn durability(&self) -> Durability {
        match self.0.records[..] {
            [] => Durability::Memory,
            _ => self.0.durability,
        }
    }

    fn is_alone(&self) -> bool {
        self.0.alone
    }

    fn run(&mut self, work: &mut Work<'_>) -> Outcome<Self::Answer> {
        let append = &self.0;
        let mut newer = None;
        if let Some(grant) = &append.fence {
            match leases::admit(work.connection, &append.stream, grant)? {
                Err(fenced) => return Ok(Err(fenced)),
                Ok(Admitted::Newer) => newer = Some(grant),
                Ok(Admitted::Known) => {}
            }
        }
        let found = work.heads.find(work.connection, &append.stream)?;
        let replaces = append.replaces && !append.records.is_empty();
        let replaced = found.filter(|entry| replaces && entry.is_closed).cloned();
        let actual = match &replaced {
            Some(_) => 0,
            None => found.map_or(0, |entry| entry.version),
        };
        if !append.expected.allows(actual) {
            return Ok(Err(EventLogError::WrongVersion {
                stream: append.stream.clone(),
                expected: append.expected,
                actual,
            }));
        }
        if append.records.is_empty() {
            return Ok(Ok(Appended::at(actual)));
        }
        if let Some(entry) = &replaced {
            work.settle()?;
            if let Some(by) = streams::needed_by(work.connection, entry)? {
                let stream = append.stream.clone();
                return Ok(Err(EventLogError::StillNeeded { stream, by }));
            }
        }
        if let Some(grant) = newer {
            let now = work.lease_now()?;
            if let Err(full) = leases::remember(work.connection, grant, now, work.presence)? {
                return Ok(Err(EventLogError::Failed {
                    source: Box::new(full),
                }));
            }
        }
        if let Some(entry) = &replaced {
            work.remove(entry)?;
        }
        let is_new = actual == 0;
        let records = mem::take(&mut self.0.records);
        let version = write(work, &self.0, records, is_new)?;
        work.touched.push(self.0.stream.clone());
        Ok(Ok(Appended::at(version)))
    }
}

/// Adds the records, and moves the stream's entry on. The version then.
fn write(
    work: &mut Work<'_>,
    append: &AppendTo,
    records: Vec<Record>,
    is_new: bool,
) -> Outcome<u64> {
    let at = moment::to_micros(work.now);
    let going_on = match is_new {
        true => None,
        false => work.heads.advance(&append.stream, append.closes),
    };
    if let Some(entry) = going_on {
        work.added.add(entry, records, at);
        return Ok(entry.version);
    }
    let mut entry = Entry {
        number: streams::next_number(work.connection)?,
        name: append.stream.clone(),
        version: 0,
        at,
        head: chain::BEGINNING,
        is_closed: append.closes,
        needed_by: append.needed_by.clone(),
    };
    work.added.add(&mut entry, records, at);
    streams::insert(work.connection, &entry)?;
    let version = entry.version;
    work.heads.put(work.connection, entry)?;
    Ok(version)
}
