//! What each process used and printed in the last two minutes, a reading a second.

use std::collections::{HashMap, VecDeque};

use super::draw::Load;
use crate::board::Board;

/// How many readings are kept of each process: more than a screen is wide are never shown.
const READINGS_MAX: usize = 120;

/// One of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) cpu_percent: u64,
    pub(super) memory_bytes: u64,
    pub(super) lines: u64,
}

/// The readings of all processes, by the place of their rows.
#[derive(Debug, Default)]
pub(super) struct History {
    rows: HashMap<usize, Track>,
}

#[derive(Debug, Default)]
struct Track {
    /// The newest first.
    readings: VecDeque<Reading>,
    /// How many lines there were at the newest.
    lines: u64,
}

impl History {
    /// Takes a reading of each process that runs. What is not running any more is forgotten.
    pub(super) fn read(&mut self, board: &Board, load: &Load) {
        self.rows
            .retain(|place, _| board.rows[*place].pid.is_some());
        for (process, cpu_percent, memory_bytes) in &load.processes {
            let Some(place) = board.place(process) else {
                continue;
            };
            let printed = board.rows[place].lines;
            let begins = || Track {
                lines: printed,
                ..Track::default()
            };
            let track = self.rows.entry(place).or_insert_with(begins);
            track.readings.truncate(READINGS_MAX - 1);
            track.readings.push_front(Reading {
                cpu_percent: cpu_percent.round() as u64,
                memory_bytes: *memory_bytes,
                lines: printed.saturating_sub(track.lines),
            });
            track.lines = printed;
        }
    }

    /// Those of a row, the newest first; none of one that does not run.
    pub(super) fn of(&self, place: usize) -> Option<&VecDeque<Reading>> {
        self.rows.get(&place).map(|track| &track.readings)
    }
}
