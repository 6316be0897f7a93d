//! The one thread of a process that writes: whatever waits becomes one transaction, with one sync.
//! Where a program asks for that, an append for which all else waits is committed where it is made.

pub(crate) mod append;
mod committer;
pub(crate) mod lease;
mod room;
pub(crate) mod tidy;

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use coord_bus::{Durability, HeldTime, Timestamp, hold_time};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::files::Connected;
use crate::heads::Heads;
use crate::lease_clock::LeaseClock;
use crate::presence::Presence;
use crate::records::Added;
use crate::store::{Outcome, Store};
use crate::streams::{self, Entry};
use crate::{Damage, JournalError, JournalOptions, position};
use committer::Committer;
pub(crate) use committer::Course;

/// The most commands in one transaction. With more than this many waiting, a sync costs each of
/// them next to nothing.
const BATCH_MAX: usize = 1_024;

/// How often the writer lets others run before it syncs for fewer than the last time: some
/// microseconds, where a sync takes a hundred at least.
const YIELDS_MAX: usize = 20;

/// Something to be written.
pub(crate) trait Command: Send + 'static {
    /// What its writer is told, once it is done and the transaction is committed.
    type Answer: Send + 'static;

    /// What it has to survive then; [`Durability::Memory`] where there is nothing to keep.
    fn durability(&self) -> Durability;

    /// Whether it is short, and may be done on the thread that asks, as nothing else could be done there.
    fn is_alone(&self) -> bool {
        false
    }

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
    pub(crate) added: Added,
    /// The streams that have new records.
    pub(crate) touched: Vec<String>,
}

impl Work<'_> {
    /// Writes what waits to be written with more: at the end, and before a command looks at streams otherwise
    /// than through their heads.
    fn settle(&mut self) -> Outcome<()> {
        self.added.write(self.connection)?;
        self.heads.write(self.connection)
    }

    /// Removes a stream, where all has been settled.
    fn remove(&mut self, entry: &Entry) -> Outcome<()> {
        self.heads.forget(&entry.name);
        position::removing(self.connection, || streams::remove(self.connection, entry))
    }
}

/// A command, with whoever waits for its answer.
trait Job: Send {
    fn durability(&self) -> Durability;
    fn run(&mut self, work: &mut Work<'_>) -> Outcome<()>;
    /// Then it is not run again: what it was to write may have gone to its transaction.
    fn was_run(&self) -> bool;
    fn answer(self: Box<Self>, committed: Result<(), JournalError>);
}

struct Request<C: Command> {
    command: C,
    answer: Option<C::Answer>,
    reply: oneshot::Sender<Result<C::Answer, JournalError>>,
    /// Until it has been answered.
    time: Option<HeldTime>,
}

impl<C: Command> Job for Request<C> {
    fn durability(&self) -> Durability {
        self.command.durability()
    }

    fn run(&mut self, work: &mut Work<'_>) -> Outcome<()> {
        self.answer = Some(self.command.run(work)?);
        Ok(())
    }

    fn was_run(&self) -> bool {
        self.answer.is_some()
    }

