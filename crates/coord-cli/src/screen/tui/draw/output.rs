//! What the selected step or service has printed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::places::{Place, Places};
use super::{Scene, bytes, cut, cut_name, heading, measures, selected};
use crate::board::{Row, State};
use crate::labels::Labels;
use crate::screen::tui::look::Look;
use crate::screen::tui::pane::Pane;
use crate::screen::tui::view::View;
use crate::screen::tui::wrap;

/// Draws the output beside the list, with its heading in its first row.
pub(super) fn draw(scene: &Scene<'_>, view: &mut View, area: Rect, buffer: &mut Buffer) {
    let Some(row) = scene.board.rows.get(view.selected) else {
        return;
    };
    let mut rows = Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    };
    let readings = scene.history.of(view.selected);
    let has_room = view.measures.unwrap_or(area.height >= measures::HEIGHT_MIN);
    view.has_measures = has_room && readings.is_some() && rows.height > 2;
    if let Some(readings) = readings.filter(|_| view.has_measures) {
        measures::draw(scene, readings, Rect { height: 1, ..rows }, buffer);
        rows = below(rows);
    }
    if !row.remark.is_empty() && rows.height > 2 {
        let (_, style) = scene.look.state(row);
        let remark = cut(&row.remark, usize::from(rows.width), scene.look);
        buffer.set_stringn(rows.x, rows.y, remark, rows.width.into(), style);
        rows = below(rows);
    }
    let of = Shown::new(scene, row);
    settle(of, view, rows);
    let title = title(scene, row, view, area.width.into());
    heading(&title, scene, area.x, area.y, area.width, buffer);
    lines(of, view, rows, buffer);
}

/// All but the first row.
fn below(rows: Rect) -> Rect {
    Rect {
        y: rows.y + 1,
        height: rows.height - 1,
        ..rows
    }
}

/// Draws nothing but the output: what is selected with a mouse is what was printed.
pub(super) fn wide(scene: &Scene<'_>, view: &mut View, area: Rect, buffer: &mut Buffer) {
    if let Some(row) = scene.board.rows.get(view.selected) {
        let of = Shown::new(scene, row);
        settle(of, view, area);
        lines(of, view, area, buffer);
    }
}

/// What of it is shown, for the heading.
fn title(scene: &Scene<'_>, row: &Row, view: &View, width: usize) -> String {
    let pane = &view.pane;
    // With room for what else is to be said.
    let mut title = cut_name(&row.id, width * 2 / 3, scene.look);
    if let Some(filter) = &pane.filter {
        let (text, lines) = (filter.pattern.text(), filter.len());
        title += &format!(", {lines} with `{text}`");
    }
    if let Some(search) = &pane.search {
        let (text, of) = (search.pattern.text(), search.len());
        title += &match pane.current {
            Some(current) => format!(", `{text}` {} of {of}", search.up_to(current)),
            None => format!(", `{text}` in {of}"),
        };
    }
    if let Some(bottom) = pane
        .bottom_index(&row.output)
        .filter(|_| pane.bottom.is_some())
    {
        let below = pane.lines(&row.output).len() - bottom - 1;
        title += &format!(", {below} lines below");
    }
    if let Some(pid) = row.pid {
        title += &format!(", process {pid}");
    }
    if let Some((done, of)) = row.parts.filter(|_| row.state == State::Running) {
        title += &format!(", {done} of {of} done");
    }
    let mut load = scene.load.processes.iter();
    if let Some((_, cpu, memory)) = load.find(|(process, ..)| *process == row.id) {
        title += &format!(", {cpu:.0} %, {}", bytes(*memory));
    }
    title
}

