//! What was measured over a window: a few snapshots of it are kept, and what was since the oldest is
//! what counts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::Instant;

use crate::PerformanceMetrics;
use crate::measuring::{counting_began, is_reset};

/// How many snapshots are kept of a window, but for one or two at its ends: so a window is a tenth
/// longer at most, or an interval of the monitor.
const PARTS: u32 = 10;

/// Those that thresholds look at, each length once.
#[derive(Debug)]
pub(crate) struct Windows {
    windows: Vec<Window>,
    /// As far as the monitor had run then, in seconds.
    counting_began: f64,
}

#[derive(Debug)]
struct Window {
    length: Duration,
    /// The oldest first, which alone may be older than the window.
    marks: VecDeque<Mark>,
}

#[derive(Debug, Clone)]
struct Mark {
    at: Instant,
    metrics: Arc<PerformanceMetrics>,
}

/// What was in each window.
#[derive(Debug)]
pub(crate) struct Seen(Vec<(Duration, PerformanceMetrics)>);

impl Windows {
    /// Windows of these lengths, which begin now.
    pub(crate) fn new(
        lengths: impl IntoIterator<Item = Duration>,
        metrics: PerformanceMetrics,
        at: Instant,
    ) -> Self {
        let mut lengths: Vec<_> = lengths.into_iter().collect();
        lengths.sort_unstable();
        lengths.dedup();
        let counting_began = counting_began(&metrics);
        let metrics = Arc::new(metrics);
        let windows = lengths.into_iter().map(|length| Window {
            length,
            marks: VecDeque::from([Mark {
                at,
                metrics: Arc::clone(&metrics),
            }]),
        });
        Self {
            windows: windows.collect(),
            counting_began,
        }
    }

    /// What was in each of them until now.
    pub(crate) fn see(&mut self, metrics: &PerformanceMetrics, at: Instant) -> Seen {
        if is_reset(self.counting_began, metrics) {
            self.begin_anew(metrics, at);
        }
        let mut kept: Option<Mark> = None;
        let seen = self.windows.iter_mut().map(|window| {
            window.shorten(at);
            let since = match window.marks.front() {
                Some(oldest) => metrics.since(&oldest.metrics),
                None => metrics.clone(),
            };
            if window.is_due(at) {
                let mark = || Mark {
                    at,
                    metrics: Arc::new(metrics.clone()),
                };
                window
                    .marks
                    .push_back(kept.get_or_insert_with(mark).clone());
            }
            (window.length, since)
        });
        Seen(seen.collect())
    }

    /// What was before a reset is nothing to compare with.
    fn begin_anew(&mut self, metrics: &PerformanceMetrics, at: Instant) {
        self.counting_began = counting_began(metrics);
        let measured = Duration::try_from_secs_f64(metrics.measured).unwrap_or_default();
        let began = Mark {
            at: at.checked_sub(measured).unwrap_or(at),
            metrics: Arc::new(metrics.when_counting_began()),
        };
        for window in &mut self.windows {
            window.marks = VecDeque::from([began.clone()]);
        }
    }
}

impl Window {
    /// Keeps one mark that is as old as the window, so that the whole of it is known.
    fn shorten(&mut self, now: Instant) {
        let is_before = |mark: &Mark| now.duration_since(mark.at) >= self.length;
        while self.marks.get(1).is_some_and(is_before) {
            self.marks.pop_front();
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let last = self.marks.back();
        last.is_none_or(|last| now.duration_since(last.at) >= self.length / PARTS)
    }
}

impl Seen {
    /// What was in the window of this length.
    pub(crate) fn over(&self, window: Duration) -> Option<&PerformanceMetrics> {
        let seen = self.0.iter().find(|(length, _)| *length == window);
        seen.map(|(_, metrics)| metrics)
    }
}
