//! The last lines of a process, within bounds.

use std::collections::VecDeque;
use std::sync::Arc;

use coordination::bus::text::cut;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) lines: usize,
    pub(crate) bytes: usize,
    /// Of a line, whose end is left out where it is longer.
    line_bytes: usize,
}

impl Bounds {
    /// Nothing, where nobody looks through it.
    pub(crate) const NOTHING: Self = Self {
        lines: 0,
        bytes: 0,
        line_bytes: 0,
    };

    /// What a summary shows of a failure.
    pub(crate) const TAIL: Self = Self {
        lines: 10,
        bytes: 16 * 1024,
        line_bytes: 4 * 1024,
    };

    /// What a screen can scroll through: together no more than 64 MiB, however many rows there are. Lines are
    /// whole, as long as they may be, up to a thousand rows.
    pub(crate) fn of_screen(rows: usize) -> Self {
        const TOGETHER: usize = 64 * 1024 * 1024;
        const EACH: usize = 1024 * 1024;
        let bytes = (TOGETHER / rows.max(1)).min(EACH);
        Self {
            lines: 10_000,
            bytes,
            line_bytes: LINE_BYTES_MAX.min(bytes / 2),
        }
    }
}

/// The longest line that a process has: what is longer comes as several.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The beginning of a line that is too long, with how much of it there is not.
fn shortened(line: &str, bytes: usize) -> String {
    let mut kept = cut(line, bytes);
    // No part of what sets a colour.
    if let Some(escape) = kept.rfind('\u{1b}')
        && !kept[escape..].contains('m')
    {
        kept = &kept[..escape];
    }
    let more = line.len() - kept.len();
    format!("{kept}\u{1b}[0m… {more} bytes more")
}

/// The last lines of a process. The oldest make room for new ones.
pub(crate) struct Scrollback {
    lines: VecDeque<Kept>,
    /// The number of the first line that is kept, from 0.
    first: u64,
    bytes: usize,
    bounds: Bounds,
}

struct Kept {
    text: Box<str>,
    /// Which line of all processes it was, from 1 on; 0: it was none.
    arrival: u64,
    /// Who printed it, if that is told.
    by: Option<Arc<str>>,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.text.len() + self.by.as_ref().map_or(0, |by| by.len())
    }
}

impl Scrollback {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            lines: VecDeque::new(),
            first: 0,
            bytes: 0,
            bounds,
        }
    }

    /// Keeps a line: which one it is of all processes, and who printed it, if that is to be told.
    pub(super) fn push(&mut self, line: &str, arrival: u64, by: Option<Arc<str>>) {
        if self.bounds.lines == 0 {
            self.first += 1;
            return;
        }
        let text = match line.len() > self.bounds.line_bytes {
            true => shortened(line, self.bounds.line_bytes).into(),
            false => line.into(),
        };
        let line = Kept { text, arrival, by };
        self.bytes += line.bytes();
        self.lines.push_back(line);
        while self.lines.len() > self.bounds.lines || self.bytes > self.bounds.bytes {
            let Some(oldest) = self.lines.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes();
            self.first += 1;
        }
    }

    /// Parts what another process prints from what stands there.
    pub(super) fn part(&mut self) {
        if !self.lines.is_empty() {
            self.push("", 0, None);
        }
    }

    /// The number of the first line that is kept, counted from 0.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The number that the next line will have: how many there have been.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// A line by its number, if it is kept.
    pub(crate) fn line(&self, number: u64) -> Option<&str> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.lines.get(index).map(|line| &*line.text)
    }

    /// Who printed a line, by its number, where that is told.
    pub(crate) fn by(&self, number: u64) -> Option<&str> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.lines.get(index)?.by.as_deref()
    }

    /// The lines that came after one of any process, with which they were of all and who printed them,
    /// where that is told.
    pub(crate) fn after(&self, arrival: u64) -> impl Iterator<Item = (u64, Option<&str>, &str)> {
        let lines = self.lines.iter().filter(move |line| line.arrival > arrival);
        lines.map(|line| (line.arrival, line.by.as_deref(), &*line.text))
    }

    /// The last lines, at most so many.
    pub(crate) fn last(&self, lines: usize) -> impl Iterator<Item = &str> {
        let from = self.lines.len().saturating_sub(lines);
        self.lines.range(from..).map(|line| &*line.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(bounds: Bounds, lines: u32) -> Scrollback {
        let mut scrollback = Scrollback::new(bounds);
        for line in 0..lines {
            scrollback.push(&format!("line {line}"), 1, None);
        }
        scrollback
    }

    #[test]
    fn the_oldest_lines_make_room_and_numbers_stay() {
        let bounds = Bounds {
            lines: 3,
            bytes: 1_000,
            line_bytes: 100,
        };
        let scrollback = filled(bounds, 5);
        assert_eq!((scrollback.first(), scrollback.next()), (2, 5));
        assert_eq!(scrollback.line(1), None);
        assert_eq!(scrollback.line(2), Some("line 2"));
        assert_eq!(scrollback.line(5), None);
        assert!(scrollback.last(2).eq(["line 3", "line 4"]));
        assert!(scrollback.last(9).eq(["line 2", "line 3", "line 4"]));
    }

    #[test]
    fn bytes_are_bounded_too_and_characters_whole() {
        let bounds = Bounds {
            lines: 1_000,
            bytes: 10_000,
            line_bytes: 5_000,
        };
        let mut scrollback = filled(bounds, 3);
        for _ in 0..10 {
            scrollback.push(&"…".repeat(100_000), 1, Some("it:1".into()));
        }
        assert!(scrollback.bytes <= bounds.bytes);
        let line = scrollback.last(1).next().unwrap();
        // Three bytes each, and a mark behind those that there are.
        let mark = format!("\u{1b}[0m… {} bytes more", 300_000 - 1_666 * 3);
        assert_eq!(line, "…".repeat(1_666) + &mark);
    }

    #[test]
    fn no_colour_is_cut_in_two() {
        let line = format!("{}\u{1b}[31mred", "x".repeat(97));
        assert_eq!(
            shortened(&line, 100),
            "x".repeat(97) + "\u{1b}[0m… 8 bytes more"
        );
    }

    #[test]
    fn a_screen_of_few_rows_has_the_longest_lines_whole() {
        let mut scrollback = Scrollback::new(Bounds::of_screen(500));
        let line = "x".repeat(LINE_BYTES_MAX);
        scrollback.push(&line, 1, None);
        assert_eq!(scrollback.line(0), Some(&*line));
    }
}
