//! How a child is: running, waiting to be restarted, or ended and why.

use std::fmt;
use std::time::Duration;

use coord_bus::time::Instant;

use super::ChildError;

/// How a child is at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ChildState {
    /// An incarnation runs, or is stopping.
    Running {
        /// Which, from 1.
        incarnation: u32,
        /// Whether it has said that it is ready.
        ready: bool,
    },
    /// It failed, and waits to be restarted.
    Waiting {
        /// How many failures there were in a row.
        failures: u32,
        /// When the wait is over.
        until: Instant,
    },
    /// It was stopped because another child is restarted, and starts again with that one.
    Held,
    /// It has ended for good.
    Ended(ChildEnd),
}

/// A child's name and how it is: an entry of [`Supervisor::children`](super::Supervisor::children).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChildStatus {
    /// The child's name.
    pub name: String,
    /// How it is.
    pub state: ChildState,
    /// How often it was restarted, by itself and by hand.
    pub restarts: u32,
}

/// Why a child has ended for good. As an error, it says why a child will not become ready.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ChildEnd {
    /// It ended well, and was not to be restarted then.
    Completed,
    /// It failed, and was never to be restarted.
    Failed {
        /// Why.
        error: ChildError,
    },
    /// It was asked to stop, and did.
    Stopped,
    /// It was asked to stop and took too long, or its supervisor was dropped.
    Aborted,
    /// It was restarted too often, or could not be helped by that.
    GaveUp(GaveUp),
}

/// A child that was given up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GaveUp {
    /// The child's name.
    pub child: String,
    /// Why.
    pub reason: GiveUpReason,
    /// What it failed of last.
    pub error: ChildError,
}

/// Why a child was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GiveUpReason {
    /// It was restarted as often as it may be.
    TooManyRestarts {
        /// How often.
        restarts: u32,
        /// In which period, the waits to be restarted left out.
        within: Duration,
    },
    /// Its error was [permanent](ChildError::permanent).
    Permanent,
}

/// One line of a tree.
impl fmt::Display for ChildStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.state)?;
        match self.restarts {
            0 => Ok(()),
            1 => formatter.write_str(", 1 restart"),
            restarts => write!(formatter, ", {restarts} restarts"),
        }
    }
}

impl fmt::Display for ChildState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { ready: true, .. } => formatter.write_str("ready"),
            Self::Running { ready: false, .. } => formatter.write_str("running"),
            Self::Waiting { failures, .. } => {
                write!(
                    formatter,
                    "waiting to be restarted after failure {failures} in a row"
                )
            }
            Self::Held => formatter.write_str("held for another child"),
            Self::Ended(end) => write!(formatter, "ended: {end}"),
        }
    }
}

impl fmt::Display for GiveUpReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRestarts { restarts: 0, .. } => {
                formatter.write_str("it is not to be restarted")
            }
            Self::TooManyRestarts { restarts, within } => {
                let times = if *restarts == 1 { "time" } else { "times" };
                write!(formatter, "restarted {restarts} {times} within {within:?}")
            }
            Self::Permanent => formatter.write_str("a restart would not help"),
        }
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            child,
            reason,
            error,
        } = self;
        write!(formatter, "`{child}` was given up: {reason}: {error}")
    }
}

impl fmt::Display for ChildEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => formatter.write_str("it ended by itself"),
            Self::Failed { error } => write!(formatter, "it failed: {error}"),
            Self::Stopped => formatter.write_str("it was stopped"),
            Self::Aborted => formatter.write_str("it was aborted"),
            Self::GaveUp(gave_up) => gave_up.fmt(formatter),
        }
    }
}

impl std::error::Error for ChildEnd {}
