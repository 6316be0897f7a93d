//! Appends entries to a trail, and to no trail that is somebody else's.

use std::fmt;
use std::sync::Arc;

use coord_bus::time::Clock;
use coord_bus::{AppendTo, EventLog, EventLogError, ExpectedVersion, Record};

use super::redact::Redaction;
use super::{AuditConfig, AuditEntry, AuditError, AuditFacts, AuditFault, AuditHead};

/// The kind of the records of a trail.
const KIND: &str = "audit";

/// Appends entries to a trail: what an [`AuditTrail`](super::AuditTrail) writes with, for who
/// wants to know at once that an entry is kept.
pub struct AuditWriter {
    log: Arc<dyn EventLog>,
    trail: String,
    redaction: Redaction,
    clock: Arc<dyn Clock>,
    head: AuditHead,
    /// Sealed, and not known to be in the log; with the head that they lead to.
    sealed: Vec<Record>,
    next: AuditHead,
}

impl AuditWriter {
    /// Goes on with the trail that the configuration names, or begins it.
    ///
    /// # Errors
    ///
    /// [`AuditError::Log`], or [`AuditError::Tampered`] if the last entry is not whole: a trail
    /// that was damaged is not written on.
    pub async fn open(
        log: Arc<dyn EventLog>,
        config: &AuditConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuditError> {
        let trail = config.stream.clone();
        let head = end_of(&*log, &trail).await?;
        Ok(Self {
            log,
            trail,
            redaction: Redaction::new(&config.redact),
            clock,
            next: head.clone(),
            head,
            sealed: Vec::new(),
        })
    }

    /// How far the trail goes.
    pub fn head(&self) -> &AuditHead {
        &self.head
    }

    /// Appends entries, all or none, and returns when they survive what the log can survive at
    /// most. What an earlier call has left is appended first; if that fails, these are not taken.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the entries are appended by the next [`flush`](Self::flush) or
    /// `append`, if they were taken, and once.
    ///
    /// # Errors
    ///
    /// [`AuditError::OtherWriter`], or [`AuditError::Log`]: they wait for `flush` then.
    pub async fn append(
        &mut self,
        facts: impl IntoIterator<Item = AuditFacts>,
    ) -> Result<&AuditHead, AuditError> {
        self.flush().await?;
        for mut facts in facts {
            self.redaction.apply(&mut facts);
            let now = self.clock.now();
            let (line, head) = AuditEntry::seal(facts, &self.trail, &self.next, now);
            self.sealed.push(Record::new(KIND, line));
            self.next = head;
        }
        self.flush().await?;
        Ok(&self.head)
    }

    /// Appends what earlier calls have left, if they have.
    ///
    /// # Cancel safety
    ///
    /// As [`append`](Self::append).
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn flush(&mut self) -> Result<(), AuditError> {
        if self.sealed.is_empty() {
            return Ok(());
        }
        let append = AppendTo::stream(&self.trail)
            .expecting(ExpectedVersion::Exactly(self.head.entries))
            .records(self.sealed.iter().cloned());
        match self.log.append(append).await {
            Ok(_) => {}
            // Perhaps by an append of ours of which nobody could say whether it had happened.
            Err(EventLogError::WrongVersion { .. }) if self.is_there().await? => {}
            Err(EventLogError::WrongVersion { actual, .. }) => {
                return Err(AuditError::OtherWriter {
                    trail: self.trail.clone(),
                    expected: self.head.entries,
                    actual,
                });
            }
            Err(source) => return Err(AuditError::log(&self.trail, source)),
        }
        self.sealed.clear();
        self.head = self.next.clone();
        Ok(())
    }

    /// Whether what was sealed is in the log, at its place, and the last there.
    async fn is_there(&self) -> Result<bool, AuditError> {
        let (from, limit) = (self.head.entries + 1, self.sealed.len() + 1);
        let read = self.log.read(&self.trail, from, limit).await;
        let there = read.map_err(|source| AuditError::log(&self.trail, source))?;
        Ok(there
            .iter()
            .map(|stored| &stored.record)
            .eq(self.sealed.iter()))
    }
}

impl fmt::Debug for AuditWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AuditWriter")
            .field("trail", &self.trail)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// Where a trail ends, if its last entry is whole.
async fn end_of(log: &dyn EventLog, trail: &str) -> Result<AuditHead, AuditError> {
    // Nothing is appended, and only compared: the answer has the version.
    let ask = AppendTo::stream(trail).expecting(ExpectedVersion::Exactly(u64::MAX));
    let version = match log.append(ask).await {
        Err(EventLogError::WrongVersion { actual, .. }) => actual,
        Err(source) => return Err(AuditError::log(trail, source)),
        Ok(appended) => appended.version,
    };
    if version == 0 {
        return Ok(AuditHead::default());
    }
    let read = log.read(trail, version, 1).await;
    let last = read.map_err(|source| AuditError::log(trail, source))?;
    let entry = last
        .first()
        .and_then(|stored| AuditEntry::unseal(&stored.record.payload))
        .filter(|entry| entry.number == version && entry.trail == trail);
    match entry {
        Some(entry) => Ok(AuditHead {
            entries: version,
            head: entry.hash,
        }),
        None => Err(AuditFault::Altered { number: version }.into()),
    }
}
