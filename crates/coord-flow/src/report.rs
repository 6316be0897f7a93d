//! What flows did and left: [`FlowReport`], [`FlowStats`], [`ShutdownReport`].

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::latency::FlowLatency;

/// A flow, what it has done, and what is left to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FlowReport {
    /// Its name.
    pub name: String,
    /// The topics that it takes events from.
    pub from: Vec<String>,
    /// The topics that it publishes to.
    pub to: Vec<String>,
    /// The topics that its dead letters go to, if they go anywhere.
    pub dead_letters: Vec<String>,
    /// Whether it runs, or how it ended.
    pub state: FlowState,
    /// What it has done.
    pub stats: FlowStats,
    /// Events of its sources that it has not handled, and items that it holds: while it runs, how far
    /// it is behind; once it has been asked to stop, or has ended, what it still had to do then and
    /// has not done.
    pub left: u64,
    /// How long ago it was added.
    #[serde(serialize_with = "coord_bus::duration::serialize")]
    pub age: Duration,
    /// How long events take, if that is measured: [`EventFlow::timed`](crate::EventFlow::timed).
    pub latency: Option<FlowLatency>,
}

/// What a flow has done with the events of its sources, and with what it made of them: its items.
///
/// `received + added = published + filtered + failed + merged + held`, and each part is exact when
/// nothing moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FlowStats {
    /// Events taken from its sources.
    pub received: u64,
    /// Items that were made beyond one for one: the further ones of a `flat_map`, those that come
    /// out of windows, the clones of `to_many`.
    pub added: u64,
    /// Items published.
    pub published: u64,
    /// Items that a stage filtered out.
    pub filtered: u64,
    /// Items that a stage could make nothing of, or panicked at, or that could not be published, and
    /// events that could not be decoded.
    pub failed: u64,
    /// Items that went into others: into those of a window, and the second ones of pairs.
    pub merged: u64,
    /// Items that it has in hand: in windows, in what it waits for, at a sink that is full.
    pub held: u64,
    /// Events that its sources' overflow took; they are not among those received.
    pub lost: u64,
    /// Attempts that were made after a failed one.
    pub retried: u64,
    /// Of the failed ones, those whose event became a dead letter.
    pub dead: u64,
}

impl FlowStats {
    /// Whether each item is accounted for.
    pub fn is_balanced(&self) -> bool {
        let parts = [
            self.published,
            self.filtered,
            self.failed,
            self.merged,
            self.held,
        ];
        self.received + self.added == parts.iter().sum::<u64>()
    }
}

/// Whether a flow runs, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FlowState {
    /// It runs.
    Running,
    /// It was asked to pause: it takes nothing, and goes on when it is asked to.
    Paused,
    /// It was asked to stop, and handles what had been published to its source by then.
    Draining,
    /// It was asked to stop, and has handled all that.
    Drained,
    /// It has handled everything that a source accepted before it was closed.
    SourceClosed,
    /// Its sink is closed: what it had in hand has failed.
    SinkClosed,
    /// Something failed, at which it was to stop: [`OnFailure::Stop`](crate::OnFailure::Stop).
    Failed,
    /// It had not stopped by a deadline, and was ended where it waited.
    Aborted,
}

impl fmt::Display for FlowState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::SourceClosed => "source closed",
            Self::SinkClosed => "sink closed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        })
    }
}

/// What [`EventChoreographer::shutdown`](crate::EventChoreographer::shutdown) found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use = "says whether anything was left"]
#[non_exhaustive]
pub struct ShutdownReport {
    /// All flows, by name.
    pub flows: Vec<FlowReport>,
}

impl ShutdownReport {
    /// Whether every flow has ended, and none has left anything.
    pub fn is_complete(&self) -> bool {
        self.incomplete().next().is_none()
    }

    fn incomplete(&self) -> impl Iterator<Item = &FlowReport> {
        let flows = self.flows.iter();
        flows.filter(|flow| flow.left > 0 || flow.is_still_running())
    }
}

impl FlowReport {
    /// Also after it was to be aborted, as it holds its thread.
    fn is_still_running(&self) -> bool {
        matches!(
            self.state,
            FlowState::Running | FlowState::Paused | FlowState::Draining
        )
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_complete() {
            return formatter.write_str("every flow has handled everything");
        }
        let left = self.incomplete().map(|flow| {
            let FlowReport { name, left, .. } = flow;
            match flow.is_still_running() {
                true => format!("`{name}` is still running, and left {left} events"),
                false => format!("`{name}` left {left} events"),
            }
        });
        formatter.write_str(&left.collect::<Vec<_>>().join(", "))
    }
}
