//! Which closed streams are kept, and what became of the space of the others.

use std::time::Duration;

use coord_bus::Timestamp;
use rusqlite::Connection;

use crate::moment;
use crate::store::Outcome;
use crate::streams::{self, Closing, Entry};

/// The most records that go in one transaction, so that appends do not wait for long. A stream goes
/// as a whole, so it may be more.
const RECORDS_MAX: u64 = 2_000;

/// How many closed streams are looked at in one go: those that are needed are passed by.
const LOOKED_AT_MAX: usize = 2_000;

/// How many streams are asked at most, each of which needs the one before: those that need each other in a ring
/// are needed by nothing else.
const NEEDERS_MAX: usize = 1_000;

/// Which closed streams [`Journal::retain`](crate::Journal::retain) keeps: those that satisfy every
/// condition given. Open streams are always kept.
///
/// A stream that another one [needs](coord_bus::AppendTo::needed_by) goes with that one: it is kept as long as that
/// one is, and does not count among the newest. So a run within a run is kept with the run around it, and a thousand of
/// them push nothing else out.
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

/// Before any stream was closed.
const BEGINNING: Closing = (i64::MIN, i64::MIN);

/// A search for what a retention does not keep, from the stream on that was closed first. It only reads, so nobody
/// who writes waits for it.
pub(crate) struct Search {
    prefix: String,
    /// What was closed after this, …
    after: Closing,
    /// … and before this, is not kept.
    until: Closing,
    /// Whether all of it has been found.
    pub(crate) is_over: bool,
}

impl Search {
    pub(crate) fn begin(
        connection: &Connection,
        retention: Retention,
        now: Timestamp,
    ) -> Outcome<Self> {
        let Retention {
            prefix,
            keep_for,
            keep_newest,
        } = retention;
        let old = keep_for.map(|keep_for| {
            let kept_since = now.saturating_sub(keep_for).ok();
            (kept_since.map_or(i64::MIN, moment::to_micros), i64::MIN)
        });
        let beyond = match keep_newest {
            Some(newest) => streams::closed_before(connection, &prefix, newest)?,
            None => None,
        };
        // Many others may have been closed before the first of them: those are not gone along. Where only old ones go,
        // there is nothing to be won: all of them may be many, too.
        let first = match beyond {
            Some(_) if !prefix.is_empty() => streams::closed_first(connection, &prefix)?,
            _ => None,
        };
        let beyond = beyond.map(|last| (last.at, last.number + 1));
        let until = old.max(beyond);
        Ok(Self {
            prefix,
            after: first.map_or(BEGINNING, |first| (first.at, first.number - 1)),
            until: until.unwrap_or(BEGINNING),
            is_over: until.is_none(),
        })
    }

    /// Some more of what is not kept and that nothing needs, for one transaction.
    pub(crate) fn next(&mut self, connection: &Connection) -> Outcome<Vec<Entry>> {
        let (mut found, mut records, mut looked_at) = (Vec::new(), 0, 0);
        let between = (self.after, self.until);
        self.is_over = streams::closed_between(connection, &self.prefix, between, |entry| {
            self.after = (entry.at, entry.number);
            looked_at += 1;
            if !is_needed(connection, &entry, &self.prefix, self.until)? {
                records += entry.version;
                found.push(entry);
            }
            Ok(records < RECORDS_MAX && looked_at < LOOKED_AT_MAX)
        })?;
        Ok(found)
    }
}

/// Whether a stream is kept for another: that is there, and does not go itself.
fn is_needed(
    connection: &Connection,
    entry: &Entry,
    prefix: &str,
    until: Closing,
) -> Outcome<bool> {
    let mut by = streams::needer(connection, entry)?;
    for _ in 0..NEEDERS_MAX {
        let Some(needer) = by else {
            return Ok(false);
        };
        let goes = needer.is_closed
            && (needer.at, needer.number) < until
            && needer.name.starts_with(prefix);
        if !goes {
            return Ok(true);
        }
        by = streams::needer(connection, &needer)?;
    }
    Ok(false)
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
