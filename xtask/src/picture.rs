//! The picture of the README: a real run of the shipped `coord.toml` in a terminal, drawn as SVG
//! at the moment when there is most to be seen.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::num::NonZeroU16;
use std::path::Path;
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, open};
use vt100::{Cell, Color, Parser, Screen};

use crate::command::{cargo, run};

const PICTURE: &str = "docs/coord.svg";
const ROWS: NonZeroU16 = NonZeroU16::new(22).expect("not 0");
const COLUMNS: NonZeroU16 = NonZeroU16::new(100).expect("not 0");
/// What the screen shows at that moment: the service is up again, and a step is tried once more.
const MOMENT: [&str; 3] = ["ready x2", "run 3/3", "crashed"];
/// Longer than a run takes.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// Runs `coord` and draws its screen.
pub(crate) fn draw() -> Result<(), String> {
    run(&mut cargo("build --release --package coord-cli"))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let coord = Path::new(&target).join("release/coord");
    let screen = moment(&coord)?;
    std::fs::write(PICTURE, svg(&screen)).map_err(|error| format!("{PICTURE}: {error}"))?;
    println!("{PICTURE} is drawn; look at it");
    Ok(())
}

/// The screen of a run at the moment when all of [`MOMENT`] is shown.
fn moment(coord: &Path) -> Result<Screen, String> {
    let failed = |error: &dyn std::fmt::Display| format!("no terminal for the picture: {error}");
    let (mut pty, pts) = open().map_err(|error| failed(&error))?;
    let size = Size::new(ROWS.get(), COLUMNS.get());
    pty.resize(size).map_err(|error| failed(&error))?;
    let command = Command::new(coord)
        .args(["run", "--no-journal"])
        .env("TERM", "xterm-256color")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("NO_COLOR");
    let mut child = command.spawn(pts).map_err(|error| failed(&error))?;
    let mut parser = Parser::new(ROWS, COLUMNS, 0);
    let mut best = None;
    let mut bytes = [0; 64 * 1024];
    let begin = Instant::now();
    while let Ok(read @ 1..) = pty.read(&mut bytes) {
        parser.process(&bytes[..read]);
        let text = parser.screen().contents();
        // A screen that is half drawn is not taken: the last one of the moment is.
        if MOMENT.iter().all(|wanted| text.contains(wanted)) {
            best = Some(parser.screen().clone());
        }
        if begin.elapsed() > PATIENCE {
            // A `q` ends it with all that it runs.
            let _ = pty.write_all(b"qqq");
            break;
        }
    }
    child.wait().map_err(|error| failed(&error))?;
    best.ok_or_else(|| format!("no moment of the run shows all of {MOMENT:?}"))
}

fn svg(screen: &Screen) -> String {
    let (rows, columns) = (f64::from(ROWS.get()), f64::from(COLUMNS.get()));
    let (width, height) = (
        columns * CELL.0 + 2.0 * MARGIN,
        rows * CELL.1 + 2.0 * MARGIN,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         aria-label=\"coord runs a workflow with a service\">\n\
         <style>text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, \
         'DejaVu Sans Mono', monospace; white-space: pre; fill: {FOREGROUND}; }}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in 0..ROWS.get() {
        let mut column = 0;
        while column < COLUMNS.get() {
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
        return COLUMNS.get();
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_becomes_text_in_its_colours() {
        let mut parser = Parser::new(ROWS, COLUMNS, 0);
        parser.process(b"a \x1b[31mred & <bold>\x1b[0m \x1b[7mturned\x1b[0m");
        let svg = svg(parser.screen());
        assert!(
            svg.contains("style=\"fill: #ff6b6b\">red &amp; &lt;bold&gt;</text>"),
            "{svg}"
        );
        assert!(svg.contains("fill=\"#d6d9e0\"/>\n"), "{svg}");
        assert!(svg.contains(">turned</text>"), "{svg}");
        assert_eq!(svg.matches("<text").count(), 3, "{svg}");
    }
}
