//! What the selected step or service has printed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{Scene, bytes, cut, heading};
use crate::board::Row;
use crate::screen::tui::look::Look;
use crate::screen::tui::view::View;
use crate::screen::tui::wrap;

/// Draws the output beside the list, with its heading in its first row.
pub(super) fn draw(scene: &Scene<'_>, view: &mut View, area: Rect, buffer: &mut Buffer) {
    let Some(row) = scene.board.rows.get(view.selected) else {
        return;
    };
    let title = title(scene, row, view);
    heading(&title, scene, area.x, area.y, area.width, buffer);
    let mut rows = Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    };
    if !row.remark.is_empty() && rows.height > 2 {
        let (_, style) = scene.look.state(row);
        let remark = cut(&row.remark, usize::from(rows.width), scene.look);
        buffer.set_stringn(rows.x, rows.y, remark, rows.width.into(), style);
        rows = Rect {
            y: rows.y + 1,
            height: rows.height - 1,
            ..rows
        };
    }
    lines(row, view, scene.look, rows, buffer);
}

/// Draws nothing but the output: what is selected with a mouse is what was printed.
pub(super) fn wide(scene: &Scene<'_>, view: &mut View, area: Rect, buffer: &mut Buffer) {
    if let Some(row) = scene.board.rows.get(view.selected) {
        lines(row, view, scene.look, area, buffer);
    }
}

fn title(scene: &Scene<'_>, row: &Row, view: &View) -> String {
    let mut title = row.id.clone();
    if let Some(bottom) = view.bottom {
        let newer = row.output.next().saturating_sub(bottom + 1);
        title += &format!(", {newer} lines below");
    }
    if let Some(pid) = row.pid {
        title += &format!(", process {pid}");
    }
    let mut load = scene.load.processes.iter();
    if let Some((_, cpu, memory)) = load.find(|(process, ..)| *process == row.id) {
        title += &format!(", {cpu:.0} %, {}", bytes(*memory));
    }
    title
}

/// The lines that fit, the last of them at the bottom; fewer of them at the top.
fn lines(row: &Row, view: &mut View, look: Look, area: Rect, buffer: &mut Buffer) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    view.page = u64::from(area.height).max(1);
    let newest = row.output.next().saturating_sub(1);
    let oldest_bottom = row.output.first() + u64::from(area.height.saturating_sub(1));
    // What stood there may have made room meanwhile.
    let bottom = match view.bottom {
        Some(bottom) => bottom.max(oldest_bottom).min(newest),
        None => newest,
    };
    let mut shown: Vec<Line<'static>> = Vec::new();
    for number in (row.output.first()..=bottom).rev() {
        let Some(line) = row.output.line(number) else {
            break;
        };
        let mut wrapped = wrap::rows(line, width, look);
        wrapped.append(&mut shown);
        shown = wrapped;
        if shown.len() >= height {
            break;
        }
    }
    let first = shown.len().saturating_sub(height);
    for (line, y) in shown.iter().skip(first).zip(area.y..area.bottom()) {
        buffer.set_line(area.x, y, line, area.width);
    }
}
