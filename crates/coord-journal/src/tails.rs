//! Who follows which stream, and how they learn that it has gone on.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use coord_bus::{BoxFuture, EventLogError, StoredRecord};
use futures_core::Stream;
use slab::Slab;

use crate::JournalError;
use crate::readers::Readers;
use crate::records;

/// How many records a tail reads at once, and how many bytes: then it has a page.
const PAGE_RECORDS: usize = 256;
const PAGE_BYTES: usize = 1 << 20;

/// The tails of a journal.
#[derive(Debug, Default)]
pub(crate) struct Tails(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    tails: Slab<Following>,
    is_closed: bool,
}

/// A tail, as the journal knows it.
#[derive(Debug)]
struct Following {
    stream: String,
    /// The version that it waits for, or reads.
    next: u64,
    /// Whether there may be more than it has read.
    is_behind: bool,
    /// To be woken when that is so; `None` where it does not wait.
    waker: Option<Waker>,
}

/// A tail that waits: its key, its stream, and the version that it waits for.
pub(crate) type Waiting = (usize, String, u64);

impl Tails {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done: no code but this runs under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These streams have gone on.
    pub(crate) fn notify(&self, streams: &[String]) {
        self.wake(|_, tail| streams.contains(&tail.stream));
    }

    /// These tails have something to read.
    pub(crate) fn notify_keys(&self, keys: &[usize]) {
        self.wake(|key, _| keys.contains(&key));
    }

    /// There will be nothing more than is there now.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.wake(|_, _| true);
    }

    fn wake(&self, choose: impl Fn(usize, &Following) -> bool) {
        let mut state = self.lock();
        let mut wakers = Vec::new();
        for (key, tail) in &mut state.tails {
            if choose(key, tail) {
                tail.is_behind = true;
                wakers.extend(tail.waker.take());
            }
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Those that have read what was there.
    pub(crate) fn waiting(&self) -> Vec<Waiting> {
        let state = self.lock();
        let waiting = state.tails.iter().filter(|(_, tail)| !tail.is_behind);
        waiting
            .map(|(key, tail)| (key, tail.stream.clone(), tail.next))
            .collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().tails.is_empty()
    }
}

/// A stream that is followed.
pub(crate) struct JournalTail {
    tails: Arc<Tails>,
    readers: Arc<Readers>,
    key: usize,
    stream: String,
    next: u64,
    read: std::vec::IntoIter<records::Verified>,
    reading: Option<BoxFuture<'static, Result<Vec<records::Verified>, JournalError>>>,
    is_over: bool,
}

impl JournalTail {
    pub(crate) fn begin(
        tails: Arc<Tails>,
        readers: Arc<Readers>,
        stream: String,
        from: u64,
    ) -> Self {
        let next = from.max(1);
        let key = tails.lock().tails.insert(Following {
            stream: stream.clone(),
            next,
            is_behind: true,
            waker: None,
        });
        Self {
            tails,
            readers,
            key,
            stream,
            next,
            read: Vec::new().into_iter(),
            reading: None,
            is_over: false,
        }
    }

    /// A read of what comes next, if there may be something; otherwise waits for that.
    fn begin_reading(&mut self, cx: &Context<'_>) -> Poll<bool> {
        let mut state = self.tails.lock();
        let is_closed = state.is_closed;
        let tail = &mut state.tails[self.key];
        if !tail.is_behind {
            if is_closed {
                return Poll::Ready(false);
            }
            let replaced = tail.waker.replace(cx.waker().clone());
            drop(state);
            drop(replaced);
            return Poll::Pending;
        }
        // Whatever comes from now on is not in what is read, or is read twice and not given twice.
        tail.is_behind = false;
        tail.next = self.next;
        drop(state);
        let (readers, stream, next) = (Arc::clone(&self.readers), self.stream.clone(), self.next);
        self.reading = Some(Box::pin(async move {
            let page = move |connection: &rusqlite::Connection| {
                records::page(connection, &stream, next, PAGE_RECORDS, PAGE_BYTES)
            };
            readers.read(page).await
        }));
        Poll::Ready(true)
    }

    /// Takes what has been read. Whatever there was, there may be more.
    fn take(&mut self, read: Vec<records::Verified>) {
        if let Some(last) = read.last() {
            self.next = last.stored.version + 1;
            let mut state = self.tails.lock();
            let tail = &mut state.tails[self.key];
            tail.is_behind = true;
        }
        self.read = read.into_iter();
    }
}

impl Stream for JournalTail {
    type Item = Result<StoredRecord, EventLogError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // So that who always finds more still lets its neighbours run.
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        loop {
            if let Some(verified) = this.read.next() {
                budget.made_progress();
                return Poll::Ready(Some(Ok(verified.stored)));
            }
            if let Some(reading) = &mut this.reading {
                let read = ready!(reading.as_mut().poll(cx));
                this.reading = None;
                match read {
                    Ok(read) => this.take(read),
                    Err(error) => {
                        this.is_over = true;
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
            } else if !ready!(this.begin_reading(cx)) {
                this.is_over = true;
                return Poll::Ready(None);
            }
        }
    }
}

impl Drop for JournalTail {
    fn drop(&mut self) {
        let tail = self.tails.lock().tails.remove(self.key);
        drop(tail);
    }
}
