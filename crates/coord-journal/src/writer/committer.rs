//! What commits: a transaction for each batch of writes, with one sync.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::Durability;
use coord_bus::time::{Clock, Instant};
use rusqlite::TransactionBehavior;

use super::room::Room;
use super::{Job, Work};
use crate::files::{Connected, Log};
use crate::heads::Heads;
use crate::lease_clock::LeaseClock;
use crate::presence::Presence;
use crate::records::Added;
use crate::store::{Fault, Outcome, Store};
use crate::synced::{self, Synced};
use crate::tails::Tails;
use crate::{Damage, JournalError, position};

/// How SQLite is told to sync its log at each commit.
const SYNCED: &str = "FULL";

/// A commit that takes less than this holds up nobody on a runtime's thread for longer than any other
/// work there may.
const QUICK: Duration = Duration::from_millis(1);

/// What it works with besides the store.
pub(crate) struct Course {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lease_clock: Arc<LeaseClock>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) tails: Arc<Tails>,
    /// The most that is given, whatever is asked for.
    pub(crate) durability: Durability,
}

pub(super) struct Committer {
    store: Arc<Store>,
    connection: Connected,
    course: Course,
    heads: Heads,
    /// In the write-ahead log, for what has to be on the disk.
    room: Room,
    /// How far that log is on the disk, once something has to be there.
    synced: Option<Synced>,
    /// As it is set, if it has been.
    synchronous: Option<&'static str>,
    /// The first failure, after which nothing is written.
    stopped: Option<Arc<JournalError>>,
    /// How many writes the last commit had, and how many had come by its end.
    last: usize,
    /// Whether the last commit was quick, of those that made no room.
    is_quick: bool,
    /// Whether the last commit made room.
    made_room: bool,
}

impl Committer {
    /// Nothing more is written where there is damage.
    pub(super) fn new(
        store: Arc<Store>,
        connection: Connected,
        course: Course,
        damage: Option<Damage>,
    ) -> Self {
        Self {
            room: Room::beside(&store.file),
            synced: None,
            stopped: damage.map(|damage| Arc::new(store.error(damage.into()))),
            store,
            connection,
            course,
            heads: Heads::default(),
            synchronous: None,
            last: 0,
            is_quick: false,
            made_room: false,
        }
    }

    /// How many writes the last commit had, and how many had come by its end.
    pub(super) fn last(&self) -> usize {
        self.last
    }

    /// More writes have come while the last commit went on.
    pub(super) fn saw(&mut self, more: usize) {
        self.last += more;
    }

    /// Whether a commit by itself may be made where it is asked for: the last one was quick, and nobody
    /// came who could have had a part in it; and the log is not to be copied into the file.
    pub(super) fn is_for_one(&self) -> bool {
        let is_full = |synced: &Synced| synced.is_full();
        self.is_quick && self.last <= 1 && !self.synced.as_ref().is_none_or(is_full)
    }

    /// As [`commit`](Self::commit), but waits for no other process, and leaves the log as long as it is.
    pub(super) fn commit_at_once(
        &mut self,
        batch: &mut Vec<Box<dyn Job>>,
    ) -> Result<(), JournalError> {
        let waits = |committer: &Self, time| {
            let set = committer.connection.busy_timeout(time);
            set.map_err(|error| committer.store.error(error.into()))
        };
        waits(self, Duration::ZERO)?;
        let committed = synced::without_checkpoint(|| self.commit(batch, |_| {}));
        waits(self, self.store.busy_timeout)?;
        committed
    }

    /// Commits a batch, and of those who come meanwhile whom `gather` adds, as long as it adds some.
    pub(super) fn commit(
        &mut self,
        batch: &mut Vec<Box<dyn Job>>,
        gather: impl FnMut(&mut Vec<Box<dyn Job>>),
    ) -> Result<(), JournalError> {
        let begin = Instant::now();
        let committed = self.try_commit(batch, gather);
        self.last = batch.len();
        // One in twenty makes room where the log grows, and says nothing of the next.
        if committed.is_err() || !self.made_room {
            self.is_quick = committed.is_ok() && begin.elapsed() < QUICK;
        }
        committed
    }

    fn try_commit(
        &mut self,
        batch: &mut Vec<Box<dyn Job>>,
        gather: impl FnMut(&mut Vec<Box<dyn Job>>),
    ) -> Result<(), JournalError> {
        if let Some(source) = &self.stopped {
            return Err(JournalError::Stopped {
                file: self.store.file.clone(),
                source: Arc::clone(source),
            });
        }
        match self.transact(batch, gather) {
            Ok(touched) => {
                self.course.tails.notify(&touched);
                Ok(())
            }
            Err(fault) => {
                self.heads.clear();
                let error = self.store.error(fault);
                // Nothing was written where another process did not let us begin. After anything
                // else nobody knows what the disk has, and the next sync might say that all is
                // well: so nothing more is promised.
                if !matches!(error, JournalError::Busy { .. }) {
                    self.stopped = Some(Arc::new(error.clone()));
                }
                Err(error)
            }
        }
    }

    /// Runs the commands in one transaction, and commits it. The streams that have new records.
    fn transact(
        &mut self,
        batch: &mut Vec<Box<dyn Job>>,
        mut gather: impl FnMut(&mut Vec<Box<dyn Job>>),
    ) -> Outcome<Vec<String>> {
        let asked = batch.iter().map(|job| job.durability()).max();
        self.synchronize(asked.unwrap_or(Durability::Memory))?;
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        self.heads.keep_if_unchanged(&transaction)?;
        match self.store.files.look() {
            Log::InUse => {}
            // Where it cannot be, the log that is about to begin would be taken for damaged.
            Log::Empty => synced::forget(&self.store.file).map_err(Fault::Note)?,
            Log::Removed => return Err(Fault::Removed),
        }
        let is_synced = self.synchronous == Some(SYNCED);
        let mut round = None;
        self.made_room = false;
        if is_synced {
            self.made_room = self.room.make();
            let synced = match &mut self.synced {
                Some(synced) => synced,
                none => none.insert(Synced::of(&self.store.file, &transaction)?),
            };
            round = synced.round();
        }
        let mut work = Work {
            connection: &transaction,
            heads: &mut self.heads,
            now: self.course.clock.now(),
            lease_clock: &self.course.lease_clock,
            presence: &self.course.presence,
            added: Added::default(),
            touched: Vec::new(),
        };
        let mut done = 0;
        while done < batch.len() {
            for job in &mut batch[done..] {
                job.run(&mut work)?;
            }
            done = batch.len();
            // Only where they share a sync.
            if is_synced {
                gather(batch);
            }
        }
        work.settle()?;
        let touched = work.touched;
        // Where it cannot be said because of damage, that is for who reads.
        let position = is_synced.then(|| position::of(&transaction).ok()).flatten();
        transaction.commit()?;
        if let Some(synced) = &mut self.synced {
            synced.committed(is_synced, round, position);
        }
        Ok(touched)
    }

    /// Has the next commit sync the write-ahead log, or not. A sync covers all that was committed
    /// before, too, by whichever process: it is the same file.
    fn synchronize(&mut self, asked: Durability) -> Outcome<()> {
        let wanted = match asked.min(self.course.durability) {
            Durability::Disk => SYNCED,
            _ => "NORMAL",
        };
        if self.synchronous != Some(wanted) {
            self.connection.pragma_update(None, "synchronous", wanted)?;
            self.synchronous = Some(wanted);
        }
        Ok(())
    }
}
