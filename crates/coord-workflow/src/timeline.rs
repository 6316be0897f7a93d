//! What happened in a run, in order.

use std::cmp::Reverse;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::span::Spans;
use crate::{Outcome, Status, StepReport, StepState};

/// What happened in a run, in order; made by [`Outcome::timeline`].
///
/// What happened at the same time is in the order of what needs what. As text it is a line for each
/// entry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Timeline<'o> {
    /// The entries, the earliest first.
    pub entries: Vec<TimelineEntry<'o>>,
}

/// One entry of a [`Timeline`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TimelineEntry<'o> {
    /// When it happened, counted from the beginning of the run.
    pub at: Duration,
    /// What happened.
    pub event: TimelineEvent<'o>,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum TimelineEvent<'o> {
    /// The run began.
    RunStarted,
    /// The first attempt at a step began.
    StepStarted(StepReport<'o>),
    /// A step came to its end: after its last attempt, or without one.
    StepEnded(StepReport<'o>),
    /// The run, which had come to an end, was retried: of the steps that were done again, what came of them before
    /// is not told.
    RunRetried,
    /// The run came to its end, everything undone that was to be.
    RunFinished(Status),
}

impl Outcome {
    /// What happened in the run, in order: each step's beginning and end, with the number of
    /// attempts in between.
    pub fn timeline(&self) -> Timeline<'_> {
        let Spans { of, order } = Spans::new(&self.plan, &self.course);
        let mut entries = Vec::with_capacity(2 * order.len() + 2);
        for (place, step) in order.into_iter().enumerate() {
            let report = self.report(step);
            let ended = of[step].map_or(self.course.step(step).ended, |span| span.ended);
            let ended = Duration::from_nanos(ended);
            let started = of[step].filter(|_| report.attempts > 0);
            let started = started.map(|span| Duration::from_nanos(span.started));
            let mut add = |at, is_earlier, event| {
                // At the same time, what goes on since earlier ends before anything begins.
                let key = (at, Reverse(is_earlier), place);
                entries.push((key, TimelineEntry { at, event }));
            };
            if let Some(started) = started {
                add(started, false, TimelineEvent::StepStarted(report));
            }
            let is_earlier = started.is_some_and(|started| started < ended);
            add(ended, is_earlier, TimelineEvent::StepEnded(report));
        }
        for at in self.course.retries().map(Duration::from_nanos) {
            // At the same time, before what is done again.
            let key = (at, Reverse(true), usize::MAX);
            let event = TimelineEvent::RunRetried;
            entries.push((key, TimelineEntry { at, event }));
        }
        entries.sort_by_key(|(key, _)| *key);
        let first = TimelineEntry {
            at: Duration::ZERO,
            event: TimelineEvent::RunStarted,
        };
        let last = TimelineEntry {
            at: self.duration,
            event: TimelineEvent::RunFinished(self.status),
        };
        let steps = entries.into_iter().map(|(_, entry)| entry);
        Timeline {
            entries: [first].into_iter().chain(steps).chain([last]).collect(),
        }
    }
}

impl Display for Timeline<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            writeln!(formatter, "{entry}")?;
        }
        Ok(())
    }
}

impl Display for TimelineEntry<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let at = format!("{:.3}s", self.at.as_secs_f64());
        write!(formatter, "{at:>10}  ")?;
        match &self.event {
            TimelineEvent::RunStarted => formatter.write_str("the run started"),
            TimelineEvent::RunRetried => formatter.write_str("the run was retried"),
            TimelineEvent::StepStarted(step) => write!(formatter, "{} started", step.id),
            TimelineEvent::RunFinished(status) => write!(formatter, "the run ended: {status}"),
            TimelineEvent::StepEnded(step) => {
                write!(formatter, "{} {}", step.id, step.state.name())?;
                if step.attempts > 1 {
                    write!(formatter, " in attempt {}", step.attempts)?;
                }
                match step.state {
                    StepState::Failed(error) => write!(formatter, ": {error}"),
                    StepState::Skipped(reason) => write!(formatter, ": {reason}"),
                    StepState::Completed | StepState::Cancelled => Ok(()),
                }
            }
        }
    }
}
