//! Charts, as SVG within a page.

use std::fmt;

use super::Text;
use crate::Unit;
use crate::figures::sparkline;

/// A line of a chart: a value for each moment, the oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    name: String,
    values: Vec<Option<f64>>,
}

impl Series {
    /// The most lines of one chart: more, nobody tells apart.
    pub const MAX: usize = 5;

    /// A line. Where there is no value, it is interrupted.
    pub fn new(name: impl Into<String>, values: Vec<Option<f64>>) -> Self {
        Self {
            name: name.into(),
            values,
        }
    }

    pub(super) fn is_something(&self) -> bool {
        self.values.iter().flatten().any(|value| value.is_finite())
    }

    fn most(&self) -> f64 {
        self.values.iter().flatten().copied().fold(0.0, f64::max)
    }

    fn last(&self) -> f64 {
        let last = self.values.iter().rev().flatten().next();
        last.copied().unwrap_or_default()
    }

    /// Its name, its course as a line of blocks, and its last and its largest value. What has no value
    /// is nothing there.
    pub(super) fn in_text(&self, unit: Unit) -> Vec<String> {
        let finite = |value: &Option<f64>| value.filter(|it| it.is_finite()).unwrap_or(0.0);
        let values: Vec<_> = self.values.iter().map(finite).collect();
        let most = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
        let parts = values.chunks(values.len().div_ceil(WIDTH_IN_TEXT).max(1));
        vec![
            self.name.clone(),
            sparkline(&parts.map(most).collect::<Vec<_>>(), WIDTH_IN_TEXT),
            unit.of(self.last()),
            unit.of(self.most()),
        ]
    }
}

/// Something that began and ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    name: String,
    remark: String,
    began: f64,
    ended: f64,
    kind: SpanKind,
}

impl Span {
    /// What it is, a remark on it, and when it began and ended, in seconds.
    pub fn new(
        name: impl Into<String>,
        remark: impl Into<String>,
        (began, ended): (f64, f64),
        kind: SpanKind,
    ) -> Self {
        Self {
            name: name.into(),
            remark: remark.into(),
            began,
            ended,
            kind,
        }
    }

    /// Its name, when it went on, as a bar, and the remark.
    pub(super) fn in_text(&self, seconds: f64) -> Vec<String> {
        let seconds = seconds.max(f64::MIN_POSITIVE);
        let place = |at: f64| {
            let part = (at / seconds).clamp(0.0, 1.0);
            (part * WIDTH_IN_TEXT as f64).round() as usize
        };
        // Also what took no time is to be seen.
        let began = place(self.began).min(WIDTH_IN_TEXT - 1);
        let ended = place(self.ended).max(began + 1);
        let part = |from: usize, to: usize, c: &str| c.repeat(to - from);
        let bar = part(0, began, "·") + &part(began, ended, "█") + &part(ended, WIDTH_IN_TEXT, "·");
        vec![self.name.clone(), bar, self.remark.clone()]
    }
}

/// How something came to its end, and so its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// Well.
    Good,
    /// It failed.
    Bad,
    /// In some other way.
    Odd,
    /// Not yet.
    Open,
}

impl SpanKind {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Odd => "odd",
            Self::Open => "plain",
        }
    }
}

pub(super) struct Axis<'a> {
    pub(super) unit: Unit,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
}

pub(super) struct Lines<'a> {
    pub(super) title: &'a str,
    pub(super) axis: Axis<'a>,
    pub(super) series: &'a [Series],
}

/// How many characters wide a chart is as text.
const WIDTH_IN_TEXT: usize = 36;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 170.0;
/// Where the lines are drawn: beside the figures of the axis, and above its moments.
const LEFT: f64 = 62.0;
const RIGHT: f64 = WIDTH - 6.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = HEIGHT - 22.0;

impl fmt::Display for Lines<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Axis { unit, from, to } = self.axis;
        let most = self.series.iter().map(Series::most).fold(0.0, f64::max);
        let end = unit.end_of_axis(most);
        write!(
            formatter,
            "<section><h2>{title}</h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img \
             aria-label=\"{title}\">",
            title = Text(self.title)
        )?;
        for part in [0.0, 0.5, 1.0] {
            let y = BOTTOM - part * (BOTTOM - TOP);
            write!(
                formatter,
                "<line class=grid x1={LEFT} y1={y} x2={RIGHT} y2={y} />\
                 <text x={x} y={base} text-anchor=end>{figure}</text>",
                x = LEFT - 6.0,
                base = y + 4.0,
                figure = Text(&unit.of(part * end)),
            )?;
        }
        let (from, to, base) = (Text(from), Text(to), HEIGHT - 6.0);
        write!(
            formatter,
            "<text x={LEFT} y={base}>{from}</text>\
             <text x={RIGHT} y={base} text-anchor=end>{to}</text>"
        )?;
        for (number, series) in self.series.iter().enumerate() {
            write!(
                formatter,
                "<path class=\"s s{number}\" d=\"{}\"><title>{}</title></path>",
                path(&series.values, end),
                Text(&series.name)
            )?;
        }
        formatter.write_str("</svg><ul class=legend>")?;
        for (number, series) in self.series.iter().enumerate() {
            write!(
                formatter,
                "<li><i class=k{number}></i>{} <span>{}, at most {}</span></li>",
                Text(&series.name),
                Text(&unit.of(series.last())),
                Text(&unit.of(series.most())),
            )?;
        }
        formatter.write_str("</ul></section>\n")
    }
}

/// A line through the values. One between two that are missing becomes a point.
fn path(values: &[Option<f64>], end: f64) -> String {
    let steps = (values.len().max(2) - 1) as f64;
    let mut path = String::new();
    let mut is_drawing = false;
    for (at, value) in values.iter().enumerate() {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            is_drawing = false;
            continue;
        };
        let x = LEFT + at as f64 / steps * (RIGHT - LEFT);
        let y = BOTTOM - (value / end).clamp(0.0, 1.0) * (BOTTOM - TOP);
        match is_drawing {
            true => path.push_str(&format!("L{x:.1} {y:.1}")),
            // A line of no length, with round ends, is a point.
            false => path.push_str(&format!("M{x:.1} {y:.1}h0")),
        }
        is_drawing = true;
    }
    path
}

pub(super) struct Spans<'a> {
    pub(super) title: &'a str,
    pub(super) seconds: f64,
    pub(super) spans: &'a [Span],
}

impl fmt::Display for Spans<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds.max(f64::MIN_POSITIVE);
        writeln!(
            formatter,
            "<section><h2>{}</h2><div class=rows>",
            Text(self.title)
        )?;
        for span in self.spans {
            let part = |at: f64| (at / seconds).clamp(0.0, 1.0) * 1000.0;
            let (x, width) = (part(span.began), part(span.ended) - part(span.began));
            // Also what took no time is to be seen.
            let width = width.max(4.0);
            writeln!(
                formatter,
                "<span>{name}</span><svg viewBox=\"0 0 1000 16\" preserveAspectRatio=none \
                 role=img aria-label=\"{remark}\"><rect class={class} x={x:.1} y=1 \
                 width={width:.1} height=14 rx=2 /><title>{remark}</title></svg>\
                 <span class=took>{remark}</span>",
                name = Text(&span.name),
                remark = Text(&span.remark),
                class = span.kind.class(),
                x = x.min(1000.0 - width),
            )?;
        }
        formatter.write_str("</div></section>\n")
    }
}
