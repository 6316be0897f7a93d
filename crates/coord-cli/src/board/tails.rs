//! What each process printed last: what is shown of one that failed.

use std::collections::HashMap;

use coordination::bus::vocabulary::{Exit, ProcessLifecycle, ProcessOutput, ProcessState};

use super::scrollback::{Bounds, Scrollback};
use crate::process_name::is_hook;

/// The last lines of how many processes are kept. Of more, those go first that ended well, then those
/// that go on, then those that failed: of each the one of which nothing was heard for longest.
const KEPT_MAX: usize = 1_024;

/// The last lines of each process: of each name the one that was started last, but of hooks, which share
/// a name and run in turn, all that failed.
#[derive(Default)]
pub(super) struct Tails {
    by_process: HashMap<String, Vec<Tail>>,
    kept: usize,
    /// Counts what is heard of processes.
    now: u64,
}

/// The last lines of a process.
pub(crate) struct Tail {
    /// Its id; of a run that goes on elsewhere that is not known, and 0.
    pid: u32,
    attempt: u32,
    fate: Fate,
    heard: u64,
    lines: Scrollback,
}

/// What has become of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    Going,
    /// How, if it ran at all.
    Failed(Option<Exit>),
}

impl Fate {
    /// The later, the longer its lines are kept.
    fn rank(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Going => 1,
            Self::Failed(_) => 2,
        }
    }
}

impl Tail {
    fn new(pid: u32, attempt: u32) -> Self {
        Self {
            pid,
            attempt,
            fate: Fate::Going,
            heard: 0,
            lines: Scrollback::new(Bounds::TAIL),
        }
    }

    /// How it ended, if it ended and not well.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.fate {
            Fate::Failed(exit) => exit,
            Fate::Well | Fate::Going => None,
        }
    }

    /// At most so many of its last lines.
    pub(crate) fn last(&self, lines: usize) -> impl Iterator<Item = &str> {
        self.lines.last(lines)
    }
}

impl Tails {
    /// Those of a process that did not end well, or else the one that ended last.
    pub(super) fn of(&self, process: &str) -> impl Iterator<Item = &Tail> {
        let tails = self.by_process.get(process).map_or(&[][..], Vec::as_slice);
        let is_unwell = |tail: &Tail| tail.fate != Fate::Well;
        let any = tails.iter().any(is_unwell);
        let from = if any {
            0
        } else {
            tails.len().saturating_sub(1)
        };
        let tails = tails[from..].iter();
        tails.filter(move |tail| !any || is_unwell(tail))
    }

    /// The names of the processes that did not end well of which this is true.
    pub(super) fn unwell(&self, of: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
        let tails = self.by_process.iter().filter(move |(process, tails)| {
            of(process) && tails.iter().any(|tail| tail.fate != Fate::Well)
        });
        tails.map(|(process, _)| process.as_str())
    }

    pub(super) fn lifecycle(&mut self, event: &ProcessLifecycle) {
        match event.state {
            ProcessState::Started { pid } => {
                self.hear(&event.process, pid, 0, |_| {});
            }
            ProcessState::NotStarted { .. } => {
                self.begin(&event.process, Tail::new(0, 0)).fate = Fate::Failed(None);
            }
            ProcessState::Exited(exit) => self.end(&event.process, exit),
            _ => {}
        }
    }

    pub(super) fn print(&mut self, line: &ProcessOutput, arrival: u64) {
        self.hear(&line.process, line.pid, line.attempt, |tail| {
            tail.lines.push(&line.line, arrival, None);
        });
    }

    /// Something is heard of the process of this id, unless it was before the one that is there.
    fn hear(&mut self, process: &str, pid: u32, attempt: u32, note: impl FnOnce(&mut Tail)) {
        self.now += 1;
        let tails = self.by_process.get_mut(process);
        let Some(newest) = tails.and_then(|tails| tails.last_mut()) else {
            return note(self.begin(process, Tail::new(pid, attempt)));
        };
        if attempt > 0 && attempt < newest.attempt {
            return;
        }
        let is_another = newest.pid != pid || pid == 0 && attempt != newest.attempt;
        if is_another {
            return note(self.begin(process, Tail::new(pid, attempt)));
        }
        newest.heard = self.now;
        newest.attempt = newest.attempt.max(attempt);
        note(newest);
    }

    fn begin(&mut self, process: &str, mut tail: Tail) -> &mut Tail {
        tail.heard = self.now;
        if !self.by_process.contains_key(process) && self.kept >= KEPT_MAX {
            self.make_room();
        }
        let tails = self.by_process.entry(process.to_owned()).or_default();
        let before = tails.len();
        tails.retain(|tail| is_hook(process) && matches!(tail.fate, Fate::Failed(_)));
        tails.push(tail);
        self.kept = self.kept + tails.len() - before;
        let newest = tails.len() - 1;
        &mut tails[newest]
    }

