//! One self-contained page of HTML: figures, charts and tables, light and dark, without a script
//! and without anything from a network; and the same as text.

mod chart;

use std::fmt;

use coord_bus::text::Printable;

use crate::report::{tables, text};
use crate::{History, LatencyHistory, LatencyMetrics, Unit};
use chart::{Axis, Lines, Spans};
pub use chart::{Series, Span, SpanKind};

/// A page of figures, charts and tables, in the order in which they are added.
///
/// [`Display`](fmt::Display) writes it as HTML, and [`to_text`](Self::to_text) for a terminal. All text
/// is escaped; a chart or a table of nothing is left out.
///
/// ```
/// use coord_monitor::{Page, Series, Unit};
///
/// let page = Page::new("Nightly build", "42 s, on two cores")
///     .tile("steps", "17")
///     .chart("Load", Unit::Percent, ("22:00", "22:01"), vec![
///         Series::new("compiler", vec![Some(10.0), Some(180.0), Some(90.0)]),
///     ])
///     .table("Steps", &["step", "took"], &[vec!["compile".into(), "40 s".into()]]);
/// assert!(page.to_string().starts_with("<!doctype html>"));
/// assert!(page.to_text().contains("▁█▅"));
/// ```
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    subtitle: String,
    tiles: String,
    charts: String,
    rest: String,
    /// The tiles in words, and the charts and all else as text.
    figures: Vec<String>,
    charts_text: String,
    text: String,
}

impl Page {
    /// A page without anything but its title, and a line below it.
    pub fn new(title: impl Into<String>, subtitle: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            subtitle: subtitle.into(),
            tiles: String::new(),
            charts: String::new(),
            rest: String::new(),
            figures: Vec::new(),
            charts_text: String::new(),
            text: String::new(),
        }
    }

    /// The page as text for a terminal, with the charts as lines of blocks.
    pub fn to_text(&self) -> String {
        let (title, subtitle) = (Printable(&self.title), Printable(&self.subtitle));
        let mut text = format!("{title}: {subtitle}\n");
        if !self.figures.is_empty() {
            text.push_str(&format!("{}\n", self.figures.join(" · ")));
        }
        text + &self.charts_text + &self.text
    }

    /// A figure that is to be seen first.
    #[must_use]
    pub fn tile(mut self, name: &str, figure: impl AsRef<str>) -> Self {
        let in_words = format!("{name}: {}", figure.as_ref());
        self.figures.push(Printable(&in_words).to_string());
        let (name, figure) = (Text(name), Text(figure.as_ref()));
        self.tiles.push_str(&format!(
            "<div class=tile><b>{figure}</b><span>{name}</span></div>\n"
        ));
        self
    }

    /// A chart of lines over time, from the first moment to the last one. Of more than
    /// [`Series::MAX`] lines the first are drawn.
    #[must_use]
    pub fn chart(
        mut self,
        title: &str,
        unit: Unit,
        (from, to): (&str, &str),
        series: Vec<Series>,
    ) -> Self {
        let series: Vec<_> = series.into_iter().filter(Series::is_something).collect();
        if !series.is_empty() {
            let axis = Axis { unit, from, to };
            let series = &series[..series.len().min(Series::MAX)];
            let rows: Vec<_> = series.iter().map(|it| it.in_text(unit)).collect();
            let over_time = format!("from {from} to {to}");
            let heads = ["", &over_time, "last", "most"];
            in_text(&mut self.charts_text, title, &heads, &rows);
            let lines = Lines {
                title,
                axis,
                series,
            };
            self.charts.push_str(&lines.to_string());
        }
        self
    }

    /// Charts of a history: throughput, lag, latency, memory and processor time.
    #[must_use]
    pub fn history(self, history: &History) -> Self {
        let [first, .., last] = &history.at[..] else {
            return self;
        };
        let clock = |at: &coord_bus::Timestamp| at.strftime("%H:%M:%S").to_string();
        let ends = (&*clock(first), &*format!("{} UTC", clock(last)));
        let throughput = history
            .topics
            .iter()
            .map(|it| (&*it.topic, it.per_second.clone()));
        let lag = history.topics.iter().map(|topic| {
            let lag = topic.lag.iter().map(|lag| *lag as f64);
            (&*topic.topic, lag.collect())
        });
        let bytes = |bytes: &[u64]| bytes.iter().map(|bytes| *bytes as f64).collect();
        let percent = |percent: &[f32]| percent.iter().copied().map(f64::from).collect();
        let memory = [
            ("this program", bytes(&history.memory_bytes)),
            ("what it runs", bytes(&history.processes_memory_bytes)),
        ];
        let cpu = [
            ("this program", percent(&history.cpu_percent)),
            ("what it runs", percent(&history.processes_cpu_percent)),
        ];
        self.chart(
            "Events published",
            Unit::PerSecond,
            ends,
            largest(throughput),
        )
        .chart(
            "Events behind, slowest subscriber",
            Unit::Count,
            ends,
            largest(lag),
        )
        .chart(
            "From publication to handled",
            Unit::Seconds,
            ends,
            latency_lines(&history.latencies),
        )
        .chart("Resident memory", Unit::Bytes, ends, some(memory))
        .chart(
            "Processor time, of one core",
            Unit::Percent,
            ends,
            some(cpu),
        )
    }

    /// A chart of what began and ended when, over a time of this many seconds.
    #[must_use]
    pub fn spans(mut self, title: &str, seconds: f64, spans: &[Span]) -> Self {
        if !spans.is_empty() {
            let rows: Vec<_> = spans.iter().map(|span| span.in_text(seconds)).collect();
            in_text(&mut self.text, title, &["", "", ""], &rows);
            let spans = Spans {
                title,
                seconds,
                spans,
            };
            self.rest.push_str(&spans.to_string());
        }
        self
    }

    /// A table. The first column is of names; of the others, those in which a cell begins with a letter
    /// are of words, and the rest of figures.
    #[must_use]
    pub fn table(mut self, title: &str, heads: &[&str], rows: &[Vec<String>]) -> Self {
        if rows.is_empty() {
            return self;
        }
        in_text(&mut self.text, title, heads, rows);
        let is_word = |cell: &String| cell.starts_with(char::is_alphabetic);
        let is_of_words = |column| rows.iter().filter_map(|row| row.get(column)).any(is_word);
        let classes = (0..heads.len()).map(|column| match column > 0 && is_of_words(column) {
            true => " class=words",
            false => "",
        });
        let classes: Vec<_> = classes.collect();
        let cells = |tag: &str, cells: &mut dyn Iterator<Item = &str>| -> String {
            cells
                .zip(&classes)
                .map(|(cell, class)| format!("<{tag}{class}>{}</{tag}>", Text(cell)))
                .collect()
        };
        let head = cells("th", &mut heads.iter().copied());
        self.rest.push_str(&format!(
            "<section><h2>{}</h2><div class=wide><table><thead><tr>{head}</tr></thead><tbody>\n",
            Text(title)
        ));
        for row in rows {
            let row = cells("td", &mut row.iter().map(String::as_str));
            self.rest.push_str(&format!("<tr>{row}</tr>\n"));
        }
        self.rest.push_str("</tbody></table></div></section>\n");
        self
    }

    /// A table of how long events were under way: percentiles of the time that they were queued, and handled.
    #[must_use]
    pub fn latencies(self, latencies: &[LatencyMetrics]) -> Self {
        tables::latencies(latencies).on(self)
    }

    /// A line of text.
    #[must_use]
    pub fn note(mut self, note: &str) -> Self {
        self.text.push_str(&format!("{}\n", Printable(note)));
        self.rest
            .push_str(&format!("<p class=note>{}</p>\n", Text(note)));
        self
    }
}

