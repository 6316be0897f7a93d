//! A subscriber's hold on a log: which chunk it has, and how it gets the next.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use super::attendance::{Cursor, Found};
use super::keys::Kept;
use super::state::{State, Wakers};
use super::sync::{MutexGuard, OnceLock};
use super::{Chunk, Shared, wake};
use crate::{Envelope, Ledger};

/// One subscriber's place in a log.
pub(crate) struct Reader<E> {
    shared: Arc<Shared<E>>,
    id: usize,
}

/// What came of asking for more.
pub(crate) enum More<T> {
    Yes(T),
    /// Nothing yet. If a waker was given, it is woken when there is more.
    Empty,
    /// Nothing, and never again.
    Closed,
}

impl<T> More<T> {
    #[inline]
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> More<U> {
        match self {
            Self::Yes(more) => More::Yes(map(more)),
            Self::Empty => More::Empty,
            Self::Closed => More::Closed,
        }
    }
}

/// Events at hand, and where it is written how many of them have been received.
pub(crate) struct Lent<'a, E> {
    pub(crate) events: &'a [OnceLock<Envelope<E>>],
    pub(crate) index: &'a mut usize,
    pub(crate) first: u64,
    pub(crate) cursor: &'a Cursor,
}

/// The chunk that a subscriber reads, `index..filled` of its events to be read yet.
pub(crate) struct Hand<E> {
    chunk: Chunk<E>,
    index: usize,
    filled: usize,
    /// How many of the chunk's places may ever be read here.
    end: usize,
    /// The sequence of the chunk's first event.
    first: u64,
    cursor: Arc<Cursor>,
}

impl<E> Hand<E> {
    pub(crate) fn new(cursor: Arc<Cursor>) -> Self {
        Self {
            chunk: Chunk::default(),
            index: 0,
            filled: 0,
            end: 0,
            first: 0,
            cursor,
        }
    }

    pub(crate) fn cursor(&self) -> &Arc<Cursor> {
        &self.cursor
    }

    pub(crate) fn chunk(&self) -> &Chunk<E> {
        &self.chunk
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Whether there is no event at hand.
    #[inline]
    pub(crate) fn is_at_end(&self) -> bool {
        self.index == self.filled
    }

    /// The place of the next event at hand.
    #[inline]
    pub(crate) fn next_index(&self) -> Option<usize> {
        (self.index < self.filled).then_some(self.index)
    }

    /// The sequence of the next event at hand.
    pub(crate) fn position(&self) -> u64 {
        self.first + self.index as u64
    }

    /// The place of the event that was passed last.
    pub(crate) fn last_index(&self) -> usize {
        self.index - 1
    }

    /// The chunk and the place of the event before the next one, if that is at hand.
    pub(crate) fn last(&self) -> Option<(Chunk<E>, usize)> {
        let index = self.index.checked_sub(1)?;
        self.envelope(index)?;
        Some((Arc::clone(&self.chunk), index))
    }

    pub(crate) fn event(&self, index: usize) -> Option<&E> {
        self.envelope(index).map(Envelope::event)
    }

    pub(super) fn keep(&self, index: usize, lag: u64) -> Kept<E> {
        Kept {
            chunk: Arc::clone(&self.chunk),
            index,
            sequence: self.first + index as u64,
            lag,
        }
    }

    /// Has this event at hand, and no other.
    pub(crate) fn hold(&mut self, kept: Kept<E>) {
        self.first = kept.sequence - kept.index as u64;
        self.index = kept.index;
        self.filled = kept.index + 1;
        self.end = self.filled;
        self.chunk = kept.chunk;
    }

    /// Has nothing at hand.
    pub(crate) fn let_go(&mut self) {
        self.chunk = Chunk::default();
        self.index = 0;
        self.filled = 0;
        self.end = 0;
    }

    /// Lends the events at hand.
    pub(crate) fn lend(&mut self) -> Lent<'_, E> {
        Lent {
            events: &self.chunk[self.index..self.filled],
            index: &mut self.index,
            first: self.first,
            cursor: &self.cursor,
        }
    }

    pub(crate) fn envelope(&self, index: usize) -> Option<&Envelope<E>> {
        self.chunk.get(index)?.get()
    }

    /// Moves past this many events at hand.
    #[inline]
    pub(crate) fn pass(&mut self, events: usize) {
        self.index += events;
        let position = self.first + self.index as u64;
        self.cursor.position.store(position, Ordering::Release);
    }

    /// Gets the newest event, if there is one that was not read. How many were passed over.
    pub(crate) fn newest(&mut self, reader: &Reader<E>, waker: Option<&Waker>) -> More<u64> {
        let mut passed = 0;
        let filled = reader.filled().min(self.until());
        if filled > self.first + self.end as u64 {
            passed = self.pass_over(self.end - self.index);
            self.filled = self.index;
        }
        self.more(reader, waker).map(|missed| {
            passed += missed;
            passed + self.pass_over(self.filled - 1 - self.index)
        })
    }

