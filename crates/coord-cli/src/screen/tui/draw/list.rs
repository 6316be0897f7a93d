//! The steps and services, a line each.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{Scene, coarse, cut, heading, selected};
use crate::board::{Row, State};
use crate::screen::tui::view::View;
use crate::spoken::Spoken;

/// The widest column for ids.
const ID_WIDTH_MAX: usize = 24;
/// The narrowest, before times are left out for it.
const ID_WIDTH_MIN: usize = 12;
/// The columns for a state and for a time.
const STATE_WIDTH: usize = 11;
const TIME_WIDTH: usize = 9;

/// The columns that the list takes of a screen: no more than half of it.
pub(super) fn width(scene: &Scene<'_>, screen: u16) -> u16 {
    let wanted = 3 + id_width(scene) + 1 + STATE_WIDTH + TIME_WIDTH + 1;
    u16::try_from(wanted).unwrap_or(u16::MAX).min(screen / 2)
}

fn id_width(scene: &Scene<'_>) -> usize {
    let ids = scene.board.rows.iter().map(|row| row.id.chars().count());
    ids.max().unwrap_or_default().min(ID_WIDTH_MAX)
}

/// Draws the list, with its heading in its first row.
pub(super) fn draw(scene: &Scene<'_>, view: &View, area: Rect, buffer: &mut Buffer) {
    heading(
        "steps and services",
        scene,
        area.x,
        area.y,
        area.width,
        buffer,
    );
    let height = usize::from(area.height.saturating_sub(1));
    // The selected row is always in view, with what is before it as far as it fits.
    let first = (view.selected + 1).saturating_sub(height);
    let rows = scene.board.rows.iter().enumerate().skip(first).take(height);
    for ((place, row), y) in rows.zip(area.y + 1..) {
        let line = line(scene, row, usize::from(area.width));
        buffer.set_line(area.x, y, &line, area.width);
        if place == view.selected {
            let style = selected(ratatui::style::Style::new());
            buffer.set_style(Rect::new(area.x, y, area.width, 1), style);
        }
    }
}

fn line(scene: &Scene<'_>, row: &Row, width: usize) -> Line<'static> {
    let look = scene.look;
    let (mark, style) = look.state(row);
    let time = match (row.state, row.elapsed()) {
        (_, None) => String::new(),
        (state, Some(elapsed)) if state.is_over() => Spoken(elapsed).to_string(),
        (_, Some(elapsed)) => coarse(elapsed),
    };
    // Long ids are cut; where there is still no room, the time is left out, and then the state.
    let room = width.saturating_sub(3 + 1 + STATE_WIDTH + TIME_WIDTH + 1);
    let id_width = id_width(scene).min(room.max(ID_WIDTH_MIN));
    let id = cut(&row.id, id_width, look);
    let mut text = format!(" {id:id_width$} {:STATE_WIDTH$}", state(row));
    if text.chars().count() + 3 + TIME_WIDTH <= width {
        text.push_str(&format!("{time:>TIME_WIDTH$} "));
    }
    Line::from(vec![
        Span::styled(format!(" {mark}"), style),
        Span::styled(
            text,
            if row.state == State::Waiting {
                look.quiet()
            } else {
                style
            },
        ),
    ])
}

/// The state, and which attempt or start it is if it is not the first.
fn state(row: &Row) -> String {
    let name = row.state.name();
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
