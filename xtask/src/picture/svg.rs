//! A screen of a terminal as SVG.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

/// A cell's width and height, and the margin around all of them.
const CELL: (f64, f64) = (8.4, 18.0);
const MARGIN: f64 = 12.0;
const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d6d9e0";
/// The eight colours of a terminal, fit for that background, and their brighter kin.
const PALETTE: [&str; 16] = [
    "#3b4048", "#ff6b6b", "#7fd962", "#ffcc66", "#6cb6ff", "#d2a6ff", "#5ccfe6", "#d6d9e0",
    "#5c6370", "#ff8f8f", "#a6e88f", "#ffdf99", "#99ccff", "#e2c5ff", "#8fe3f0", "#ffffff",
];

/// Draws a screen; `label` says what it shows to those who cannot see it.
pub(super) fn svg(screen: &Screen, label: &str) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let width = f64::from(columns) * CELL.0 + 2.0 * MARGIN;
    let height = f64::from(rows) * CELL.1 + 2.0 * MARGIN;
    let label = escaped(label);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         aria-label=\"{label}\">\n\
         <style>text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, \
         'DejaVu Sans Mono', monospace; white-space: pre; fill: {FOREGROUND}; }}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in 0..rows {
        let mut column = 0;
        while column < columns {
            column = piece(screen, row, column, &mut svg);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Draws the cells of one style that begin here, and says where they end.
fn piece(screen: &Screen, row: u16, from: u16, svg: &mut String) -> u16 {
    let cell = |column| screen.cell(row, column);
    let Some(first) = cell(from) else {
        return u16::MAX;
    };
    let mut text = String::new();
    let mut to = from;
    while let Some(next) = cell(to).filter(|next| style(next) == style(first)) {
        if !next.is_wide_continuation() {
            text.push_str(if next.has_contents() {
                next.contents()
            } else {
                " "
            });
        }
        to += 1;
    }
    let x = MARGIN + f64::from(from) * CELL.0;
    let y = MARGIN + f64::from(row) * CELL.1;
    let width = f64::from(to - from) * CELL.0;
    if first.inverse() {
        let fill = color(first.fgcolor()).unwrap_or(FOREGROUND);
        let height = CELL.1;
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
        );
    }
    if text.trim().is_empty() {
        return to;
    }
    let fill = if first.inverse() {
        Some(BACKGROUND)
    } else {
        color(first.fgcolor())
    };
    let mut attributes = fill.map_or(String::new(), |fill| format!(" style=\"fill: {fill}\""));
    if first.bold() {
        attributes.push_str(" font-weight=\"bold\"");
    }
    if first.dim() {
        attributes.push_str(" opacity=\"0.6\"");
    }
    let baseline = y + 13.5;
    let text = escaped(&text);
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{baseline:.1}\" textLength=\"{width:.1}\" \
         lengthAdjust=\"spacingAndGlyphs\"{attributes}>{text}</text>"
    );
    to
}

fn style(cell: &Cell) -> (Color, bool, bool, bool) {
    (cell.fgcolor(), cell.bold(), cell.dim(), cell.inverse())
}

fn color(color: Color) -> Option<&'static str> {
    match color {
        Color::Idx(index) => PALETTE.get(usize::from(index)).copied(),
        _ => None,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use vt100::Parser;

    use super::*;

    #[test]
    fn a_screen_becomes_text_in_its_colours() {
        let size = |cells| NonZeroU16::new(cells).expect("not 0");
        let mut parser = Parser::new(size(2), size(40), 0);
        parser.process(b"a \x1b[31mred & <bold>\x1b[0m \x1b[7mturned\x1b[0m");
        let svg = svg(parser.screen(), "a \"b\"");
        assert!(svg.contains("aria-label=\"a &quot;b&quot;\""), "{svg}");
        assert!(
            svg.contains("style=\"fill: #ff6b6b\">red &amp; &lt;bold&gt;</text>"),
            "{svg}"
        );
        assert!(svg.contains("fill=\"#d6d9e0\"/>\n"), "{svg}");
        assert!(svg.contains(">turned</text>"), "{svg}");
        assert_eq!(svg.matches("<text").count(), 3, "{svg}");
    }
}
