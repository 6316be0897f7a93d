//! What can go wrong with an audit trail, and what can be wrong with one.

use std::io;

use coord_bus::EventLogError;

/// An audit trail was not written, read or found whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// It is not what was written.
    // No source of it, as it is said already.
    #[error("the audit trail was tampered with: {0}")]
    Tampered(AuditFault),
    /// Somebody else has appended to its stream.
    #[error(
        "audit trail `{trail}` has another writer: it is at entry {actual}, and was left at \
         {expected}; give each writer a stream of its own"
    )]
    OtherWriter {
        /// The trail.
        trail: String,
        /// The entry at which it was left.
        expected: u64,
        /// The version that the stream has.
        actual: u64,
    },
    /// The log did not do what it was asked for.
    #[error("audit trail `{trail}` could not be written or read")]
    Log {
        /// The trail.
        trail: String,
        /// Why.
        source: EventLogError,
    },
    /// The lines could not be read or written.
    #[error("the lines of the audit trail could not be read or written")]
    Lines(#[from] io::Error),
}

/// What is wrong with a trail: the first thing that is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditFault {
    /// The entry in this place is not what was hashed, or is none.
    #[error("entry {number} was altered")]
    Altered {
        /// Its number.
        number: u64,
    },
    /// The entry is whole, and the next one, or a head that was kept, follows on another.
    #[error("entry {number} was rewritten: what follows on it knows another")]
    Rewritten {
        /// Its number.
        number: u64,
    },
    /// The entry is not there.
    #[error("entry {number} is missing")]
    Missing {
        /// Its number.
        number: u64,
    },
    /// The entry is there, and not in its place.
    #[error("entry {number} is out of order: it is in place {place}")]
    OutOfOrder {
        /// Its number.
        number: u64,
        /// Where it is, from 1.
        place: u64,
    },
    /// The entry is there twice.
    #[error("entry {number} is there a second time, in place {place}")]
    Repeated {
        /// Its number.
        number: u64,
        /// Where it is the second time, from 1.
        place: u64,
    },
    /// The entry is of another trail.
    #[error("entry {number} is of another trail, `{trail}`")]
    Foreign {
        /// Its place.
        number: u64,
        /// The trail.
        trail: String,
    },
    /// The lines end without saying that they do.
    #[error(
        "the end is missing: there is nothing after entry {entries}, not the closing line either"
    )]
    Cut {
        /// How many entries there are.
        entries: u64,
    },
    /// Something follows after the closing line.
    #[error("something was added after the closing line, which comes after entry {entries}")]
    Added {
        /// How many entries there are before it.
        entries: u64,
    },
}

impl From<AuditFault> for AuditError {
    fn from(fault: AuditFault) -> Self {
        Self::Tampered(fault)
    }
}

impl AuditError {
    pub(super) fn log(trail: &str, source: EventLogError) -> Self {
        Self::Log {
            trail: trail.to_owned(),
            source,
        }
    }

    /// Whether another attempt may succeed: the log failed, or is busy, or full.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Log {
                source: EventLogError::Failed { .. }
                    | EventLogError::Busy { .. }
                    | EventLogError::Full { .. },
                ..
            }
        )
    }
}
