//! What flows did and left: [`FlowReport`], [`FlowStats`], [`ShutdownReport`].

use std::fmt;

use serde::Serialize;

/// A flow, what it has done, and what is left to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FlowReport {
    /// Its name.
    pub name: String,
    /// The topic that it takes events from.
    pub from: String,
    /// The topic that it publishes to.
    pub to: String,
    /// Whether it runs, or how it ended.
    pub state: FlowState,
    /// What it has done.
    pub stats: FlowStats,
    /// Events of its source that it has not handled: while it runs, how far it is behind; once it
    /// has been asked to stop, or has ended, what it still had to do then and has not done.
    pub left: u64,
}

/// What a flow has done with the events of its source.
///
/// `received = published + filtered + failed`, but for the one event that a flow may have in its
/// hand while it runs, or had when it was aborted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FlowStats {
    /// Events taken from its source.
    pub received: u64,
    /// Events published to its sink.
    pub published: u64,
    /// Events that a stage filtered out.
    pub filtered: u64,
    /// Events of which a stage panicked, or that could not be decoded, or whose result could not
    /// be published.
    pub failed: u64,
}

/// Whether a flow runs, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FlowState {
    /// It runs.
    Running,
    /// It was asked to stop, and handles what had been published to its source by then.
    Draining,
    /// It was asked to stop, and has handled all that.
    Drained,
    /// It has handled everything that its source accepted before it was closed.
    SourceClosed,
    /// Its sink is closed: what it had in hand has failed.
    SinkClosed,
    /// It had not stopped by a deadline, and was ended where it waited.
    Aborted,
}

impl fmt::Display for FlowState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::SourceClosed => "source closed",
            Self::SinkClosed => "sink closed",
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
    /// Whether no flow has left anything.
    pub fn is_complete(&self) -> bool {
        self.flows.iter().all(|flow| flow.left == 0)
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_complete() {
            return formatter.write_str("every flow has handled everything");
        }
        let left = self.flows.iter().filter(|flow| flow.left > 0);
        let left = left.map(|flow| format!("`{}` left {} events", flow.name, flow.left));
        formatter.write_str(&left.collect::<Vec<_>>().join(", "))
    }
}
