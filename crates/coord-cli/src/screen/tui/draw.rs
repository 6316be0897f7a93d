//! Draws a run: what there is, what it says, what happened, and the keys.

mod failed;
mod list;
mod measures;
mod output;
mod over;
mod places;
#[cfg(test)]
mod tests;

use std::time::Duration;

use coordination::bus::text::without_middle;
use coordination::bus::vocabulary::{LogEvent, LogLevel};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::history::History;
use super::look::Look;
use super::view::{Asking, Over, Question, View};
use crate::board::{Board, Row, State};
use crate::shortened::shortened;
use crate::spoken::Spoken;

/// The smallest screen on which anything can be told apart.
const WIDTH_MIN: u16 = 30;
const HEIGHT_MIN: u16 = 6;

/// What is known of the load.
#[derive(Debug, Clone, Default)]
pub(super) struct Load {
    /// Of all processes together, where 100 is one processor.
    pub(super) cpu_percent: f64,
    pub(super) memory_bytes: u64,
    pub(super) lines_per_second: f64,
    /// By process: processor time and memory.
    pub(super) processes: Vec<(String, f64, u64)>,
}

/// Everything that is drawn.
pub(super) struct Scene<'s> {
    pub(super) board: &'s Board,
    pub(super) load: &'s Load,
    pub(super) history: &'s History,
    /// The newest last.
    pub(super) events: &'s [LogEvent],
    /// What an interrupt did.
    pub(super) ending: Option<&'static str>,
    /// Whether the run goes on elsewhere, and is only looked at.
    pub(super) look_on: bool,
    /// Where the run is in a journal, the flag that names it.
    pub(super) kept: Option<&'s str>,
    pub(super) look: Look,
}

/// Draws the whole screen.
pub(super) fn draw(scene: &Scene<'_>, view: &mut View, area: Rect, buffer: &mut Buffer) {
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        Line::styled("too small", scene.look.title()).render(area, buffer);
        return;
    }
    if view.is_wide {
        wide(scene, view, area, buffer);
    } else {
        whole(scene, view, area, buffer);
    }
    match view.over {
        Some(Over::Help) => over::help(scene, &mut view.scroll, area, buffer),
        Some(Over::Why) => over::why(scene, &mut view.scroll, area, buffer),
        None => {}
    }
}

/// The output alone, and what is said or typed, if there is something.
fn wide(scene: &Scene<'_>, view: &mut View, area: Rect, buffer: &mut Buffer) {
    let is_said = view.asking.is_some() || view.notice.is_some();
    let height = area.height - u16::from(is_said);
    output::wide(scene, view, Rect { height, ..area }, buffer);
    if is_said {
        foot(scene, view, last_row(area), buffer);
    }
}

fn last_row(area: Rect) -> Rect {
    Rect {
        y: area.bottom() - 1,
        height: 1,
        ..area
    }
}

fn whole(scene: &Scene<'_>, view: &mut View, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width).saturating_sub(2);
    let height = usize::from(area.height);
    // There are the first row, the heading and the last row besides.
    let failed = failed::lines(scene, width, height / 2, height - 3);
    let events = match u16::try_from(failed.len()) {
        Ok(rows @ 1..) => events_height(area.height).max(rows + 1),
        _ => events_height(area.height),
    };
    let header = Rect { height: 1, ..area };
    let middle = Rect {
        y: area.y + 1,
        height: area.height - 2 - events,
        ..area
    };
    let entries = view.form.entries(scene.board, scene.look);
    let left = list::width(scene, view.form, &entries, area.width);
    let list = Rect {
        width: left,
        ..middle
    };
    let right = Rect {
        x: area.x + left + 1,
        width: area.width - left - 1,
        ..middle
    };
    head(scene, header, buffer);
    let junctions = [Some(left), None];
    rule(scene, area, middle.y, junctions, buffer);
    let lines = scene.look.lines();
    for y in middle.y + 1..middle.bottom() {
        buffer.set_string(area.x + left, y, lines.vertical, scene.look.quiet());
    }
    list::draw(scene, view, &entries, list, buffer);
    output::draw(scene, view, right, buffer);
    if events > 0 {
        let rows = Rect {
            y: middle.bottom(),
            height: events,
            ..area
        };
        rule(scene, area, rows.y, [None, Some(left)], buffer);
        happened(scene, &failed, rows, buffer);
    }
    foot(scene, view, last_row(area), buffer);
}

/// Rows for what happened, its heading included.
fn events_height(height: u16) -> u16 {
    match height {
        0..16 => 0,
        16..40 => 5,
        _ => 9,
    }
}

