//! Writes the output of a run into its files, and bounds them.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::time::Duration;

use coordination::bus::Timestamp;
use coordination::bus::time::Instant;
use coordination::bus::vocabulary::ProcessOutput;

use super::missing::Missing;
use super::place::{Kept, append_to};
use super::{Bounds, record};

/// How much of a process is kept in memory before it is written.
const PENDING_MAX: usize = 256 * 1024;
/// How many files are open at most.
const OPEN_MAX: usize = 64;
/// How long after a failure nothing is tried.
const RETRY: Duration = Duration::from_secs(1);

/// The files of a run.
pub(super) struct Store {
    kept: Kept,
    bounds: Bounds,
    /// The note of what is missing. A lock on it says that these files are being written.
    note: File,
    missing: Option<Missing>,
    /// When to try again, while nothing can be written.
    failing: Option<Instant>,
    processes: HashMap<String, Process>,
    /// Those that have something pending.
    waiting: Vec<String>,
    /// How large all files are.
    bytes: u64,
    /// Counts what is written.
    turn: u64,
    open: usize,
}

/// The files of a process.
#[derive(Default)]
struct Process {
    /// Their sizes by their numbers; the last one is written to.
    sizes: BTreeMap<u64, u64>,
    file: Option<File>,
    /// What was printed and is not in the file yet, and how many lines that is.
    pending: Vec<u8>,
    lines: u64,
    /// When something was written last.
    turn: u64,
    /// Whether the file may end in the middle of a line: then an empty one follows.
    is_torn: bool,
}

impl Process {
    fn size(&self) -> u64 {
        self.sizes.values().sum()
    }
}

impl Store {
    pub(super) fn open(kept: Kept, bounds: Bounds) -> io::Result<Self> {
        let note = kept.prepare()?;
        let files = kept.files()?;
        let processes = files.into_iter().map(|(name, sizes)| {
            let process = Process {
                sizes,
                is_torn: true,
                ..Process::default()
            };
            (name, process)
        });
        let processes: HashMap<_, _> = processes.collect();
        Ok(Self {
            bytes: processes.values().map(Process::size).sum(),
            // One that cannot be read says nothing that is worth keeping.
            missing: Missing::read(&note).unwrap_or_default(),
            kept,
            bounds,
            note,
            failing: None,
            processes,
            waiting: Vec::new(),
            turn: 0,
            open: 0,
        })
    }

    /// Takes a line; `at` is the time, as text. What is pending is written by [`flush`](Self::flush),
    /// or when it is much.
    pub(super) fn add(
        &mut self,
        now: Timestamp,
        at: &str,
        output: &ProcessOutput,
    ) -> io::Result<()> {
        if !self.processes.contains_key(&output.process) {
            let process = Process::default();
            self.processes.insert(output.process.clone(), process);
        }
        let Some(process) = self.processes.get_mut(&output.process) else {
            return Ok(());
        };
        if process.pending.is_empty() {
            self.waiting.push(output.process.clone());
        }
        record::write(&mut process.pending, at, output);
        process.lines += 1;
        match process.pending.len() {
            0..PENDING_MAX => Ok(()),
            _ => self.flush(now),
        }
    }

    /// Writes all that is pending. Where that fails, it is counted as missing, as is what comes within
    /// a second of it.
    pub(super) fn flush(&mut self, now: Timestamp) -> io::Result<()> {
        let mut written = Ok(());
        let mut lost = 0;
        for name in mem::take(&mut self.waiting) {
            let Some(mut process) = self.processes.remove(&name) else {
                continue;
            };
            let is_waiting = self.failing.is_some_and(|until| Instant::now() < until);
            let result = match is_waiting {
                true => Ok(false),
                false => self.write(&name, &mut process).map(|()| true),
            };
            match result {
                Ok(true) => self.failing = None,
                Ok(false) => lost += process.lines,
                Err(error) => {
                    lost += process.lines;
                    self.failing = Some(Instant::now() + RETRY);
                    let missing = self
                        .missing
                        .get_or_insert_with(|| Missing::new(now, &error));
                    missing.why = Missing::new(now, &error).why;
                    written = Err(error);
                }
            }
            process.lines = 0;
            process.pending.clear();
            self.processes.insert(name, process);
        }
        if lost > 0
            && let Some(missing) = &mut self.missing
        {
            missing.lines += lost;
            missing.until = now;
            // There is nothing else to say it to.
            let _ = missing.write(&self.note);
        }
        self.bound();
        written
    }

    fn write(&mut self, name: &str, process: &mut Process) -> io::Result<()> {
        let pending = process.pending.len() as u64;
        let (number, size) = process
            .sizes
            .last_key_value()
            .map_or((1, 0), |last| (*last.0, *last.1));
        let is_full = size > 0 && size + pending > self.bounds.file;
        if is_full && process.file.take().is_some() {
            self.open -= 1;
        }
        let number = number + u64::from(is_full);
        if process.file.is_none() {
            process.file = Some(append_to(&self.kept.file(name, number))?);
            self.open += 1;
        }
        let Some(file) = &mut process.file else {
            return Ok(());
        };
        let size = process.sizes.entry(number).or_default();
        if process.is_torn && *size > 0 && !is_full {
            process.pending.insert(0, b'\n');
        }
        if let Err(error) = file.write_all(&process.pending) {
            // What was torn before is so still.
            process.is_torn |= file.set_len(*size).is_err();
            return Err(error);
        }
        process.is_torn = false;
        let pending = process.pending.len() as u64;
        *size += pending;
        self.bytes += pending;
        self.turn += 1;
        process.turn = self.turn;
        while process.sizes.len() > self.bounds.files {
            if !self.remove_oldest(name, process) {
                break;
            }
        }
        Ok(())
    }

    /// Removes the oldest file of a process. Where it is the only one, an empty one takes its place:
    /// by its number it is known that there was something.
    fn remove_oldest(&mut self, name: &str, process: &mut Process) -> bool {
        let Some((&number, &size)) = process.sizes.first_key_value() else {
            return false;
        };
        if process.sizes.len() == 1 {
            let next = self.kept.file(name, number + 1);
            if append_to(&next).is_err() {
                return false;
            }
            process.sizes.insert(number + 1, 0);
            if process.file.take().is_some() {
                self.open -= 1;
            }
        }
        match fs::remove_file(self.kept.file(name, number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return false,
            _ => {}
        }
        process.sizes.remove(&number);
        self.bytes -= size;
        true
    }

    /// Sees to it that neither too much is kept nor too many files are open: of processes that have
    /// printed nothing for the longest time the oldest file goes first.
    fn bound(&mut self) {
        while self.bytes > self.bounds.run {
            let full = self
                .processes
                .iter()
                .filter(|(_, process)| process.size() > 0);
            let oldest = full.min_by_key(|(_, process)| process.turn);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            let Some(mut process) = self.processes.remove(&name) else {
                break;
            };
            let is_removed = self.remove_oldest(&name, &mut process);
            self.processes.insert(name, process);
            if !is_removed {
                break;
            }
        }
        if self.open > OPEN_MAX {
            for process in self.processes.values_mut() {
                process.file = None;
            }
            self.open = 0;
        }
    }
}
