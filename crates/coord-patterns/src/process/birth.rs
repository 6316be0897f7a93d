//! What tells a process that is being started: a mark among its variables, by which it is found where its program is
//! killed before it knows the process by its id.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, getppid, kill_process_group};

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
    let living = ProcStat::all().filter(|(_, stat)| !stat.is_over);
    groups.extend(living.filter_map(|(process, stat)| {
        let mark = variable_of(process, VARIABLE)?;
        let mark = marks.iter().find(|known| known.0.as_bytes() == mark)?;
        Some((Pid::from_raw(stat.group.cast_signed())?, mark.clone()))
    }));
    groups
}

/// The program that starts processes, as this one knows it, which it has started, too.
pub(super) struct Starter {
    id: Option<Pid>,
    command_line: Option<Vec<u8>>,
}

impl Starter {
    /// The one that has started this.
    pub(super) fn of_this() -> Self {
        let id = getppid();
        Self {
            id,
            command_line: id.and_then(|id| command_line_of(id.as_raw_pid().cast_unsigned())),
        }
    }

    /// Whether something that it was starting when it was killed has not begun its own program.
    fn has_any_to_begin(&self) -> bool {
        // It was killed before that was known.
        let Some(line) = &self.command_line else {
            return true;
        };
        let parents: Vec<u32> = to_begin(line, |_| true)
            .map(|(_, stat)| stat.parent)
            .collect();
        // Who gets its children gets this, too, and all at once: asked afterwards, so that it is one or the other.
        let owners = [self.id, getppid()].into_iter().flatten();
        let mut owners = owners.map(|owner| owner.as_raw_pid().cast_unsigned());
        owners.any(|owner| parents.contains(&owner))
    }
}

/// Processes that have not begun their own programs yet, which are those that still have this command line of who starts
/// them.
pub(super) fn to_begin(
    line: &[u8],
    is_asked_for: impl Fn(&ProcStat) -> bool,
) -> impl Iterator<Item = (u32, ProcStat)> {
    let asked_for = ProcStat::all().filter(move |(_, stat)| is_asked_for(stat));
    asked_for.filter(move |(process, _)| command_line_of(*process).is_some_and(|of| of == line))
}

/// Kills the processes that have these marks, of a program that was killed: also those that have not begun their own programs
/// yet, once they have. Blocks its thread.
pub(super) fn kill_started(marks: &[Mark], starter: &Starter) {
    let mut left: Vec<Mark> = marks.to_vec();
    for _ in 0..LOOKS {
        // What has not begun its program has the variables of who starts it. Asked before it is looked for marks, so that
        // what begins meanwhile is found.
        let is_any_to_begin = starter.has_any_to_begin();
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
