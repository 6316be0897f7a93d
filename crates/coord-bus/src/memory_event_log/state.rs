//! What a log in memory holds: streams, their numbers, the fences, and who follows.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::task::Waker;

use jiff::Timestamp;
use slab::Slab;

use crate::{
    AppendTo, EventLogError, Fence, Fenced, StoredRecord, StreamInfo, StreamOrder, StreamQuery,
};

#[derive(Default)]
pub(super) struct State {
    streams: BTreeMap<Box<str>, Kept>,
    /// By the number of each stream, its name.
    numbers: BTreeMap<u64, Box<str>>,
    /// In all streams.
    records: usize,
    /// How many streams have begun, those forgotten included.
    begun: u64,
    /// By the name of each lease that has fenced an append; no more than there may be records.
    fences: HashMap<String, Fence>,
    pub(super) tails: Slab<Waiting>,
    pub(super) closed: bool,
}

/// A stream that has begun.
#[derive(Default)]
struct Kept {
    number: u64,
    records: Vec<StoredRecord>,
    is_closed: bool,
    /// The stream that needs it, if one does.
    needed_by: Option<Box<str>>,
}

/// A tail, as the log knows it.
pub(super) struct Waiting {
    pub(super) stream: Box<str>,
    /// To be woken by the next record; `None` where it does not wait.
    pub(super) waker: Option<Waker>,
}

impl State {
    /// Whether an append may be made. The version that its stream has, or none if it replaces one.
    pub(super) fn admit(&self, append: &AppendTo) -> Result<u64, EventLogError> {
        if let Some(grant) = &append.fence {
            let mut fence = self.fences.get(&grant.name).cloned().unwrap_or_default();
            let refused = |source: Fenced| EventLogError::Fenced {
                stream: append.stream.clone(),
                lease: grant.name.clone(),
                source,
            };
            fence.admit(grant.token).map_err(refused)?;
        }
        let kept = self.streams.get(&*append.stream);
        let stays = kept.filter(|_| self.replaced(append).is_none());
        let actual = stays.map_or(0, |kept| kept.records.len()) as u64;
        if append.expected.allows(actual) {
            return match self.replaced(append).and_then(|kept| self.needs(kept)) {
                None => Ok(actual),
                Some(by) => Err(EventLogError::StillNeeded {
                    stream: append.stream.clone(),
                    by: by.to_owned(),
                }),
            };
        }
        Err(EventLogError::WrongVersion {
            stream: append.stream.clone(),
            expected: append.expected,
            actual,
        })
    }

    /// Room for its records, and for its fence if it is a new one.
    pub(super) fn has_room_for(&self, append: &AppendTo, max_records: usize) -> bool {
        let fences = match &append.fence {
            Some(grant) if !self.fences.contains_key(&grant.name) => self.fences.len(),
            _ => 0,
        };
        let replaced = self.replaced(append);
        let records = self.records - replaced.map_or(0, |kept| kept.records.len());
        append.records.len() <= max_records - records && fences < max_records
    }

    /// The stream that is forgotten with an append, if one is.
    fn replaced(&self, append: &AppendTo) -> Option<&Kept> {
        let replaces = append.replaces && !append.records.is_empty();
        let kept = self.streams.get(&*append.stream);
        kept.filter(|kept| replaces && kept.is_closed)
    }

    /// The open stream that needs this one, if there is one: not one that has begun since in its place.
    fn needs<'k>(&self, kept: &'k Kept) -> Option<&'k str> {
        let needs = |by: &Kept| !by.is_closed && by.number < kept.number;
        let is_one = |by: &&str| self.streams.get(*by).is_some_and(needs);
        kept.needed_by.as_deref().filter(is_one)
    }

    /// Adds what was admitted and has room. The version then.
    pub(super) fn add(&mut self, append: AppendTo, at: Timestamp) -> u64 {
        if self.replaced(&append).is_some() {
            self.remove(&append.stream);
        }
        self.records += append.records.len();
        if let Some(grant) = append.fence {
            self.fences.insert(grant.name, Fence::at(grant.token));
        }
        let kept = self.begun(append.stream, append.needed_by);
        kept.is_closed = append.closes;
        let next = kept.records.len() as u64 + 1;
        let stored = (next..).zip(append.records);
        kept.records
            .extend(stored.map(|(version, record)| StoredRecord {
                version,
                at,
                record,
            }));
        kept.records.len() as u64
    }

    /// A stream, which begins if it has not.
    fn begun(&mut self, stream: String, needed_by: Option<String>) -> &mut Kept {
        self.streams
            .entry(stream.into())
            .or_insert_with_key(|name| {
                self.begun += 1;
                self.numbers.insert(self.begun, name.clone());
                Kept {
                    number: self.begun,
                    needed_by: needed_by.map(Into::into),
                    ..Kept::default()
                }
            })
    }

    pub(super) fn list(&self, query: &StreamQuery) -> Vec<StreamInfo> {
        let info = |name: &str, kept: &Kept| {
            let last = kept
                .records
                .last()
                .filter(|_| !(query.only_open && kept.is_closed))?;
            Some(StreamInfo {
                name: name.to_owned(),
                number: kept.number,
                version: last.version,
                at: last.at,
                is_closed: kept.is_closed,
                needed_by: kept.needed_by.as_deref().map(str::to_owned),
            })
        };
        match &query.order {
            StreamOrder::Name { after } => {
                let after = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                let streams = self.streams.range::<str, _>((after, Bound::Unbounded));
                let infos = streams.filter_map(|(name, kept)| info(name, kept));
                infos.take(query.limit).collect()
            }
            StreamOrder::NewestFirst { before } => {
                let numbers = self.numbers.range(..before.unwrap_or(u64::MAX));
                let streams = numbers.rev().map(|(_, name)| (name, &self.streams[name]));
                let infos = streams.filter_map(|(name, kept)| info(name, kept));
                infos.take(query.limit).collect()
            }
        }
    }

    pub(super) fn forget(&mut self, stream: &str) -> Result<bool, EventLogError> {
        let Some(kept) = self.streams.get(stream) else {
            return Ok(false);
        };
        let stream = stream.to_owned();
        if !kept.is_closed {
            return Err(EventLogError::StillOpen { stream });
        }
        if let Some(by) = self.needs(kept) {
            let by = by.to_owned();
            return Err(EventLogError::StillNeeded { stream, by });
        }
        self.remove(&stream);
        Ok(true)
    }

    fn remove(&mut self, stream: &str) {
        if let Some(kept) = self.streams.remove(stream) {
            self.records -= kept.records.len();
            self.numbers.remove(&kept.number);
        }
    }

    pub(super) fn since(&self, stream: &str, from: u64) -> impl Iterator<Item = &StoredRecord> {
        let passed = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        let kept = self.streams.get(stream);
        let records = kept.and_then(|kept| kept.records.get(passed..));
        records.unwrap_or_default().iter()
    }

    /// Those of the tails chosen that wait.
    pub(super) fn wakers(&mut self, choose: impl Fn(&Waiting) -> bool) -> Vec<Waker> {
        let chosen = self.tails.iter_mut().map(|(_, waiting)| waiting);
        chosen
            .filter(|waiting| choose(waiting))
            .filter_map(|waiting| waiting.waker.take())
            .collect()
    }
}
