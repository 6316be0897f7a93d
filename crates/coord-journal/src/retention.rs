//! Which closed streams are kept, and what became of the space of the others.

use std::time::Duration;

/// Which closed streams [`Journal::retain`](crate::Journal::retain) keeps: those that satisfy every
/// condition given. Open streams are always kept, and so are closed ones that an open one
/// [needs](coord_bus::AppendTo::needed_by).
///
/// ```
/// use std::time::Duration;
/// use coord_journal::Retention;
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// // What was finished in the last month, and of that the newest thousand.
/// let retention = Retention::all().keep_for(30 * DAY).keep_newest(1_000);
/// // The newest thousand orders; whatever else is in the journal stays, and does not count.
/// let orders = Retention::of("order.").keep_newest(1_000);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retention {
    pub(crate) prefix: String,
    pub(crate) keep_for: Option<Duration>,
    pub(crate) keep_newest: Option<u64>,
}

impl Retention {
    /// All of them.
    pub fn all() -> Self {
        Self::default()
    }

    /// All of those whose names begin so. Others are neither forgotten nor counted.
    pub fn of(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            ..Self::default()
        }
    }

    /// Only those that were closed at most so long ago, by the journal's clock.
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.keep_for = Some(time);
        self
    }

    /// Only so many of them: those that were closed last.
    pub fn keep_newest(mut self, streams: u64) -> Self {
        self.keep_newest = Some(streams);
        self
    }
}

/// What [`Journal::compact`](crate::Journal::compact) came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// How large the journal was: its file and its write-ahead log.
    pub bytes_before: u64,
    /// How large it is.
    pub bytes_after: u64,
    /// Whether the write-ahead log was emptied. If not, somebody read in it for longer than the busy
    /// timeout, and what is free may not have been given back yet: call it again.
    pub is_whole: bool,
}