fn head(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let (board, look) = (scene.board, scene.look);
    let (state, style) = state(scene);
    let runs_on = board.runs_on();
    let took = board.took.filter(|_| !runs_on);
    let took = took.unwrap_or_else(|| board.started.elapsed());
    let over = board.rows.iter().filter(|row| row.state.is_over()).count();
    let name = cut_name(&board.workflow, usize::from(area.width / 3), look);
    let mut left = Line::from(vec![
        Span::styled(format!(" {name} "), look.title()),
        Span::styled(format!("{state} "), style),
        Span::raw(format!(
            "{}{}{over} of {} over",
            coarse(took),
            look.dot(),
            board.rows.len()
        )),
    ]);
    if let Some(path) = &board.above {
        let room = usize::from(area.width).saturating_sub(left.width() + 1);
        left.push_span(Span::raw(look.dot()));
        left.push_span(Span::styled(cut_name(path, room, look), look.quiet()));
    }
    if !runs_on {
        // Nothing is left that could be measured.
        buffer.set_line(area.x, area.y, &left, area.width);
        return;
    }
    let load = scene.load;
    let right = format!(
        "{} lines/s{dot}cpu {:.0} %{dot}{} ",
        count(load.lines_per_second),
        load.cpu_percent,
        bytes(load.memory_bytes),
        dot = look.dot(),
    );
    buffer.set_line(area.x, area.y, &left, area.width);
    let width = u16::try_from(right.chars().count()).unwrap_or(u16::MAX);
    let used = u16::try_from(left.width()).unwrap_or(u16::MAX);
    if used.saturating_add(width) <= area.width {
        buffer.set_string(area.right() - width, area.y, right, Style::new());
    }
}

/// How the run is, in a word or two.
fn state(scene: &Scene<'_>) -> (&'static str, Style) {
    let (board, look) = (scene.board, scene.look);
    let failed = |row: &Row| row.state == State::Failed && !row.optional;
    match board.outcome.as_deref() {
        _ if board.runs_on() && scene.ending.is_some() => ("ending", look.odd()),
        None if board.is_undoing() => ("undoing", look.odd()),
        None if board.hook().is_some() => ("running its hook", look.busy()),
        None if board.is_paused => ("paused (p goes on)", look.odd()),
        None if board.is_up && scene.look_on => ("up", look.good()),
        None if board.is_up => ("up (q ends the services)", look.good()),
        None => ("running", look.busy()),
        Some("failed") => ("failed", look.bad()),
        Some(_) if board.rows.iter().any(failed) => ("failed", look.bad()),
        Some("completed") => ("completed", look.good()),
        Some("timed-out") => ("took too long", look.bad()),
        Some(_) => ("cancelled", look.odd()),
    }
}

/// A horizontal line across the screen, with what leaves it downwards and upwards.
fn rule(scene: &Scene<'_>, area: Rect, y: u16, [down, up]: [Option<u16>; 2], buffer: &mut Buffer) {
    let (lines, style) = (scene.look.lines(), scene.look.quiet());
    for x in area.x..area.right() {
        buffer.set_string(x, y, lines.horizontal, style);
    }
    if let Some(at) = down {
        buffer.set_string(area.x + at, y, lines.down, style);
    }
    if let Some(at) = up {
        buffer.set_string(area.x + at, y, lines.up, style);
    }
}

/// A heading in a horizontal line.
fn heading(text: &str, scene: &Scene<'_>, x: u16, y: u16, width: u16, buffer: &mut Buffer) {
    let text = format!(" {} ", scene.look.text(text));
    let room = usize::from(width.saturating_sub(2));
    // The line beneath it is dim.
    let style = scene.look.title().remove_modifier(Modifier::DIM);
    buffer.set_stringn(x + 1, y, text, room, style);
}

/// What failed, or else what happened last.
fn happened(scene: &Scene<'_>, failed: &[(String, Style)], area: Rect, buffer: &mut Buffer) {
    if !failed.is_empty() {
        heading("what failed", scene, area.x, area.y, area.width, buffer);
        for ((text, style), y) in failed.iter().zip(area.y + 1..area.bottom()) {
            let text = scene.look.text(&format!(" {text}"));
            buffer.set_stringn(area.x, y, text, area.width.into(), *style);
        }
        return;
    }
    heading("events", scene, area.x, area.y, area.width, buffer);
    let rows = usize::from(area.height - 1);
    let shown = &scene.events[scene.events.len().saturating_sub(rows)..];
    for (event, y) in shown.iter().zip(area.y + 1..) {
        let style = match event.level {
            LogLevel::Error => scene.look.bad(),
            LogLevel::Warn => scene.look.odd(),
            _ => Style::new(),
        };
        let time = event.at.strftime("%H:%M:%S");
        let source = scene.board.labels.called(&event.source);
        let line = Line::from(vec![
            Span::styled(format!(" {time} "), scene.look.quiet()),
            Span::styled(
                scene.look.text(&format!("{source}: {}", event.message)),
                style,
            ),
        ]);
        buffer.set_line(area.x, y, &line, area.width);
    }
}