    fn end(&mut self, process: &str, exit: Exit) {
        let tail = self.by_process.get_mut(process);
        if let Some(tail) = tail.and_then(|tails| tails.last_mut()) {
            tail.fate = match exit.is_success() {
                true => Fate::Well,
                false => Fate::Failed(Some(exit)),
            };
        }
    }

    fn make_room(&mut self) {
        let least = |tails: &[Tail]| {
            tails
                .iter()
                .map(|tail| (tail.fate.rank(), tail.heard))
                .max()
        };
        let first = self.by_process.iter().min_by_key(|(_, tails)| least(tails));
        let first = first.map(|(process, _)| process.clone());
        let gone = first.and_then(|process| self.by_process.remove(&process));
        self.kept -= gone.map_or(0, |gone| gone.len());
    }
}

#[cfg(test)]
mod tests {
    use coordination::bus::Timestamp;
    use coordination::bus::vocabulary::OutputStream;
    use proptest::prelude::*;

    use super::*;

    fn starts(tails: &mut Tails, process: &str, pid: u32) {
        happens(tails, process, ProcessState::Started { pid });
    }

    fn exits(tails: &mut Tails, process: &str, code: i32) {
        happens(tails, process, ProcessState::Exited(Exit::code(code)));
    }

    fn happens(tails: &mut Tails, process: &str, state: ProcessState) {
        tails.lifecycle(&ProcessLifecycle {
            process: process.to_owned(),
            at: Timestamp::UNIX_EPOCH,
            state,
        });
    }

    fn prints(tails: &mut Tails, process: &str, pid: u32, attempt: u32, line: &str) {
        let line = ProcessOutput {
            process: process.to_owned(),
            pid,
            attempt,
            stream: OutputStream::Stdout,
            line: line.to_owned(),
            continues: false,
        };
        tails.print(&line, 1);
    }

    fn lines(tails: &Tails, process: &str) -> Vec<String> {
        let lines = tails.of(process).flat_map(|tail| tail.last(10));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn of_attempts_the_last_is_told_also_where_it_printed_nothing_or_lines_come_late() {
        let mut tails = Tails::default();
        starts(&mut tails, "it", 1);
        prints(&mut tails, "it", 1, 1, "first");
        exits(&mut tails, "it", 1);
        assert_eq!(lines(&tails, "it"), ["first"]);
        starts(&mut tails, "it", 2);
        assert!(lines(&tails, "it").is_empty());
        // Before it is told that it was started.
        prints(&mut tails, "it", 3, 3, "third");
        starts(&mut tails, "it", 3);
        prints(&mut tails, "it", 2, 2, "second");
        exits(&mut tails, "it", 1);
        assert_eq!(lines(&tails, "it"), ["third"]);
    }

    #[test]
    fn attempts_are_told_apart_where_no_ids_are_known() {
        let mut tails = Tails::default();
        for (attempt, line) in [(1, "first"), (2, "second"), (2, "more")] {
            prints(&mut tails, "it", 0, attempt, line);
        }
        assert_eq!(lines(&tails, "it"), ["second", "more"]);
    }

    #[test]
    fn a_hook_that_failed_is_not_forgotten_for_the_one_after_it() {
        let mut tails = Tails::default();
        for (pid, code, line) in [(1, 0, "well"), (2, 3, "torn"), (3, 0, "well"), (4, 0, "")] {
            starts(&mut tails, "hook it", pid);
            prints(&mut tails, "hook it", pid, 1, line);
            exits(&mut tails, "hook it", code);
        }
        assert_eq!(lines(&tails, "hook it"), ["torn"]);
    }

    proptest! {
        #[test]
        fn no_more_is_kept_than_the_bound_and_what_failed_goes_last(
            ends in prop::collection::vec(prop::option::of(0..2), 0..KEPT_MAX + 200),
        ) {
            let mut tails = Tails::default();
            let mut failed = Vec::new();
            for (pid, end) in (1..).zip(&ends) {
                let process = format!("it:{pid}");
                starts(&mut tails, &process, pid);
                prints(&mut tails, &process, pid, 1, "line");
                if let Some(code) = end {
                    exits(&mut tails, &process, *code);
                    failed.extend((*code > 0).then_some(process));
                }
                let kept = tails.by_process.values().map(Vec::len).sum::<usize>();
                prop_assert_eq!(kept, tails.kept);
                prop_assert!(kept <= KEPT_MAX);
            }
            for process in failed {
                prop_assert_eq!(lines(&tails, &process), ["line"]);
            }
        }
    }
}
