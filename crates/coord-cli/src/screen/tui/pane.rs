//! Where in a process's output somebody is: what is looked for, what is left out, what is marked.

use super::matches::Matches;
use super::pattern::{Pattern, plain};
use crate::board::{Row, Scrollback};

/// What is copied at once, in bytes: as much as terminals take, which is 100,000 in base64.
const COPIED_MAX: usize = 74_994;

/// What of the output is shown.
#[derive(Default)]
pub(super) struct Pane {
    /// The number of the last line shown; `None`: the newest, whatever it is.
    pub(super) bottom: Option<u64>,
    /// How many rows of that line are below what is shown, where it is wrapped.
    pub(super) hidden: usize,
    /// By how many rows the next frame is to be further down, or up: only who draws knows where lines wrap.
    pub(super) by: isize,
    /// A line that the next frame is to have in its middle.
    pub(super) reveal: Option<u64>,
    /// How many rows of output fit, as drawn last.
    pub(super) page: usize,
    /// The numbers of the first and the last line that were drawn last.
    pub(super) shown: Option<(u64, u64)>,
    /// What is marked.
    pub(super) search: Option<Matches>,
    /// What alone is shown.
    pub(super) filter: Option<Matches>,
    /// The line with a match to which somebody went last.
    pub(super) current: Option<u64>,
    /// The lines that are selected: where that began, and where it has got.
    pub(super) selection: Option<(u64, u64)>,
}

/// The lines that are shown, or would be if there were room.
pub(super) enum Lines<'l> {
    All(&'l Scrollback),
    Found(&'l Matches),
}

/// What goes into the clipboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) text: String,
    /// How many lines that are, and how many there were.
    pub(super) lines: usize,
    pub(super) of: usize,
}

impl Lines<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::All(output) => usize::try_from(output.next() - output.first()).unwrap_or(0),
            Self::Found(matches) => matches.len(),
        }
    }

    pub(super) fn number(&self, index: usize) -> Option<u64> {
        match self {
            Self::All(output) => Some(output.first() + index as u64),
            Self::Found(matches) => matches.number(index),
        }
    }

    /// The place of a line among them, or of the last one before it.
    pub(super) fn index(&self, number: u64) -> usize {
        match self {
            Self::All(output) => {
                let index = number.saturating_sub(output.first());
                usize::try_from(index).unwrap_or(usize::MAX)
            }
            Self::Found(matches) => matches.up_to(number).saturating_sub(1),
        }
    }
}

impl Pane {
    /// Finds what is looked for in the lines that came since.
    pub(super) fn catch_up(&mut self, place: usize, output: &Scrollback) {
        for matches in [&mut self.search, &mut self.filter].into_iter().flatten() {
            matches.catch_up(place, output);
        }
        self.current = self.current.filter(|line| *line >= output.first());
    }

    /// The place of the last line shown among those that are shown, where there are any. What stood
    /// there may have made room meanwhile.
    pub(super) fn bottom_index(&self, output: &Scrollback) -> Option<usize> {
        let lines = self.lines(output);
        let newest = lines.len().checked_sub(1)?;
        let bottom = self.bottom.map_or(newest, |bottom| lines.index(bottom));
        Some(bottom.min(newest))
    }

    pub(super) fn lines<'l>(&'l self, output: &'l Scrollback) -> Lines<'l> {
        match &self.filter {
            Some(filter) => Lines::Found(filter),
            None => Lines::All(output),
        }
    }

    /// Another row's output is shown. What is looked for stays.
    pub(super) fn leave(&mut self) {
        (self.bottom, self.reveal, self.current, self.selection) = (None, None, None, None);
        (self.hidden, self.by) = (0, 0);
    }

    /// Follows what is newest.
    pub(super) fn follow(&mut self) {
        self.leave();
    }

    /// Moves what is shown, by rows, or the end of the selection, by lines; beyond the newest, new lines are
    /// followed again.
    pub(super) fn scroll(&mut self, output: &Scrollback, to: Move) {
        let page = self.page.max(1) as isize;
        let by = match to {
            Move::Steps(steps) => steps,
            Move::Pages(pages) => pages * page,
            Move::Oldest => isize::MIN,
        };
        let lines = self.lines(output);
        let Some(newest) = lines.len().checked_sub(1) else {
            return;
        };
        let Some((from, until)) = self.selection else {
            // From where it is now, whatever comes until that is drawn.
            self.bottom = self.bottom.or_else(|| lines.number(newest));
            self.by = self.by.saturating_add(by);
            return;
        };
        let index = lines.index(until).saturating_add_signed(by).min(newest);
        let number = lines.number(index);
        self.selection = number.map(|number| (from, number));
        self.reveal = number;
    }

