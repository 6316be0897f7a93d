//! The thread that sees what other processes append, while somebody follows a stream.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::TAIL_INTERVAL;
use crate::files::Connected;
use crate::store::{Fault, Outcome, Store};
use crate::streams;
use crate::tails::Tails;

/// The thread. It begins with the first tail, rests while there is none, and ends when this is
/// dropped.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    store: Arc<Store>,
    tails: Arc<Tails>,
    is_over: Mutex<bool>,
    /// Somebody follows, or it is over.
    changed: Condvar,
}

impl Watch {
    pub(crate) fn new(store: Arc<Store>, tails: Arc<Tails>) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                tails,
                is_over: Mutex::default(),
                changed: Condvar::new(),
            }),
            thread: Mutex::default(),
        }
    }

    /// There is a tail.
    pub(crate) fn rouse(&self) -> io::Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let watch = thread::Builder::new().name("journal-watch".to_owned());
            *thread = Some(watch.spawn(move || shared.run())?);
        }
        // Under the lock, so that who is about to rest has not missed it.
        let _guard = self.shared.lock();
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        *self.shared.lock() = true;
        self.shared.changed.notify_one();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut look = Look::default();
        while self.rest() {
            // What cannot be read now is read at the next look, and told by the tails themselves.
            if look.look(&self.store, &self.tails).is_err() {
                look = Look::default();
            }
        }
    }

    /// Waits for the next look: an interval, or until somebody follows. Not when it is over.
    fn rest(&self) -> bool {
        let mut is_over = self.lock();
        while !*is_over && self.tails.is_empty() {
            let waited = self.changed.wait(is_over);
            is_over = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if !*is_over {
            let waited = self.changed.wait_timeout(is_over, TAIL_INTERVAL);
            is_over = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        !*is_over
    }
}

/// What was seen at the last look.
#[derive(Default)]
struct Look {
    connection: Option<Connected>,
    /// Changes when another connection has committed.
    data_version: Option<i64>,
}

impl Look {
    fn look(&mut self, store: &Store, tails: &Tails) -> Outcome<()> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => store.connect_to_read()?,
        };
        let connection = &*self.connection.insert(connection);
        let seen = connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if self.data_version == Some(seen) {
            return Ok(());
        }
        let mut behind = Vec::new();
        for (key, stream, next) in tails.waiting() {
            let found = match streams::find(connection, &stream) {
                // Whoever reads the stream is told, and the others are not held up.
                Err(Fault::Damage(_)) => true,
                found => found?.is_some_and(|entry| entry.version >= next),
            };
            if found {
                behind.push(key);
            }
        }
        tails.notify_keys(&behind);
        self.data_version = Some(seen);
        Ok(())
    }
}
