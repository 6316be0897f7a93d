//! Which closed streams are kept.

use std::time::Duration;

/// Which closed streams [`Journal::retain`](crate::Journal::retain) keeps: those that satisfy every
/// condition given. Open streams are always kept.
///
/// ```
/// use std::time::Duration;
/// use coord_journal::Retention;
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// // What was finished in the last month, and of that the newest thousand.
/// let retention = Retention::all().keep_for(30 * DAY).keep_newest(1_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    pub(crate) keep_for: Option<Duration>,
    pub(crate) keep_newest: Option<u64>,
}

impl Retention {
    /// All of them.
    pub fn all() -> Self {
        Self::default()
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
