//! The threads of a process that read, each with a connection of its own.

use std::io;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use coord_bus::hold_time;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::JournalError;
use crate::files::Connected;
use crate::store::{Outcome, Store};

/// How many threads read at most: what they do is in memory for the most part, so more than there
/// are processors would not be faster.
const READERS_MAX: usize = 4;

/// How many reads may wait; more wait for a place.
const QUEUE: usize = 256;

type Job = Box<dyn FnOnce(&Store, &mut Option<Connected>) + Send>;

/// The threads, and the queue before them. Dropped, they do what they have accepted, and end.
pub(crate) struct Readers {
    /// `None` while it is being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    store: Arc<Store>,
}

impl Readers {
    pub(crate) fn start(store: Arc<Store>) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        let mut readers = Self {
            jobs: Some(jobs),
            threads: Vec::new(),
            store,
        };
        for _ in 0..count.min(READERS_MAX) {
            let (store, waiting) = (Arc::clone(&readers.store), Arc::clone(&waiting));
            let thread = thread::Builder::new()
                .name("journal-reader".to_owned())
                .spawn(move || run(&store, &waiting))?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Has something read. Waits while the queue is full.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (reply, answer) = oneshot::channel();
        let time = hold_time();
        let job: Job = Box::new(move |store, connection| {
            let outcome = connected(store, connection).and_then(read);
            // Who gave up waiting does not want it.
            let _ = reply.send(outcome.map_err(|fault| store.error(fault)));
            drop(time);
        });
        let jobs = self.jobs.as_ref().ok_or_else(|| self.store.closed())?;
        jobs.send(job).await.map_err(|_| self.store.closed())?;
        answer.await.map_err(|_| self.store.closed())?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic there has been told by whoever waited for an answer.
            let _ = thread.join();
        }
    }
}

fn run(store: &Store, waiting: &Mutex<mpsc::Receiver<Job>>) {
    let mut connection = None;
    loop {
        // One waits for the next job, the others for their turn to wait.
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(job) = waiting.blocking_recv() else {
            return;
        };
        drop(waiting);
        job(store, &mut connection);
    }
}

/// The thread's connection, which its first job opens.
fn connected<'a>(store: &Store, connection: &'a mut Option<Connected>) -> Outcome<&'a Connection> {
    if connection.is_none() {
        *connection = Some(store.connect_to_read()?);
    }
    Ok(connection.as_ref().expect("it was opened just now"))
}
