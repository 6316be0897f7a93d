//! Appending to a stream.

use coord_bus::{AppendTo, Appended, Durability, EventLogError};

use super::{Command, Work};
use crate::leases::{self, Admitted};
use crate::store::Outcome;
use crate::streams::{self, Entry};
use crate::{chain, moment, records};

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
        let found = work.heads.take(work.connection, &append.stream)?;
        let replaces = append.replaces && !append.records.is_empty();
        let (replaced, entry) = match found {
            Some(entry) if replaces && entry.is_closed => (Some(entry), None),
            entry => (None, entry),
        };
        let actual = entry.as_ref().map_or(0, |entry| entry.version);
        let needed_by = replaced
            .as_ref()
            .map(|entry| streams::needed_by(work.connection, entry))
            .transpose()?
            .flatten();
        let answer = match append.expected.allows(actual) {
            false => Some(Err(EventLogError::WrongVersion {
                stream: append.stream.clone(),
                expected: append.expected,
                actual,
            })),
            true if append.records.is_empty() => Some(Ok(Appended::at(actual))),
            true => needed_by.map(|by| {
                let stream = append.stream.clone();
                Err(EventLogError::StillNeeded { stream, by })
            }),
        };
        if let Some(answer) = answer {
            let found = entry.or(replaced);
            found.into_iter().for_each(|entry| work.heads.put(entry));
            return Ok(answer);
        }
        if let Some(grant) = newer {
            let now = work.lease_now()?;
            if let Err(full) = leases::remember(work.connection, grant, now, work.presence)? {
                return Ok(Err(EventLogError::Failed {
                    source: Box::new(full),
                }));
            }
        }
        if let Some(replaced) = replaced {
            streams::remove(work.connection, &replaced)?;
        }
        let version = write(work, append, entry)?;
        work.touched.push(append.stream.clone());
        Ok(Ok(Appended::at(version)))
    }
}

/// Adds the records, and moves the stream's entry on. The version then.
fn write(work: &mut Work<'_>, append: &AppendTo, entry: Option<Entry>) -> Outcome<u64> {
    let at = moment::to_micros(work.now);
    let was_closed = entry.as_ref().map(|entry| entry.is_closed);
    let mut entry = match entry {
        Some(entry) => entry,
        None => Entry {
            number: streams::next_number(work.connection)?,
            name: append.stream.clone(),
            version: 0,
            at,
            head: chain::BEGINNING,
            is_closed: false,
            needed_by: append.needed_by.clone(),
        },
    };
    entry.is_closed = append.closes;
    records::add(work.connection, &mut entry, &append.records, at)?;
    match was_closed {
        None => streams::insert(work.connection, &entry)?,
        Some(before) if before == entry.is_closed => streams::advance(work.connection, &entry)?,
        Some(_) => streams::advance_and_turn(work.connection, &entry)?,
    }
    let version = entry.version;
    work.heads.put(entry);
    Ok(version)
}