/// A table below what is there.
fn in_text(text: &mut String, title: &str, heads: &[&str], rows: &[Vec<String>]) {
    text.push('\n');
    // A `String` takes everything.
    let _ = text::write(text, title, heads, rows);
}

/// The 99th percentile of those topics that took longest, and of as many as there is room for the median.
fn latency_lines(latencies: &[LatencyHistory]) -> Vec<Series> {
    let most = |it: &LatencyHistory| it.p99.iter().flatten().copied().fold(0.0, f64::max);
    let mut latencies: Vec<_> = latencies.iter().collect();
    latencies.sort_by(|a, b| most(b).total_cmp(&most(a)));
    latencies.truncate(Series::MAX);
    let medians = Series::MAX - latencies.len();
    let lines = latencies.into_iter().enumerate().map(|(place, it)| {
        let line = |name, values: &[Option<f64>]| {
            Series::new(format!("{} {name}", it.topic), values.to_vec())
        };
        let median = (place < medians).then(|| line("p50", &it.p50));
        [median, Some(line("p99", &it.p99))]
    });
    lines.flatten().flatten().collect()
}

/// The lines with the largest values, without those that are nothing throughout.
fn largest<'a>(lines: impl Iterator<Item = (&'a str, Vec<f64>)>) -> Vec<Series> {
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by(|(_, a), (_, b)| most(b).total_cmp(&most(a)));
    let mut series = some(lines);
    series.truncate(Series::MAX);
    series
}

/// Without those that are nothing throughout.
fn some<'a>(lines: impl IntoIterator<Item = (&'a str, Vec<f64>)>) -> Vec<Series> {
    let lines = lines.into_iter().filter(|(_, values)| most(values) > 0.0);
    let series =
        lines.map(|(name, values)| Series::new(name, values.into_iter().map(Some).collect()));
    series.collect()
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

impl fmt::Display for Page {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (title, subtitle) = (Text(&self.title), Text(&self.subtitle));
        write!(
            formatter,
            "<!doctype html>\n<html lang=en><head><meta charset=utf-8>\n\
             <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
             <meta name=color-scheme content=\"light dark\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style></head><body><main>\n\
             <h1>{title}</h1><p class=sub>{subtitle}</p>\n"
        )?;
        for (class, part) in [("tiles", &self.tiles), ("charts", &self.charts)] {
            if !part.is_empty() {
                write!(formatter, "<div class={class}>\n{part}</div>\n")?;
            }
        }
        writeln!(formatter, "{}</main></body></html>", self.rest)
    }
}

const STYLE: &str = include_str!("page/style.css");

/// A text in HTML.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in Printable(self.0).to_string().chars() {
            match c {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                c => fmt::Write::write_char(formatter, c)?,
            }
        }
        Ok(())
    }
}
