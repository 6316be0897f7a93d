//! What is to be appended, under which conditions, and what came of it.

use std::fmt;

use super::{Durability, Record};
use crate::Grant;

/// Records for the end of one stream, and the conditions under which they are appended.
///
/// ```
/// use coord_bus::{AppendTo, Durability, ExpectedVersion, Grant, Record};
///
/// # let grant = Grant { name: "worker-1".into(), holder: "me".into(), token: 7 };
/// let finished = AppendTo::stream("run-1")
///     .expecting(ExpectedVersion::Exactly(3)) // or somebody else has decided meanwhile
///     .fenced_by(&grant) // or somebody else drives this run now
///     .record(Record::new("finished", "{}"))
///     .closing(); // the run is over
/// assert_eq!(finished.durability, Durability::Disk);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppendTo {
    /// The name of the stream.
    pub stream: String,
    /// Where the stream has to be; anywhere by default.
    pub expected: ExpectedVersion,
    /// The records, in their order; none by default.
    pub records: Vec<Record>,
    /// Whether the stream is finished by the last of the records; `false` by default, which opens
    /// a closed stream again.
    pub closes: bool,
    /// Whose right it is to append; nobody's by default.
    pub fence: Option<Grant>,
    /// What the append has to survive once it has returned; [`Durability::Disk`] by default. A log
    /// that gives less, as its [`durability`](super::EventLog::durability) says, gives that.
    pub durability: Durability,
    /// Whether all that its program could do waits for it; `false` by default.
    pub alone: bool,
    /// The stream that needs this one; none by default.
    pub needed_by: Option<String>,
    /// Whether a closed stream of this name is forgotten first; `false` by default.
    pub replaces: bool,
}

impl AppendTo {
    /// Nothing yet, to this stream wherever it is.
    pub fn stream(name: impl Into<String>) -> Self {
        Self {
            stream: name.into(),
            expected: ExpectedVersion::Any,
            records: Vec::new(),
            closes: false,
            fence: None,
            durability: Durability::Disk,
            alone: false,
            needed_by: None,
            replaces: false,
        }
    }

    /// Only if the stream is there.
    pub fn expecting(mut self, expected: ExpectedVersion) -> Self {
        self.expected = expected;
        self
    }

    /// One more record.
    pub fn record(mut self, record: Record) -> Self {
        self.records.push(record);
        self
    }

    /// More records.
    pub fn records(mut self, records: impl IntoIterator<Item = Record>) -> Self {
        self.records.extend(records);
        self
    }

    /// The last of the records finishes the stream.
    pub fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Only if the log knows of no later grant of this lease.
    pub fn fenced_by(mut self, grant: &Grant) -> Self {
        self.fence = Some(grant.clone());
        self
    }

    /// All that its program could do waits for it, as far as is known here: so a log may do it on the thread that asks,
    /// where that is quicker, as nothing is held up.
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Another stream needs this one for as long as that is open: until then this one is not
    /// [forgotten](super::EventLog::forget), though it is closed. Said as the stream begins; later appends
    /// change nothing of it. The other one need not be there: then nobody needs this one, nor does one that takes its
    /// name later.
    pub fn needed_by(mut self, stream: impl Into<String>) -> Self {
        self.needed_by = Some(stream.into());
        self
    }

    /// In place of a closed stream of this name, if there is one: that is [forgotten](super::EventLog::forget), and
    /// this one begins, or neither happens. An open one is as without this.
    pub fn replacing(mut self) -> Self {
        self.replaces = true;
        self
    }

    /// To survive this.
    pub fn durably(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
}

/// Where an append expects a stream to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// Wherever it is.
    Any,
    /// Not begun.
    Empty,
    /// Where this record is the last. `Exactly(0)` means the same as `Empty`.
    Exactly(u64),
}

impl ExpectedVersion {
    /// Whether a stream at this version is where it is expected.
    pub fn allows(self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Empty => version == 0,
            Self::Exactly(expected) => version == expected,
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("any version"),
            Self::Empty => formatter.write_str("no record yet"),
            Self::Exactly(version) => write!(formatter, "version {version}"),
        }
    }
}

/// An append succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// The stream's version now: the number of the last record appended.
    pub version: u64,
}

impl Appended {
    /// The stream is now at this version: for who writes a log.
    pub const fn at(version: u64) -> Self {
        Self { version }
    }
}