    fn answer(mut self: Box<Self>, committed: Result<(), JournalError>) {
        let answer = committed.map(|()| self.answer.take().expect("it ran before the commit"));
        // Who gave up waiting learns it from the journal.
        let _ = self.reply.send(answer);
        drop(self.time);
    }
}

/// The thread, and the queue before it. Dropped, it does what it has accepted, and ends.
pub(crate) struct Writer {
    /// `None` while it is being dropped.
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    seat: Arc<Seat>,
    store: Arc<Store>,
    in_place: bool,
}

/// Who commits sits here: the thread, or for a moment whoever asks.
struct Seat {
    committer: Mutex<Committer>,
    /// How many writes are in the queue, or with the thread.
    queued: AtomicUsize,
}

impl Writer {
    pub(crate) fn start(
        store: Arc<Store>,
        connection: Connected,
        course: Course,
        options: &JournalOptions,
        damage: Option<Damage>,
    ) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(options.queue);
        let committer = Committer::new(Arc::clone(&store), connection, course, damage);
        let seat = Arc::new(Seat {
            committer: Mutex::new(committer),
            queued: AtomicUsize::new(0),
        });
        let of_thread = Arc::clone(&seat);
        let thread = std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || of_thread.run(waiting))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            seat,
            store,
            in_place: options.in_place,
        })
    }

    /// Has something written. Waits while the queue is full.
    ///
    /// Dropped before it is done, it has been written or it has not.
    pub(crate) async fn submit<C: Command>(&self, command: C) -> Result<C::Answer, JournalError> {
        let (reply, answer) = oneshot::channel();
        let is_alone = command.is_alone();
        let mut job: Box<dyn Job> = Box::new(Request {
            command,
            answer: None,
            reply,
            time: hold_time(),
        });
        let jobs = self.jobs.as_ref().ok_or_else(|| self.store.closed())?;
        if self.in_place && is_alone {
            match self.seat.commit_one(job) {
                None => return answer.await.map_err(|_| self.store.closed())?,
                Some(refused) => job = refused,
            }
        }
        let place = jobs.reserve().await.map_err(|_| self.store.closed())?;
        self.seat.queued.fetch_add(1, Ordering::Relaxed);
        place.send(job);
        answer.await.map_err(|_| self.store.closed())?
    }
}

impl Seat {
    /// The thread, until there is nobody who could ask for anything.
    fn run(&self, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::new();
        while waiting.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            // A panic of who sat here has left something half done, so that is the end of it.
            let Ok(mut committer) = self.committer.lock() else {
                return;
            };
            let (enough, mut yields) = (committer.last(), 0..YIELDS_MAX);
            let committed = committer.commit(&mut batch, |batch| {
                gather(batch, enough, &mut yields, &mut waiting);
            });
            let others = self.queued.load(Ordering::Relaxed);
            committer.saw(others.saturating_sub(batch.len()));
            drop(committer);
            for job in batch.drain(..) {
                // First, so that who is answered may write the next one in place.
                self.queued.fetch_sub(1, Ordering::Relaxed);
                job.answer(committed.clone());
            }
        }
    }

    /// Commits a write on this thread and answers it, or gives it back: others write, or it might take
    /// long. Where others are in the queue it is theirs first, so writes keep their order.
    fn commit_one(&self, job: Box<dyn Job>) -> Option<Box<dyn Job>> {
        let is_first = self.queued.load(Ordering::Relaxed) == 0;
        let seat = is_first.then(|| self.committer.try_lock().ok()).flatten();
        let Some(mut committer) = seat.filter(|committer| committer.is_for_one()) else {
            return Some(job);
        };
        let mut batch = vec![job];
        let committed = committer.commit_at_once(&mut batch);
        // They go together from here on, if they go on.
        committer.saw(self.queued.load(Ordering::Relaxed));
        drop(committer);
        let job = batch.pop()?;
        if let Err(JournalError::Busy { .. }) = committed
            && !job.was_run()
        {
            return Some(job);
        }
        job.answer(committed);
        None
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

/// Takes up who has come meanwhile, as far as they were as many the last time. Waits a moment for those who were
/// answered just now and may come again: otherwise they would wait for this sync, and then for their own.
fn gather(
    batch: &mut Vec<Box<dyn Job>>,
    enough: usize,
    yields: &mut Range<usize>,
    waiting: &mut mpsc::Receiver<Box<dyn Job>>,
) {
    let before = batch.len();
    while batch.len() < enough.min(BATCH_MAX) {
        match waiting.try_recv() {
            Ok(job) => batch.push(job),
            Err(_) if batch.len() > before || yields.next().is_none() => return,
            Err(_) => std::thread::yield_now(),
        }
    }
}
