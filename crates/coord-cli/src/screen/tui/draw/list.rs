//! The steps and services, a line each: as a list, a tree, a graph or bars in time.

use coordination::bus::time::Instant;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{Scene, coarse, cut, cut_name, heading, selected};
use crate::board::{Row, State};
use crate::screen::tui::form::{Entry, Form};
use crate::screen::tui::view::View;
use crate::spoken::Spoken;

/// The widest column for what stands before ids in a tree.
const BRANCH_WIDTH_MAX: usize = 16;
/// The narrowest, before times are left out for it.
const ID_WIDTH_MIN: usize = 12;
/// The columns for a state and for a time.
const STATE_WIDTH: usize = 11;
const TIME_WIDTH: usize = 9;
/// Beside bars, where a time of an hour and more fits.
const BAR_TIME_WIDTH: usize = 11;

/// The columns that the list takes of a screen: no more than half of it, or, where more is to be
/// said of each row, than five eighths.
pub(super) fn width(scene: &Scene<'_>, form: Form, entries: &[Entry], screen: u16) -> u16 {
    let (wanted, most) = match form {
        Form::List | Form::Tree => {
            let id_width = id_width(scene, entries);
            (3 + id_width + 1 + STATE_WIDTH + TIME_WIDTH + 1, screen / 2)
        }
        Form::Graph => {
            let widths = entries.iter().map(|entry| entry.text.chars().count());
            (4 + widths.max().unwrap_or(0), screen / 8 * 5)
        }
        Form::Time => (usize::MAX, screen / 8 * 5),
    };
    u16::try_from(wanted).unwrap_or(u16::MAX).min(most)
}

fn id_width(scene: &Scene<'_>, entries: &[Entry]) -> usize {
    let ids = entries.iter().map(|entry| {
        let id = scene.board.rows[entry.place].id.chars().count();
        entry.text.chars().count().min(BRANCH_WIDTH_MAX) + id
    });
    ids.max().unwrap_or_default()
}

/// Draws the rows, with a heading in the first row.
pub(super) fn draw(
    scene: &Scene<'_>,
    view: &View,
    entries: &[Entry],
    area: Rect,
    buffer: &mut Buffer,
) {
    let form = view.form;
    heading(form.name(), scene, area.x, area.y, area.width, buffer);
    let height = usize::from(area.height.saturating_sub(1));
    let is_selected = |entry: &Entry| entry.place == view.selected;
    let at = entries.iter().position(is_selected).unwrap_or(0);
    // The selected row is always in view, with what is before it as far as it fits.
    let first = (at + 1).saturating_sub(height);
    let width = usize::from(area.width);
    let bars = (form == Form::Time).then(|| Bars::new(scene, entries, width));
    for (entry, y) in entries.iter().skip(first).take(height).zip(area.y + 1..) {
        let row = &scene.board.rows[entry.place];
        let line = match (form, &bars) {
            (Form::Graph, _) => {
                let (mark, style) = scene.look.state(row);
                let text = scene.look.text(&entry.text);
                Line::styled(cut(&format!(" {mark} {text}"), width, scene.look), style)
            }
            (_, Some(bars)) => bars.line(scene, entry.place),
            _ => line(scene, entry, id_width(scene, entries), width),
        };
        buffer.set_line(area.x, y, &line, area.width);
        if is_selected(entry) {
            let style = selected(Style::new());
            buffer.set_style(Rect::new(area.x, y, area.width, 1), style);
        }
    }
}

/// How long a row has been in its state, or took.
fn time(row: &Row) -> String {
    match (row.state, row.elapsed()) {
        (_, None) => String::new(),
        (state, Some(elapsed)) if state.is_over() && row.undoing.is_none() => {
            Spoken(elapsed).to_string()
        }
        (_, Some(elapsed)) => coarse(elapsed),
    }
}