    /// The line that somebody looks at: the match, or else the last that is shown.
    fn at(&self, output: &Scrollback) -> u64 {
        let newest = output.next().saturating_sub(1);
        let at = self.selection.map(|(_, until)| until);
        at.or(self.current).or(self.bottom).unwrap_or(newest)
    }

    /// Looks for something else, or for nothing.
    pub(super) fn look_for(&mut self, pattern: Option<Pattern>) {
        self.search = pattern.map(Matches::new);
        self.current = None;
    }

    /// Shows only lines with something, or all.
    pub(super) fn only(&mut self, pattern: Option<Pattern>) {
        self.filter = pattern.map(Matches::new);
    }

    /// Goes to a match: to the nearest that is shown or above, the next below, the next above. What
    /// there is to say if there is none.
    pub(super) fn go(&mut self, place: usize, row: &Row, way: Way) -> Option<String> {
        let Some(search) = &mut self.search else {
            return Some("nothing is looked for: / begins".to_owned());
        };
        search.catch_up(place, &row.output);
        let text = search.pattern.text().to_owned();
        // Of what the filter leaves out, nothing can be shown.
        let is_shown = |number: &u64| match (&self.filter, row.output.line(*number)) {
            (Some(filter), Some(line)) => filter.pattern.is_in(line),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let search = self.search.as_ref()?;
        let mut at = self.at(&row.output);
        if way == Way::Nearest {
            at += 1;
        }
        for _ in 0..search.len() {
            let next = match way {
                Way::Below => search.below(at),
                Way::Above | Way::Nearest => search.above(at),
            };
            at = next?;
            if is_shown(&at) {
                self.current = Some(at);
                self.reveal = Some(at);
                if let Some((_, until)) = &mut self.selection {
                    *until = at;
                }
                return None;
            }
        }
        Some(format!("no line of {} has `{text}`", row.id))
    }

    /// Begins to select lines, or stops it.
    pub(super) fn select(&mut self, output: &Scrollback) {
        self.selection = match self.selection {
            None if output.next() > 0 => {
                let at = self.at(output);
                self.bottom = self.bottom.or(Some(output.next() - 1));
                Some((at, at))
            }
            _ => None,
        };
    }

    /// Whether a line is selected.
    pub(super) fn has_selected(&self, number: u64) -> bool {
        self.selection
            .is_some_and(|(from, until)| (from.min(until)..=from.max(until)).contains(&number))
    }

    /// The selected lines, or those that are shown.
    pub(super) fn copy(&self, output: &Scrollback) -> Option<Copy> {
        let (from, until) = self.selection.or(self.shown)?;
        self.copy_between(output, from.min(until), from.max(until))
    }

    /// All lines that are kept, or those that the filter leaves.
    pub(super) fn copy_all(&self, output: &Scrollback) -> Option<Copy> {
        self.copy_between(output, 0, u64::MAX)
    }

    /// Of more than fits, the newest.
    fn copy_between(&self, output: &Scrollback, from: u64, until: u64) -> Option<Copy> {
        let lines = self.lines(output);
        let numbers = (0..lines.len()).filter_map(|index| lines.number(index));
        let wanted = |number: &u64| (from..=until).contains(number);
        let of = numbers.clone().filter(wanted).count();
        let mut taken = Vec::new();
        let mut bytes = 0;
        for number in numbers.rev().filter(wanted) {
            let line = plain(output.line(number)?);
            bytes += line.len() + 1;
            if bytes > COPIED_MAX {
                break;
            }
            taken.push(line);
        }
        taken.reverse();
        (!taken.is_empty()).then(|| Copy {
            lines: taken.len(),
            of,
            text: taken.join("\n"),
        })
    }
}

/// How far the keys move what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    Steps(isize),
    Pages(isize),
    Oldest,
}

/// Which match to go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Nearest,
    Below,
    Above,
}
