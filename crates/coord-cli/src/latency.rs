//! How long what is published takes until somebody has done with it: for `coord report`.

use std::time::Duration;

use coordination::CoordinationModule;
use coordination::bus::Timestamp;
use coordination::bus::time::{Clock, Instant, SystemClock};
use coordination::bus::vocabulary::{PROCESS_OUTPUT, WORKFLOW_EVENTS};
use coordination::monitor::LatencyProbe;

use crate::screen::Start;

/// How many events are measured of those that are done with at once. More would say nothing new.
const AT_ONCE_MAX: usize = 64;

/// Measures it for one reader of one topic.
#[derive(Default)]
pub(crate) struct Latency {
    /// None where nothing is measured.
    probe: Option<LatencyProbe>,
    /// How long they had been under way when they were taken, and when that was.
    taken: Vec<(Duration, Instant)>,
}

impl Latency {
    /// For this reader of this topic, where a monitor measures.
    pub(crate) fn of(module: &CoordinationModule, reader: &str, topic: &str) -> Self {
        let monitor = module.monitor().ok();
        Self {
            probe: monitor.map(|monitor| monitor.latency(&format!("{reader} ← {topic}"))),
            taken: Vec::new(),
        }
    }

    /// An event is taken that was published then. One of which that is not known is not measured.
    pub(crate) fn take(&mut self, published: Option<Timestamp>) {
        let Some(published) = published else { return };
        if self.probe.is_some() && self.taken.len() < AT_ONCE_MAX {
            let queued = SystemClock.now().duration_since(published);
            // Less than nothing where the clock was set meanwhile.
            let queued = Duration::try_from(queued).unwrap_or_default();
            self.taken.push((queued, Instant::now()));
        }
    }

    /// What was taken is done with.
    pub(crate) fn done(&mut self) {
        let Some(probe) = self.probe.as_ref().filter(|_| !self.taken.is_empty()) else {
            return;
        };
        let now = Instant::now();
        for (queued, taken) in self.taken.drain(..) {
            probe.record(queued, now.duration_since(taken));
        }
    }

    /// What was taken is lost.
    pub(crate) fn lost(&mut self) {
        self.taken.clear();
    }
}

/// How long it takes until a person can see what is printed, and what becomes of steps.
#[derive(Default)]
pub(crate) struct ScreenLatency {
    lines: Latency,
    steps: Latency,
}

impl ScreenLatency {
    /// Of a screen on which everything is told at once.
    pub(crate) fn of(start: &Start<'_>) -> Self {
        // What another `coord` drives comes by way of its journal, and some of it is old.
        if start.interrupts.look_on {
            return Self::default();
        }
        let of = |topic| Latency::of(start.module, "screen", topic);
        Self {
            lines: of(PROCESS_OUTPUT.name()),
            steps: of(WORKFLOW_EVENTS.name()),
        }
    }

    /// A line is about to be shown, and when it was published, if that is known.
    pub(crate) fn line(&mut self, published: Option<Timestamp>) {
        self.lines.take(published);
    }

    /// Something of a step, or of the run, is about to be shown.
    pub(crate) fn step(&mut self, happened: Timestamp) {
        self.steps.take(Some(happened));
    }

    /// All that was about to be shown is.
    pub(crate) fn shown(&mut self) {
        self.lines.done();
        self.steps.done();
    }
}
