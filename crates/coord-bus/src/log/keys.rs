//! The newest event for each key, or the newest of all that pass a filter.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use super::Chunk;
use super::sync::OnceLock;
use crate::{Details, Envelope};

/// An event that is kept for a subscriber.
pub(crate) struct Kept<E> {
    pub(crate) chunk: Chunk<E>,
    pub(crate) index: usize,
    pub(crate) sequence: u64,
    /// How many events the subscriber did not get just before it.
    pub(crate) lag: u64,
}

impl<E> Kept<E> {
    /// An event in a chunk of its own.
    pub(crate) fn new(event: E, details: Option<Box<Details>>, sequence: u64) -> Self {
        Self {
            chunk: Arc::new([OnceLock::from(Envelope { event, details })]),
            index: 0,
            sequence,
            lag: 0,
        }
    }

    fn envelope(&self) -> Option<&Envelope<E>> {
        self.chunk.get(self.index)?.get()
    }
}

/// What became of an event that was put, or of the one that it took the place of. Those come back,
/// to be dropped when all is in order.
pub(crate) enum Put<E> {
    New,
    Replaced(#[expect(dead_code, reason = "it is here to be dropped")] Option<Kept<E>>),
    Evicted(Kept<E>),
}

/// What is kept, in the order in which it is to be handed out.
pub(crate) trait Keys<E>: Send {
    fn put(&mut self, kept: Kept<E>) -> Put<E>;
    fn pop(&mut self) -> Option<Kept<E>>;
    fn is_empty(&self) -> bool;
}

/// One event: the newest.
pub(crate) struct Newest<E>(Option<Kept<E>>);

impl<E> Newest<E> {
    pub(crate) const fn new() -> Self {
        Self(None)
    }
}

impl<E: Send + Sync> Keys<E> for Newest<E> {
    fn put(&mut self, mut kept: Kept<E>) -> Put<E> {
        let Some(old) = self.0.take() else {
            self.0 = Some(kept);
            return Put::New;
        };
        kept.lag = old.lag + 1;
        self.0 = Some(kept);
        Put::Replaced(Some(old))
    }

    fn pop(&mut self) -> Option<Kept<E>> {
        self.0.take()
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// One event for each key, of at most so many keys. A key keeps its turn when a newer event takes
/// the place of an older one: no key, however busy, keeps another from its turn.
pub(crate) struct ByKey<E, K> {
    key: Arc<dyn Fn(&E) -> K + Send + Sync>,
    max: usize,
    kept: HashMap<K, Kept<E>>,
    turns: VecDeque<K>,
}

impl<E, K> ByKey<E, K> {
    pub(crate) fn new(key: Arc<dyn Fn(&E) -> K + Send + Sync>, max: usize) -> Self {
        Self {
            key,
            max: max.max(1),
            kept: HashMap::new(),
            turns: VecDeque::new(),
        }
    }
}

impl<E, K> Keys<E> for ByKey<E, K>
where
    E: Clone + Send + Sync,
    K: Hash + Eq + Clone + Send,
{
    fn put(&mut self, shared: Kept<E>) -> Put<E> {
        let Some(envelope) = shared.envelope() else {
            return Put::Replaced(None);
        };
        let key = (self.key)(&envelope.event);
        // A copy: an event that waits for its turn must not keep its whole chunk alive.
        let mut kept = Kept {
            chunk: Arc::new([OnceLock::from(envelope.clone())]),
            index: 0,
            ..shared
        };
        if let Some(old) = self.kept.get_mut(&key) {
            kept.lag = old.lag + 1;
            return Put::Replaced(Some(std::mem::replace(old, kept)));
        }
        let evicted = match self.turns.len() < self.max {
            true => None,
            false => self.pop(),
        };
        self.turns.push_back(key.clone());
        self.kept.insert(key, kept);
        evicted.map_or(Put::New, Put::Evicted)
    }

    fn pop(&mut self) -> Option<Kept<E>> {
        loop {
            let key = self.turns.pop_front()?;
            if let Some(kept) = self.kept.remove(&key) {
                return Some(kept);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}
