//! What several processes have printed, in the order of time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io;

use coordination::bus::Timestamp;

use super::events::EVENTS;
use super::is_due;
use super::place::{Files, Kept};
use super::reader::Reader;
use super::record::Record;
use crate::process_name::step_of;

/// Reads the output of a run, or of some of its processes.
pub(crate) struct Merged {
    kept: Kept,
    /// A step or service, with all that belongs to it; or one item of it. What happened is there in any case.
    only: Option<String>,
    readers: Vec<Reader>,
    known: HashSet<String>,
    /// The next line of each, and which is the earliest.
    next: Vec<Option<Record>>,
    earliest: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

impl Merged {
    pub(crate) fn new(kept: Kept, only: Option<String>) -> Self {
        Self {
            kept,
            only,
            readers: Vec::new(),
            known: HashSet::new(),
            next: Vec::new(),
            earliest: BinaryHeap::new(),
        }
    }

    /// Gives out all lines that are there and were not given out before, with their processes, up to a time:
    /// what is kept of one process may be written a moment before what is kept of another, and is earlier.
    /// `is_over`: nothing is written any more.
    pub(crate) fn take(
        &mut self,
        is_over: bool,
        until: Timestamp,
        mut each: impl FnMut(&str, Record) -> io::Result<()>,
    ) -> io::Result<()> {
        let files = self.look_for_more()?;
        for place in 0..self.readers.len() {
            let reader = &self.readers[place];
            let files = files.get(&reader.process);
            let is_read = files.is_some_and(|files| reader.has_read(files));
            if self.next[place].is_none() && (is_over || !is_read) {
                self.advance(place, is_over)?;
            }
        }
        while self
            .earliest
            .peek()
            .is_some_and(|Reverse((at, _))| is_due(*at, until))
            && let Some(Reverse((_, place))) = self.earliest.pop()
        {
            if let Some(line) = self.next[place].take() {
                each(&self.readers[place].process, line)?;
            }
            self.advance(place, is_over)?;
        }
        Ok(())
    }

    /// What there is, with readers of what there was not before.
    fn look_for_more(&mut self) -> io::Result<Files> {
        let files = self.kept.files()?;
        for (process, numbers) in &files {
            let is_its = |only: &String| only == process || only == step_of(process);
            let is_wanted = process == EVENTS || self.only.as_ref().is_none_or(is_its);
            if is_wanted && self.known.insert(process.clone()) {
                let first = numbers.keys().next().copied().unwrap_or(1);
                self.readers
                    .push(Reader::new(&self.kept, process.clone(), first));
                self.next.push(None);
            }
        }
        Ok(files)
    }

    fn advance(&mut self, place: usize, is_over: bool) -> io::Result<()> {
        let line = self.readers[place].next(is_over)?;
        if let Some(line) = &line {
            self.earliest.push(Reverse((line.at, place)));
        }
        self.next[place] = line;
        Ok(())
    }

    /// The processes of which the oldest output is not kept any more.
    pub(crate) fn cut(&self) -> impl Iterator<Item = &str> {
        self.processes(|reader| reader.is_cut)
    }

    /// The processes of which some output was removed before it could be read.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = &str> {
        self.processes(|reader| reader.has_gap)
    }

    fn processes(&self, is_one: impl Fn(&Reader) -> bool) -> impl Iterator<Item = &str> {
        let readers = self.readers.iter().filter(move |reader| is_one(reader));
        readers
            .map(|reader| &*reader.process)
            .filter(|process| *process != EVENTS)
    }

    /// How many lines of the files are none.
    pub(crate) fn damaged(&self) -> u64 {
        self.readers.iter().map(|reader| reader.damaged).sum()
    }
}