fn foot(scene: &Scene<'_>, view: &View, area: Rect, buffer: &mut Buffer) {
    let look = scene.look;
    if let Some(asking) = &view.asking {
        return typed(scene, asking, area, buffer);
    }
    let said = view.notice.as_deref().or(scene.ending);
    if let Some(said) = said {
        let text = format!(" {}", look.text(said));
        buffer.set_stringn(area.x, area.y, text, area.width.into(), look.odd());
        return;
    }
    let arrows = if look.unicode { "↑↓" } else { "up/down" };
    let more: &[(&str, &str)] = match area.width {
        0..110 => &[],
        _ => &[("&", "filter"), ("y", "copy"), ("o", "stream")],
    };
    let quit = if scene.look_on || !scene.board.runs_on() {
        "leave"
    } else if scene.board.is_up {
        "end"
    } else {
        "quit"
    };
    let selected = scene.board.rows.get(view.selected);
    let of_row = selected.map(|row| row_keys(scene.board, row));
    let mut keys = vec![(arrows, "select"), ("/", "search"), ("l", "tree")];
    keys.extend(of_row.into_iter().flatten());
    keys.extend([("t", "why"), ("?", "help"), ("q", quit)]);
    keys.extend(more);
    let mut spans = vec![Span::raw(" ")];
    for (key, does) in &keys {
        spans.push(Span::styled(*key, look.title()));
        spans.push(Span::styled(format!(" {does}  "), look.quiet()));
    }
    buffer.set_line(area.x, area.y, &Line::from(spans), area.width);
}

/// What can be done with a row, as it is.
fn row_keys(board: &Board, row: &Row) -> &'static [(&'static str, &'static str)] {
    match row.state {
        _ if board.may_start_again(row) => &[("r", "start again")],
        state if state.is_over() => &[],
        State::Paused => &[("r", "retry"), ("x", "skip")],
        State::Running if row.signal.is_some() => &[("s", "signal"), ("x", "skip")],
        State::Waiting if row.is_service => &[],
        _ if row.waits.is_some() => &[("x", "skip")],
        State::Waiting => &[("x", "skip")],
        State::Retrying { .. } => &[("r", "try now"), ("K", "give up")],
        _ => &[("r", "restart"), ("K", "stop")],
    }
}

/// What is being typed, with the end of it in view if it does not fit.
fn typed(scene: &Scene<'_>, asking: &Asking, area: Rect, buffer: &mut Buffer) {
    let look = scene.look;
    let sign = match &asking.what {
        Question::Search => "/".to_owned(),
        Question::Filter => "&".to_owned(),
        Question::Signal { name, .. } => look.text(&format!("signal `{name}` with JSON: ")),
    };
    let (before, after) = asking.prompt.parts();
    let fault = asking.fault.as_deref().unwrap_or_default();
    let taken = sign.chars().count() + fault.chars().count() + 6;
    let room = usize::from(area.width).saturating_sub(taken);
    let skipped = before.chars().count().saturating_sub(room);
    let before: String = before.chars().skip(skipped).collect();
    let mut after = after.chars();
    let under = after.next().unwrap_or(' ').to_string();
    let line = Line::from(vec![
        Span::styled(format!(" {sign}"), look.title()),
        Span::raw(look.text(&before)),
        Span::styled(look.text(&under), selected(Style::new())),
        Span::raw(look.text(after.as_str())),
        Span::styled(format!("  {}", look.text(fault)), look.bad()),
    ]);
    buffer.set_line(area.x, area.y, &line, area.width);
}

/// A time in whole seconds, so that a screen has nothing to redraw in between.
fn coarse(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        _ => Spoken(time).to_string(),
    }
}

/// A number as people say it.
fn count(number: f64) -> String {
    match number {
        ..1e4 => format!("{number:.0}"),
        ..1e6 => format!("{:.0} k", number / 1e3),
        _ => format!("{:.1} M", number / 1e6),
    }
}

/// An amount of memory as people say it.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut amount = bytes as f64 / 1e3;
    let mut units = UNITS.into_iter().peekable();
    loop {
        let unit = units.next().unwrap_or_default();
        if amount < 1e3 || units.peek().is_none() {
            let digits = usize::from(amount < 10.0 && unit != "kB");
            return format!("{amount:.digits$} {unit}");
        }
        amount /= 1e3;
    }
}

/// As much of a text as fits, with a mark where it was cut.
pub(super) fn cut(text: &str, width: usize, look: Look) -> String {
    look.text(&shortened(text, width))
}

/// The same of a name, with the mark in its middle.
pub(super) fn cut_name(name: &str, width: usize, look: Look) -> String {
    look.text(&without_middle(name, width))
}

fn selected(style: Style) -> Style {
    style.add_modifier(Modifier::REVERSED)
}