    /// Moves past this many events that newer ones have replaced.
    fn pass_over(&mut self, events: usize) -> u64 {
        if events > 0 {
            self.pass(events);
            let conflated = &self.cursor.conflated;
            conflated.fetch_add(events as u64, Ordering::Release);
        }
        events as u64
    }

    /// Gets more events, if there are any: of the chunk at hand, or the next chunk. How many the
    /// subscriber missed before them.
    pub(crate) fn more(&mut self, reader: &Reader<E>, waker: Option<&Waker>) -> More<u64> {
        let whole = self.index == self.end;
        if !whole && self.look(reader) {
            return More::Yes(0);
        }
        let state = reader.shared.try_lock();
        if !whole && state.is_none() {
            reader.gather(self.position());
            if self.look(reader) {
                return More::Yes(0);
            }
        }
        // What was read is let go of: whoever has read everything keeps no event alive.
        let left = std::mem::take(&mut self.chunk);
        self.let_go();
        match reader.advance(state, left, whole, waker) {
            More::Yes(advance) => {
                self.chunk = advance.chunk;
                self.first = advance.first;
                self.index = (advance.start - advance.first) as usize;
                self.filled = (advance.filled - advance.first) as usize;
                self.end = (advance.end - advance.first) as usize;
                More::Yes(advance.missed)
            }
            More::Empty => More::Empty,
            More::Closed => More::Closed,
        }
    }

    /// Whether more of the chunk at hand has been filled.
    fn look(&mut self, reader: &Reader<E>) -> bool {
        let filled = reader.filled().min(self.until());
        self.filled = (filled.saturating_sub(self.first) as usize).min(self.end);
        self.index < self.filled
    }

    fn until(&self) -> u64 {
        // Behind the look at what is filled: whoever sees an event that came after the end sees
        // the end.
        self.cursor.until.load(Ordering::Relaxed)
    }
}

/// How often, how long and for how many events a subscriber waits for those who publish at this
/// moment: some microseconds at most.
const LOOKS: usize = if cfg!(any(coord_loom, miri)) { 1 } else { 16 };
const PAUSES: usize = if cfg!(any(coord_loom, miri)) { 0 } else { 32 };
const ENOUGH: u64 = 64;

impl<E> Reader<E> {
    pub(super) fn new(shared: Arc<Shared<E>>, id: usize) -> Self {
        Self { shared, id }
    }

    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.shared.topic
    }

    /// Up to which sequence places are filled, as far as is known without the lock.
    #[inline]
    pub(crate) fn filled(&self) -> u64 {
        self.shared.next.load(Ordering::Acquire)
    }

    /// Somebody is publishing on another thread at this moment, or at least has the lock. To follow
    /// event by event would cost both more than the events do, as they take the same memory from
    /// each other for each: better to let some gather, as long as more of them come.
    #[cold]
    fn gather(&self, position: u64) {
        let mut filled = position;
        for _ in 0..LOOKS {
            for _ in 0..PAUSES {
                spin_loop();
            }
            let now = self.filled();
            if now == filled || now >= position + ENOUGH {
                break;
            }
            filled = now;
        }
    }

    /// Leaves the chunk that was held, `left`, for the one with the next event. `whole`: all of it
    /// has been read, and not only what is there so far.
    fn advance(
        &self,
        state: Option<MutexGuard<'_, State<E>>>,
        left: Chunk<E>,
        whole: bool,
        waker: Option<&Waker>,
    ) -> More<Found<E>> {
        let mut replaced = None;
        let mut state = state.unwrap_or_else(|| self.shared.lock());
        let (found, garbage) = state.advance(self.id, whole);
        let more = match found {
            Some(found) => More::Yes(found),
            None if state.closed || state.is_stopped(self.id) => More::Closed,
            None => {
                replaced = waker.and_then(|waker| state.set_waker(self.id, waker));
                More::Empty
            }
        };
        drop(state);
        // Outside the lock: what an event does when it is dropped is its own business.
        drop((replaced, left));
        self.shared.recycle(garbage);
        more
    }

    /// The last event known of has been handed out, from the chunk that begins at `first`.
    #[inline]
    pub(crate) fn caught_up(&self, first: u64) {
        self.shared.caught_up(first);
    }

    /// Takes no more from now on.
    pub(crate) fn stop(&self) {
        let mut wakers = Wakers::new();
        let mut state = self.shared.lock();
        self.shared.await_everybody();
        let garbage = state.stop(self.id, &mut wakers);
        self.shared.count_listeners(&state);
        self.shared.await_slowest(&state);
        drop(state);
        self.shared.recycle(garbage);
        wake(wakers);
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let state = self.shared.lock();
        state.ledger(&state.readers[self.id])
    }
}

impl<E> Drop for Reader<E> {
    fn drop(&mut self) {
        let mut wakers = Wakers::new();
        let mut state = self.shared.lock();
        // Perhaps it was the one that publishers waited for: now they wait for another.
        self.shared.await_everybody();
        let parted = state.part(self.id, &mut wakers);
        self.shared.count_listeners(&state);
        self.shared.await_slowest(&state);
        drop(state);
        drop(parted);
        wake(wakers);
    }
}