/// Finds where what is shown ends: where it did, by so many rows further as keys have moved it since, or with
/// the line that is to be seen in its middle. Nothing is above the oldest line, nor below the newest.
fn settle(of: Shown<'_>, view: &mut View, area: Rect) {
    let output = &of.row.output;
    let pane = &mut view.pane;
    pane.catch_up(view.selected, output);
    pane.page = area.height.into();
    let (reveal, by) = (pane.reveal.take(), std::mem::take(&mut pane.by));
    let Some(index) = pane.bottom_index(output) else {
        return;
    };
    if pane.bottom.is_none() && reveal.is_none() && by == 0 {
        return;
    }
    let places = Places::new(of, pane, area);
    let (place, may_follow) = match reveal {
        Some(number) => (places.around(number), false),
        None => {
            // Another line stands there where the filter leaves out what did.
            let is_same = places.lines.number(index) == pane.bottom;
            let hidden = if is_same { pane.hidden } else { 0 };
            let below = hidden.min(places.rows(index) - 1);
            (places.moved(Place { index, below }, by), by != 0)
        }
    };
    let newest = places.lines.len() - 1;
    let place = place.max(places.oldest());
    let (bottom, hidden) = (places.lines.number(place.index), place.below);
    let is_newest = place.index == newest && hidden == 0;
    pane.bottom = bottom.filter(|_| !(is_newest && may_follow));
    pane.hidden = hidden;
}

/// The lines that fit, the last of them at the bottom; fewer of them at the top.
fn lines(of: Shown<'_>, view: &mut View, area: Rect, buffer: &mut Buffer) {
    let row = of.row;
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let pane = &mut view.pane;
    let mut hidden = pane.bottom.map_or(0, |_| pane.hidden);
    let mut shown: Vec<(bool, Line<'static>)> = Vec::new();
    let (mut first, mut last) = (None, None);
    if let Some(bottom) = pane.bottom_index(&row.output) {
        let lines = pane.lines(&row.output);
        for number in (0..=bottom).rev().filter_map(|index| lines.number(index)) {
            let is_selected = pane.has_selected(number);
            let wrapped = wrapped(of, pane, number, width).into_iter();
            let wrapped = wrapped.rev().skip(std::mem::take(&mut hidden));
            shown.extend(wrapped.map(|line| (is_selected, line)));
            (first, last) = (Some(number), last.or(Some(number)));
            if shown.len() >= height {
                break;
            }
        }
    }
    pane.shown = first.zip(last);
    shown.truncate(height);
    for ((is_selected, line), y) in shown.iter().rev().zip(area.y..area.bottom()) {
        buffer.set_line(area.x, y, line, area.width);
        if *is_selected {
            buffer.set_style(Rect::new(area.x, y, area.width, 1), selected(Style::new()));
        }
    }
}

/// Whose output is shown, and how.
#[derive(Clone, Copy)]
pub(super) struct Shown<'s> {
    pub(super) row: &'s Row,
    labels: &'s Labels,
    pub(super) look: Look,
}

impl<'s> Shown<'s> {
    fn new(scene: &Scene<'s>, row: &'s Row) -> Self {
        Self {
            row,
            labels: &scene.board.labels,
            look: scene.look,
        }
    }
}

/// The rows of a line.
pub(super) fn wrapped(
    shown: Shown<'_>,
    pane: &Pane,
    number: u64,
    width: usize,
) -> Vec<Line<'static>> {
    let Shown { row, labels, look } = shown;
    let line = row.output.line(number).unwrap_or_default();
    let mark = look.found(pane.current == Some(number));
    let marks = pane.search.as_ref().map(|search| (&search.pattern, mark));
    let Some(by) = row.output.by(number) else {
        return wrap::rows(line, width, look, marks);
    };
    // Under each other, so that it is seen where a line goes on.
    let by = cut(&short(by, labels), width / 2, look);
    let indent = by.width() + 1;
    let mut rows = wrap::rows(line, width.saturating_sub(indent), look, marks);
    for (index, row) in rows.iter_mut().enumerate() {
        let before = match index {
            0 => format!("{by} "),
            _ => " ".repeat(indent),
        };
        row.spans.insert(0, Span::styled(before, look.quiet()));
    }
    rows
}

/// What a process is called beside the name of its step: `2[linux]`, `hook`, `undo`.
fn short(process: &str, labels: &Labels) -> String {
    let label = labels.label(process);
    let label = label.as_deref().unwrap_or(process);
    let short = match label.split_once(':') {
        Some((_, item)) => item,
        None => label.split_once(' ').map_or(label, |(kind, _)| kind),
    };
    short.to_owned()
}
