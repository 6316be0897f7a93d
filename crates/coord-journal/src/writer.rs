//! The one thread of a process that writes: whatever waits becomes one transaction, with one sync.

pub(crate) mod append;
pub(crate) mod lease;
mod room;
pub(crate) mod tidy;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use coord_bus::{Durability, Timestamp};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::heads::Heads;
use crate::lease_clock::LeaseClock;
use crate::presence::Presence;
use crate::store::{Outcome, Store};
use crate::synced::Synced;
use crate::tails::Tails;
use crate::{Damage, JournalError};
use room::Room;

/// The most commands in one transaction. With more than this many waiting, a sync costs each of
/// them next to nothing.
const BATCH_MAX: usize = 1_024;

/// How SQLite is told to sync its log at each commit.
const SYNCED: &str = "FULL";

/// How often the writer lets others run before it syncs for fewer than the last time: some
/// microseconds, where a sync takes a hundred at least.
const YIELDS_MAX: usize = 20;

/// Something to be written.
pub(crate) trait Command: Send + 'static {
    /// What its writer is told, once it is done and the transaction is committed.
    type Answer: Send + 'static;

    /// What it has to survive then; [`Durability::Memory`] where there is nothing to keep.
    fn durability(&self) -> Durability;

    /// Does it. A fault undoes the whole transaction, so a refusal is an answer.
    fn run(&mut self, work: &mut Work<'_>) -> Outcome<Self::Answer>;
}

/// A transaction, as its commands see it.
pub(crate) struct Work<'a> {
    pub(crate) connection: &'a Connection,
    /// The time by the journal's clock.
    pub(crate) now: Timestamp,
    pub(crate) lease_clock: &'a LeaseClock,
    pub(crate) presence: &'a Presence,
    /// The entries of streams that were appended to last.
    pub(crate) heads: &'a mut Heads,
    /// The streams that have new records.
    pub(crate) touched: Vec<String>,
}

/// A command, with whoever waits for its answer.
trait Job: Send {
    fn durability(&self) -> Durability;
    fn run(&mut self, work: &mut Work<'_>) -> Outcome<()>;
    fn answer(self: Box<Self>, committed: Result<(), JournalError>);
}

struct Request<C: Command> {
    command: C,
    answer: Option<C::Answer>,
    reply: oneshot::Sender<Result<C::Answer, JournalError>>,
}

impl<C: Command> Job for Request<C> {
    fn durability(&self) -> Durability {
        self.command.durability()
    }

    fn run(&mut self, work: &mut Work<'_>) -> Outcome<()> {
        self.answer = Some(self.command.run(work)?);
        Ok(())
    }

    fn answer(mut self: Box<Self>, committed: Result<(), JournalError>) {
        let answer = committed.map(|()| self.answer.take().expect("it ran before the commit"));
        // Who gave up waiting learns it from the journal.
        let _ = self.reply.send(answer);
    }
}

/// The thread, and the queue before it. Dropped, it does what it has accepted, and ends.
pub(crate) struct Writer {
    /// `None` while it is being dropped.
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    store: Arc<Store>,
}

impl Writer {
    pub(crate) fn start(
        store: Arc<Store>,
        connection: Connection,
        course: Course,
        queue: usize,
        damage: Option<Damage>,
    ) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(queue);
        let stopped = damage.map(|damage| Arc::new(store.error(damage.into())));
        let state = State {
            room: Room::beside(&store.file),
            synced: None,
            store: Arc::clone(&store),
            connection,
            course,
            heads: Heads::default(),
            synchronous: None,
            stopped,
        };
        let thread = std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || state.run(waiting))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            store,
        })
    }

    /// Has something written. Waits while the queue is full.
    ///
    /// Dropped before it is done, it has been written or it has not.
    pub(crate) async fn submit<C: Command>(&self, command: C) -> Result<C::Answer, JournalError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Request {
            command,
            answer: None,
            reply,
        });
        let jobs = self.jobs.as_ref().ok_or_else(|| self.store.closed())?;
        jobs.send(job).await.map_err(|_| self.store.closed())?;
        answer.await.map_err(|_| self.store.closed())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been told by whoever waited for an answer.
            let _ = thread.join();
        }
    }
}

/// What the thread works with besides the store.
pub(crate) struct Course {
    pub(crate) clock: Arc<dyn coord_bus::time::Clock>,
    pub(crate) lease_clock: Arc<LeaseClock>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) tails: Arc<Tails>,
    /// The most that is given, whatever is asked for.
    pub(crate) durability: Durability,
}

struct State {
    store: Arc<Store>,
    connection: Connection,
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
}

impl State {
    fn run(mut self, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
        let (mut batch, mut last) = (Vec::new(), 0);
        while waiting.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            gather(&mut batch, last, &mut waiting);
            last = batch.len();
            let committed = self.commit(&mut batch);
            for job in batch.drain(..) {
                job.answer(committed.clone());
            }
        }
    }

    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), JournalError> {
        if let Some(source) = &self.stopped {
            return Err(JournalError::Stopped {
                file: self.store.file.clone(),
                source: Arc::clone(source),
            });
        }
        match self.transact(batch) {
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
    fn transact(&mut self, batch: &mut [Box<dyn Job>]) -> Outcome<Vec<String>> {
        let asked = batch.iter().map(|job| job.durability()).max();
        self.synchronize(asked.unwrap_or(Durability::Memory))?;
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        self.heads.keep_if_unchanged(&transaction)?;
        let is_synced = self.synchronous == Some(SYNCED);
        let mut round = None;
        if is_synced {
            self.room.make();
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
            touched: Vec::new(),
        };
        for job in batch {
            job.run(&mut work)?;
        }
        let touched = work.touched;
        transaction.commit()?;
        if let (true, Some(synced)) = (is_synced, &mut self.synced) {
            synced.note(round);
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

/// Waits a moment for those who were answered just now and may come again. Otherwise the first of
/// them would begin a transaction, and the others would wait for its sync and then for their own.
fn gather(batch: &mut Vec<Box<dyn Job>>, last: usize, waiting: &mut mpsc::Receiver<Box<dyn Job>>) {
    for _ in 0..YIELDS_MAX {
        let mut jobs = batch.iter();
        let needs_sync = jobs.any(|job| job.durability() == Durability::Disk);
        if !needs_sync || batch.len() >= last.min(BATCH_MAX) {
            return;
        }
        std::thread::yield_now();
        while batch.len() < BATCH_MAX {
            let Ok(job) = waiting.try_recv() else { break };
            batch.push(job);
        }
    }
}
