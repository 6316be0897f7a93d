//! A report for people and programs: text for a terminal, JSON, a page of HTML.

pub(crate) mod tables;
pub(crate) mod text;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::figures::sparkline;
use crate::{History, Page, PerformanceMetrics, Unit};

/// What a monitor has measured, and its history: see
/// [`PerformanceMonitor::generate_report`](crate::PerformanceMonitor::generate_report).
///
/// [`Display`](fmt::Display) writes it as text for a terminal, with sparklines; serialised, it is
/// all that there is.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::sync::Arc;
/// # use coord_bus::LocalBus;
/// # use coord_monitor::PerformanceMonitor;
/// # let monitor = PerformanceMonitor::new(Arc::new(LocalBus::new()))?;
/// let report = monitor.generate_report();
/// println!("{report}");
/// # let directory = std::env::temp_dir();
/// std::fs::write(directory.join("report.html"), report.to_html("Nightly run"))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// What was measured.
    pub metrics: PerformanceMetrics,
    /// The last samples.
    pub history: History,
}

/// How many rows a table has at most. The others are counted below it.
const ROWS_MAX: usize = 25;

/// A part of a report.
pub(crate) struct Table {
    title: &'static str,
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// What is not shown, in a line.
    rest: Option<String>,
}

impl Table {
    pub(crate) fn on(&self, page: Page) -> Page {
        let page = page.table(self.title, &self.heads, &self.rows);
        match &self.rest {
            Some(rest) => page.note(rest),
            None => page,
        }
    }
}

impl Report {
    pub(crate) fn new(metrics: PerformanceMetrics, history: History) -> Self {
        Self { metrics, history }
    }

    /// As JSON, with an end of line.
    pub fn to_json(&self) -> String {
        // Its names are fields and its values are numbers, texts and times: nothing to fail on.
        let mut json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.push('\n');
        json
    }

    /// As one page of HTML, which needs nothing besides: charts of throughput, lag, latency, memory
    /// and processor time over the history, and tables. What there is nothing of is left out.
    pub fn to_html(&self, title: &str) -> String {
        let mut page = Page::new(title, self.subtitle());
        for (name, figure) in self.tiles() {
            page = page.tile(name, figure);
        }
        page = page.history(&self.history);
        for table in tables::of(self) {
            page = table.on(page);
        }
        page.to_string()
    }

    fn subtitle(&self) -> String {
        let measured = Unit::Seconds.of(self.metrics.measured.round());
        let at = self.metrics.at.strftime("%Y-%m-%d %H:%M:%S UTC");
        format!("{at}, measured for {measured}")
    }

    fn tiles(&self) -> Vec<(&'static str, String)> {
        let metrics = &self.metrics;
        let published: u64 = metrics.topics.iter().map(|topic| topic.published).sum();
        let rate: f64 = metrics
            .topics
            .iter()
            .map(|topic| topic.rates.ten_seconds)
            .sum();
        let lag = metrics.topics.iter().map(|topic| topic.lag).max();
        let mut tiles = vec![
            ("events published", Unit::Count.of(published as f64)),
            ("over the last 10\u{a0}s", Unit::PerSecond.of(rate)),
            (
                "most events behind",
                Unit::Count.of(lag.unwrap_or(0) as f64),
            ),
            (
                "memory",
                Unit::Bytes.of(metrics.process.memory_bytes as f64),
            ),
            (
                "of a processor",
                Unit::Percent.of(metrics.process.cpu_percent.into()),
            ),
        ];
        let runs = &metrics.workflows;
        let ended = runs.completed + runs.failed + runs.cancelled + runs.timed_out;
        if ended > 0 || runs.active > 0 {
            tiles.push(("runs completed", format!("{} of {ended}", runs.completed)));
        }
        match metrics.errors.detected() {
            0 => {}
            errors => tiles.push(("errors", Unit::Count.of(errors as f64))),
        }
        match metrics.alerts.len() {
            0 => {}
            alerts => tiles.push(("alerts open", alerts.to_string())),
        }
        tiles
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.subtitle())?;
        let tiles = self.tiles().into_iter();
        let tiles: Vec<_> = tiles
            .map(|(name, figure)| format!("{figure} {name}"))
            .collect();
        writeln!(formatter, "{}", tiles.join(" · "))?;
        for table in tables::of(self) {
            writeln!(formatter)?;
            text::write(formatter, table.title, &table.heads, &table.rows)?;
            if let Some(rest) = &table.rest {
                writeln!(formatter, "{rest}")?;
            }
        }
        Ok(())
    }
}

impl Report {
    /// The last rates of a topic as a line.
    fn sparkline(&self, topic: &str) -> String {
        const WIDTH: usize = 20;
        let history = self.history.topic(topic);
        history.map_or_else(String::new, |it| sparkline(&it.per_second, WIDTH))
    }
}
