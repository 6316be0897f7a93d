//! What the selected process uses and prints, as lines that grow to the left.

use std::collections::VecDeque;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::symbols::bar::{NINE_LEVELS, Set};
use ratatui::widgets::{RenderDirection, Sparkline, Widget};

use super::{Scene, bytes, count};
use crate::screen::tui::history::Reading;
use crate::screen::tui::look::Look;

/// The height from which on a pane has room for it where nobody said anything.
pub(super) const HEIGHT_MIN: u16 = 20;
/// The columns for what it was last.
const VALUE_WIDTH: u16 = 7;

const ASCII: Set<'static> = Set {
    full: "#",
    seven_eighths: "#",
    three_quarters: "*",
    five_eighths: "+",
    half: "=",
    three_eighths: "-",
    one_quarter: ":",
    one_eighth: ".",
    empty: " ",
};

/// Draws a row of three: processor time, memory, lines a second.
pub(super) fn draw(
    scene: &Scene<'_>,
    readings: &VecDeque<Reading>,
    area: Rect,
    buffer: &mut Buffer,
) {
    let newest = readings.front().copied().unwrap_or_default();
    let all = |of: fn(&Reading) -> u64| -> Vec<u64> { readings.iter().map(of).collect() };
    let parts = [
        (
            "cpu ",
            all(|reading| reading.cpu_percent),
            // A process that does little is not to look busy.
            100,
            format!("{} %", newest.cpu_percent),
        ),
        (
            "mem ",
            all(|reading| reading.memory_bytes),
            1,
            bytes(newest.memory_bytes),
        ),
        (
            "out ",
            all(|reading| reading.lines),
            10,
            format!("{}/s", count(newest.lines as f64)),
        ),
    ];
    let width = (area.width / 3).max(1);
    for ((label, data, least, value), x) in parts.into_iter().zip((area.x..).step_by(width.into()))
    {
        let part = Rect { x, width, ..area };
        spark(scene.look, label, &data, least, &value, part, buffer);
    }
}

/// A label, the line, and what it was last.
fn spark(
    look: Look,
    label: &str,
    data: &[u64],
    least: u64,
    value: &str,
    area: Rect,
    buffer: &mut Buffer,
) {
    let label_width = u16::try_from(label.len()).unwrap_or(u16::MAX);
    buffer.set_stringn(area.x, area.y, label, area.width.into(), look.quiet());
    let line = Rect {
        x: area.x + label_width.min(area.width),
        width: area.width.saturating_sub(label_width + VALUE_WIDTH + 1),
        ..area
    };
    let shown = &data[..data.len().min(line.width.into())];
    let highest = shown.iter().copied().max().unwrap_or(0).max(least);
    Sparkline::default()
        .data(shown)
        .max(highest)
        .direction(RenderDirection::RightToLeft)
        .bar_set(if look.unicode { NINE_LEVELS } else { ASCII })
        .style(look.busy())
        .render(line, buffer);
    let room = area.right().saturating_sub(line.right() + 1);
    buffer.set_stringn(line.right() + 1, area.y, value, room.into(), look.title());
}