fn line(scene: &Scene<'_>, entry: &Entry, id_width: usize, width: usize) -> Line<'static> {
    let look = scene.look;
    let row = &scene.board.rows[entry.place];
    let (mark, style) = look.state(row);
    // Long ids are cut; where there is still no room, the time is left out, and then the state.
    let room = width.saturating_sub(3 + 1 + STATE_WIDTH + TIME_WIDTH + 1);
    let id_width = id_width.min(room.max(ID_WIDTH_MIN));
    let branch_width = entry.text.chars().count();
    let id = match id_width.checked_sub(branch_width + ID_WIDTH_MIN / 2) {
        Some(_) => {
            let id = cut_name(&row.id, id_width - branch_width, look);
            format!("{}{id}", look.text(&entry.text))
        }
        // Deep in a tree there is no room for both.
        None => cut(&format!("{}{}", entry.text, row.id), id_width, look),
    };
    let mut text = format!(" {id:id_width$} ");
    if text.chars().count() + STATE_WIDTH + TIME_WIDTH + 3 <= width {
        // Both share their columns: what the one does not need the other may have.
        let time = time(row);
        let room = (STATE_WIDTH + TIME_WIDTH).saturating_sub(time.chars().count());
        let state = cut(&state(row), room.saturating_sub(1), look);
        text.push_str(&format!("{state:room$}{time} "));
    } else {
        text.push_str(&format!("{:STATE_WIDTH$}", state(row)));
    }
    let style_of_text = match row.state {
        State::Waiting => look.quiet(),
        _ => style,
    };
    Line::from(vec![
        Span::styled(format!(" {mark}"), style),
        Span::styled(text, style_of_text),
    ])
}

/// The rows as bars over the time of the run so far.
struct Bars {
    id_width: usize,
    width: usize,
    from: Option<Instant>,
    until: Instant,
    /// Those that decided how long the run took, once it is over.
    critical: Vec<usize>,
}

impl Bars {
    fn new(scene: &Scene<'_>, entries: &[Entry], width: usize) -> Self {
        let board = scene.board;
        let rows = || board.rows.iter();
        let runs_on = rows().any(|row| !row.state.is_over());
        let last = rows().filter_map(|row| row.ended).max();
        let last = last.filter(|_| !runs_on);
        let id_width = id_width(scene, entries).min(width / 3);
        Self {
            id_width,
            width: width.saturating_sub(3 + id_width + 1 + BAR_TIME_WIDTH + 1),
            from: rows().filter_map(|row| row.began).min(),
            until: last.unwrap_or_else(Instant::now),
            critical: board.critical_path(),
        }
    }

    /// The column in which a moment falls.
    fn column(&self, from: Instant, at: Instant) -> usize {
        let total = (self.until - from).as_nanos().max(1);
        let column = (at - from).as_nanos() * self.width as u128 / total;
        usize::try_from(column).map_or(self.width, |column| column.min(self.width))
    }

    fn line(&self, scene: &Scene<'_>, place: usize) -> Line<'static> {
        let Self {
            id_width, width, ..
        } = *self;
        let look = scene.look;
        let row = &scene.board.rows[place];
        let (mark, style) = look.state(row);
        let is_critical = self.critical.contains(&place);
        let mut bar = String::new();
        if let Some((from, began)) = self.from.zip(row.began) {
            let start = self.column(from, began).min(width.saturating_sub(1));
            let until = self.column(from, row.ended.unwrap_or(self.until));
            let length = until.max(start + 1) - start;
            // Others had to wait for a service only until it was ready.
            let waited = row.released.filter(|_| is_critical);
            let waited = waited.map_or(0, |at| self.column(from, at).max(start + 1) - start);
            let (waited, more) = (waited.min(length), length.saturating_sub(waited));
            bar =
                " ".repeat(start) + &look.bar(true).repeat(waited) + &look.bar(false).repeat(more);
        }
        let id = cut_name(&row.id, id_width, look);
        let id_style = match is_critical {
            true => style.patch(look.title()),
            false => style,
        };
        Line::from(vec![
            Span::styled(format!(" {mark} {id:id_width$} "), id_style),
            Span::styled(format!("{bar:width$}"), style),
            Span::styled(format!("{:>BAR_TIME_WIDTH$} ", time(row)), look.quiet()),
        ])
    }
}

/// The state, and which attempt or start it is if it is not the first.
fn state(row: &Row) -> String {
    let name = row.word();
    if let Some((done, of)) = row.parts.filter(|_| row.state == State::Running) {
        let said = format!("{done} of {of}");
        return match said.len() < STATE_WIDTH {
            true => said,
            false => format!("{done}/{of}"),
        };
    }
    let shown_attempt = matches!(row.state, State::Running | State::Retrying { .. });
    if shown_attempt && row.attempt > 1 {
        let short = if row.state == State::Running {
            "run"
        } else {
            "retry"
        };
        return format!("{short} {}/{}", row.attempt, row.attempts_max);
    }
    match row.incarnation {
        0 | 1 => name.to_owned(),
        starts => format!("{name} x{starts}"),
    }
}
