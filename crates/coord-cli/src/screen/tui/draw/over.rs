//! What lies over the screen: the keys, or what runs and why.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::{Scene, cut_name, heading, rule};
use crate::screen::tui::wrap;

const KEYS: [(&str, &str); 21] = [
    ("up, down", "select a step or service"),
    ("Tab", "select the next one that runs"),
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
    ("r", "restart what runs; try what has failed again, at once"),
    ("s", "send it the signal it waits for, with JSON"),
    ("k", "stop it: a step that is stopped has failed, for good"),
    ("x", "skip it: what needs it goes on"),
    ("p", "pause the run: no step begins; again: go on"),
    ("t", "what runs, what waits, and why"),
    (
        "q, Ctrl-C",
        "end the run: once kindly, twice kills, thrice leaves",
    ),
    ("Ctrl-Z", "suspend coord and what it runs; `fg` goes on"),
    ("?", "this help"),
];

pub(super) fn help(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let key_width = KEYS.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let keys = KEYS.iter().filter_map(|(key, does)| match *key {
        // What runs elsewhere is suspended there.
        "Ctrl-Z" if scene.look_on => None,
        "q, Ctrl-C" if scene.look_on => Some((key, "leave: the run goes on")),
        _ => Some((key, *does)),
    });
    let rows = keys.map(|(key, does)| {
        Line::from(vec![
            Span::styled(format!("  {key:key_width$}  "), scene.look.title()),
            Span::raw(does),
        ])
    });
    panel("keys", rows.collect(), scene, area, buffer);
}

pub(super) fn why(scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let reasons = scene.board.why();
    let id_width = reasons.iter().map(|(id, _)| id.chars().count()).max();
    // Most of the width is for what there is to say.
    let id_width_max = (usize::from(area.width) * 3 / 10).max(24);
    let id_width = id_width.unwrap_or(0).min(id_width_max);
    let room = usize::from(area.width).saturating_sub(id_width + 4);
    let mut rows = Vec::new();
    for (id, reason) in &reasons {
        for (index, row) in wrap::words(reason, room).into_iter().enumerate() {
            let id = if index == 0 {
                cut_name(id, id_width, scene.look)
            } else {
                String::new()
            };
            let row = scene.look.text(&row);
            rows.push(Line::from(vec![
                Span::styled(format!("  {id:id_width$}  "), scene.look.title()),
                Span::raw(row),
            ]));
        }
    }
    if rows.is_empty() {
        rows.push(Line::raw("  nothing runs any more"));
    }
    panel("what runs, and why", rows, scene, area, buffer);
}

/// Rows at the bottom of the screen, under a heading; what does not fit is counted.
fn panel(title: &str, mut rows: Vec<Line<'_>>, scene: &Scene<'_>, area: Rect, buffer: &mut Buffer) {
    let room = usize::from(area.height.saturating_sub(3)).max(1);
    if rows.len() > room {
        let more = rows.len() - (room - 1);
        rows.truncate(room - 1);
        rows.push(Line::raw(format!("  and {more} more")));
    }
    let height = u16::try_from(rows.len() + 1).unwrap_or(area.height);
    let panel = Rect {
        y: area.bottom().saturating_sub(height + 1).max(area.y),
        height,
        ..area
    };
    Clear.render(panel, buffer);
    rule(scene, area, panel.y, [None, None], buffer);
    heading(title, scene, panel.x, panel.y, panel.width, buffer);
    for (row, y) in rows.iter().zip(panel.y + 1..panel.bottom()) {
        buffer.set_line(panel.x, y, row, panel.width);
    }
}
