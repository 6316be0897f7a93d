//! Which lines of a process's output have what is looked for, found once for each line.

use std::collections::VecDeque;

use super::pattern::Pattern;
use crate::board::Scrollback;

/// The lines that have a pattern, of those that are kept.
pub(super) struct Matches {
    pub(super) pattern: Pattern,
    /// The row whose lines these are.
    place: usize,
    /// Their numbers, in order: no more than lines are kept.
    found: VecDeque<u64>,
    /// The number of the first line that was not looked at.
    next: u64,
}

impl Matches {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            place: 0,
            found: VecDeque::new(),
            next: 0,
        }
    }

    /// Looks at the lines that came since, or at all, if they are of another row.
    pub(super) fn catch_up(&mut self, place: usize, output: &Scrollback) {
        if std::mem::replace(&mut self.place, place) != place {
            self.found.clear();
            self.next = 0;
        }
        while self
            .found
            .front()
            .is_some_and(|number| *number < output.first())
        {
            self.found.pop_front();
        }
        for number in self.next.max(output.first())..output.next() {
            if output
                .line(number)
                .is_some_and(|line| self.pattern.is_in(line))
            {
                self.found.push_back(number);
            }
        }
        self.next = output.next();
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn number(&self, index: usize) -> Option<u64> {
        self.found.get(index).copied()
    }

    /// How many of them are at or before a line.
    pub(super) fn up_to(&self, number: u64) -> usize {
        self.found.partition_point(|found| *found <= number)
    }

    /// The next one after a line; after the last, the first.
    pub(super) fn below(&self, number: u64) -> Option<u64> {
        self.number(self.up_to(number)).or_else(|| self.number(0))
    }

    /// The one before a line; before the first, the last.
    pub(super) fn above(&self, number: u64) -> Option<u64> {
        let before = self.found.partition_point(|found| *found < number);
        match before.checked_sub(1) {
            Some(index) => self.number(index),
            None => self.found.back().copied(),
        }
    }
}
