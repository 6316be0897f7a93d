//! Where output that is looked through ends, in rows of the screen: lines wrap.

use ratatui::layout::Rect;

use super::output::{Shown, wrapped};
use crate::screen::tui::pane::{Lines, Pane};

/// Where what is shown ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The last line, by its place among those that are shown.
    pub(super) index: usize,
    /// How many rows of it are below.
    pub(super) below: usize,
}

impl Place {
    /// The one that is further down.
    pub(super) fn max(self, other: Self) -> Self {
        let is_above = (self.index, other.below) < (other.index, self.below);
        if is_above { other } else { self }
    }
}

/// The lines that can be shown, as rows of a pane.
pub(super) struct Places<'p> {
    of: Shown<'p>,
    pane: &'p Pane,
    pub(super) lines: Lines<'p>,
    width: usize,
    height: usize,
}

impl<'p> Places<'p> {
    pub(super) fn new(of: Shown<'p>, pane: &'p Pane, area: Rect) -> Self {
        Self {
            of,
            pane,
            lines: pane.lines(&of.row.output),
            width: area.width.into(),
            height: area.height.into(),
        }
    }

    /// How many rows a line has; at least one.
    pub(super) fn rows(&self, index: usize) -> usize {
        let number = self.lines.number(index);
        let rows = number.map(|number| wrapped(self.of, self.pane, number, self.width).len());
        rows.unwrap_or(1).max(1)
    }

    /// Where the oldest rows are shown that fit.
    pub(super) fn oldest(&self) -> Place {
        let mut above = 0;
        let newest = self.lines.len().saturating_sub(1);
        for index in 0..=newest {
            above += self.rows(index);
            if above >= self.height {
                let below = above - self.height.max(1);
                return Place { index, below };
            }
        }
        let (index, below) = (newest, 0);
        Place { index, below }
    }

    /// So many rows further down, or up: as far as there are lines.
    pub(super) fn moved(&self, from: Place, by: isize) -> Place {
        let Place {
            mut index,
            mut below,
        } = from;
        let mut left = by.unsigned_abs();
        if by == isize::MIN {
            return self.oldest();
        }
        while left > 0 && by > 0 {
            let step = below.min(left);
            (below, left) = (below - step, left - step);
            if left > 0 {
                if index + 1 >= self.lines.len() {
                    break;
                }
                index += 1;
                below = self.rows(index);
            }
        }
        while left > 0 && by < 0 {
            let step = (self.rows(index) - 1 - below).min(left);
            (below, left) = (below + step, left - step);
            if left > 0 {
                if index == 0 {
                    break;
                }
                (index, below, left) = (index - 1, 0, left - 1);
            }
        }
        Place { index, below }
    }

    /// Where a line is in the middle, or as near to it as can be: of one with a match, the row with that.
    pub(super) fn around(&self, number: u64) -> Place {
        let rows = wrapped(self.of, self.pane, number, self.width);
        let mark = self.of.look.found(true);
        let is_marked = |style: ratatui::style::Style| style.patch(mark) == style;
        let found = rows
            .iter()
            .position(|row| row.spans.iter().any(|span| is_marked(span.style)));
        let found = found.filter(|_| self.pane.current == Some(number));
        let place = Place {
            index: self.lines.index(number),
            below: rows.len().max(1) - 1 - found.unwrap_or(0),
        };
        self.moved(place, (self.height / 2) as isize)
    }
}
