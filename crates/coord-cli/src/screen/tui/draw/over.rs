//! What lies over the screen: the keys, or what runs and why.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::{Scene, cut_name, heading, rule};
use crate::screen::tui::view::Scroll;
use crate::screen::tui::wrap;

const KEYS: [(&str, &str); 21] = [
    (
        "up, down",
        "select a step or service (k, j); the first, the last: <, >",
    ),
    (
        "Tab",
        "the next one that runs or has failed; Shift-Tab: before",
    ),
    ("l", "list, tree, graph, bars in time"),
    ("m", "what its process uses, and prints a second"),
    ("PgUp, PgDn", "scroll its output by a page; by a line: [, ]"),
    (
        "Home; End",
        "to its oldest line (g); follow its newest (G, f)",
    ),
    (
        "/  n, N",
        "mark a text; to the next line with it, the one before",
    ),
    ("&", "only lines with a text; Esc: all of them again"),
    ("v", "select lines, with the keys that scroll"),
    ("y, Y", "copy the selected or shown lines; all of them"),
    ("Enter", "its output alone; again: back"),
    ("o", "the run as a stream of lines; again: back"),
    ("r", "restart what runs, or a service; try again at once"),
    ("s", "send it the signal it waits for, with JSON"),
    ("K", "stop it: a step that is stopped has failed, for good"),
    ("x", "skip it: what needs it goes on"),
    ("p", "pause the run: no step begins; again: go on"),
    ("t", "what runs, what waits, and why"),
    (
        "q, Ctrl-C",
        "end the run: once kindly, twice kills, thrice leaves",
    ),
    ("Ctrl-Z", "suspend coord and what it runs; `fg` goes on"),
    ("?", "this help; Ctrl-L: everything is drawn anew"),
];

pub(super) fn help(scene: &Scene<'_>, scroll: &mut Scroll, area: Rect, buffer: &mut Buffer) {
    let key_width = KEYS.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let keys = KEYS.iter().filter_map(|(key, does)| match *key {
        // What runs elsewhere is suspended there.
        "Ctrl-Z" if scene.look_on => None,
        "q, Ctrl-C" if scene.look_on => Some((key, "leave: the run goes on")),
        _ => Some((key, *does)),
    });
    let rows = keys.flat_map(|(key, does)| rows(key, does, key_width, scene, area));
    panel("keys", rows.collect(), scroll, scene, area, buffer);
}

pub(super) fn why(scene: &Scene<'_>, scroll: &mut Scroll, area: Rect, buffer: &mut Buffer) {
    let reasons = scene.board.why();
    let id_width = reasons.iter().map(|(id, _)| id.chars().count()).max();
    // Most of the width is for what there is to say.
    let id_width_max = (usize::from(area.width) * 3 / 10).max(24);
    let id_width = id_width.unwrap_or(0).min(id_width_max);
    let told = reasons.iter();
    let told = told.flat_map(|(id, reason)| rows(id, reason, id_width, scene, area));
    let mut told: Vec<Line<'_>> = told.collect();
    if told.is_empty() {
        let nothing = match scene.board.runs_on() {
            true => "  nothing runs at this moment",
            false => "  nothing runs any more",
        };
        told.push(Line::raw(nothing));
    }
    panel("what runs, and why", told, scroll, scene, area, buffer);
}

/// What there is to say of something, in as many rows as it takes, behind its name.
fn rows(name: &str, said: &str, width: usize, scene: &Scene<'_>, area: Rect) -> Vec<Line<'static>> {
    let room = usize::from(area.width).saturating_sub(width + 4);
    let mut name = cut_name(name, width, scene.look);
    let rows = wrap::words(said, room).into_iter().map(|row| {
        Line::from(vec![
            Span::styled(
                format!("  {:width$}  ", std::mem::take(&mut name)),
                scene.look.title(),
            ),
            Span::raw(scene.look.text(&row)),
        ])
    });
    rows.collect()
}

/// Rows at the bottom of the screen, under a heading; of what does not fit it is said where it is.
fn panel(
    title: &str,
    rows: Vec<Line<'_>>,
    scroll: &mut Scroll,
    scene: &Scene<'_>,
    area: Rect,
    buffer: &mut Buffer,
) {
    let mut room = usize::from(area.height.saturating_sub(3)).max(1);
    let is_cut = rows.len() > room;
    room -= usize::from(is_cut && room > 1);
    let above = scroll.within(rows.len(), room);
    let below = rows.len() - (above + room).min(rows.len());
    let mut shown: Vec<Line<'_>> = rows.into_iter().skip(above).take(room).collect();
    if is_cut {
        shown.push(Line::raw(match (above, below) {
            (0, below) => format!("  and {below} more below"),
            (above, 0) => format!("  and {above} more above"),
            (above, below) => format!("  and {above} more above, {below} below"),
        }));
    }
    let height = u16::try_from(shown.len() + 1).unwrap_or(area.height);
    let panel = Rect {
        y: area.bottom().saturating_sub(height + 1).max(area.y),
        height,
        ..area
    };
    Clear.render(panel, buffer);
    rule(scene, area, panel.y, [None, None], buffer);
    heading(title, scene, panel.x, panel.y, panel.width, buffer);
    for (row, y) in shown.iter().zip(panel.y + 1..panel.bottom()) {
        buffer.set_line(panel.x, y, row, panel.width);
    }
}
