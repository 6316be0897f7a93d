//! Lines that are to be published once it is known what happened before them.

use std::collections::{BTreeSet, HashMap, VecDeque};

use coordination::bus::Timestamp;

use crate::kept_output::Record;

/// By their processes: there may be thousands of those, and of lines far more.
#[derive(Default)]
pub(super) struct Waiting {
    lines: HashMap<String, VecDeque<Record>>,
    /// The first of each process.
    first: BTreeSet<(Timestamp, String)>,
}

impl Waiting {
    /// One that comes after those of its process.
    pub(super) fn push(&mut self, process: &str, record: Record) {
        match self.lines.get_mut(process) {
            Some(lines) => lines.push_back(record),
            None => {
                self.first.insert((record.at, process.to_owned()));
                let lines = VecDeque::from([record]);
                self.lines.insert(process.to_owned(), lines);
            }
        }
    }

    /// The earliest of those of whose times this is true.
    pub(super) fn next(&mut self, is_due: impl Fn(Timestamp) -> bool) -> Option<(String, Record)> {
        let (_, process) = self.first.iter().find(|(at, _)| is_due(*at))?;
        let process = process.clone();
        let record = self.next_of(&process, |_| true)?;
        Some((process, record))
    }

    /// The next of a process, if this is true of it.
    pub(super) fn next_of(
        &mut self,
        process: &str,
        is_due: impl Fn(&Record) -> bool,
    ) -> Option<Record> {
        let lines = self.lines.get_mut(process)?;
        if !lines.front().is_some_and(is_due) {
            return None;
        }
        let record = lines.pop_front()?;
        self.first.remove(&(record.at, process.to_owned()));
        match lines.front() {
            Some(next) => _ = self.first.insert((next.at, process.to_owned())),
            None => _ = self.lines.remove(process),
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use coordination::bus::vocabulary::OutputStream;

    use super::*;

    #[test]
    fn lines_come_in_the_order_of_time_or_those_of_one_process_first() {
        let at = |second| Timestamp::from_second(second).expect("it is a time");
        let mut waiting = Waiting::default();
        for (process, second) in [("a", 1), ("b", 2), ("a", 3), ("b", 4), ("a", 9)] {
            let record = Record {
                at: at(second),
                stream: OutputStream::Stdout,
                attempt: 1,
                line: second.to_string(),
                continues: false,
                is_after_gap: false,
            };
            waiting.push(process, record);
        }
        let mut lines = Vec::new();
        lines.extend(waiting.next_of("b", |record| record.at <= at(2)));
        lines.extend(waiting.next_of("b", |record| record.at <= at(2)));
        while let Some((_, record)) = waiting.next(|then| then <= at(4)) {
            lines.push(record);
        }
        assert!(waiting.next_of("c", |_| true).is_none());
        lines.extend(waiting.next(|then| then > at(8)).map(|(_, record)| record));
        let lines: Vec<_> = lines.iter().map(|record| &*record.line).collect();
        assert_eq!(lines, ["2", "1", "3", "4", "9"]);
        assert!(waiting.next(|_| true).is_none());
    }
}
