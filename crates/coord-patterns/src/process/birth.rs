//! What tells a process that is being started: a mark among its variables, by which it is found where its program is
//! killed before it knows the process by its id.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process_group};

use super::identity::{begun, command_line_of, variable_of};
use crate::proc_stat::ProcStat;

/// The variable that has the mark.
pub(super) const VARIABLE: &str = "COORD_PROCESS";

/// How often it is looked for processes that have not begun their programs yet.
const LOOKS: usize = 1_000;
/// Between two looks for them.
const PAUSE: Duration = Duration::from_millis(5);

/// No other start has it, as long as the system is up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Mark(String);

impl Mark {
    /// That of another start of this program; `None` where the system does not tell processes out.
    pub(super) fn new() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let this = getpid();
        let began = begun(this)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Some(Self(format!("{}.{began}.{number}", this.as_raw_pid())))
    }

    /// One that somebody has written down.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_mark = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
        is_mark.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The groups of the processes that live and have one of these marks; none where the system does not tell.
pub(super) fn groups_of(marks: &[Mark]) -> HashMap<Pid, Mark> {
    let mut groups = HashMap::new();
    if marks.is_empty() {
        return groups;
    }
    for process in processes() {
        let marked = ProcStat::of(process)
            .filter(|stat| !stat.is_over)
            .and_then(|stat| {
                let mark = variable_of(process, VARIABLE)?;
                let mark = marks.iter().find(|known| known.0.as_bytes() == mark)?;
                Some((Pid::from_raw(stat.group.cast_signed())?, mark.clone()))
            });
        groups.extend(marked);
    }
    groups
}

/// Kills the processes that have these marks, of a program that was killed and whose command line was this: also those that
/// have not begun their own programs yet, once they have. Blocks its thread.
pub(super) fn kill_started(marks: &[Mark], command_line: Option<&[u8]>) {
    let mut left: Vec<Mark> = marks.to_vec();
    for _ in 0..LOOKS {
        // What has not begun its program has the variables of who starts it, and its command line. Asked before it is
        // looked for marks, so that what begins meanwhile is found.
        let is_any_to_begin = command_line.is_none_or(has_command_line);
        for (group, mark) in groups_of(&left) {
            let _ = kill_process_group(group, Signal::KILL);
            left.retain(|other| *other != mark);
        }
        if left.is_empty() || !is_any_to_begin {
            return;
        }
        thread::park_timeout(PAUSE);
    }
}

/// Whether a process has this command line.
fn has_command_line(line: &[u8]) -> bool {
    processes().any(|process| command_line_of(process).is_some_and(|other| other == line))
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
