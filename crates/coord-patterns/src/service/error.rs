//! What can go wrong with a service, and with how it is described.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::{BusError, Refusal, Refused};

use super::answer::spoken;
use crate::process::ProcessError;

/// A service did not start, was not well, or could not be followed to its end.
///
/// That its process ends is none of these: its [`Exit`](coord_bus::vocabulary::Exit) says how.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Its process did not start, or was lost.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It did not become ready in time, and was stopped.
    #[error(
        "service `{service}` was stopped: it was not ready within {}, and its probe was answered \
         last: {answer}; see what it printed, or give it longer with `failure_threshold`",
        spoken(*after)
    )]
    NotReady {
        /// The service.
        service: String,
        /// How long it had, from its start.
        after: Duration,
        /// What its probe was answered last.
        answer: String,
    },
    /// It was ready and answered well no more, and was stopped.
    #[error(
        "service `{service}` was stopped: it did not answer well {failures} times in a row, the \
         last time: {answer}; see what it printed"
    )]
    Unhealthy {
        /// The service.
        service: String,
        /// How many bad answers there were in a row.
        failures: u32,
        /// The last of them.
        answer: String,
    },
    /// It is to be asked by its log whether it still lives.
    #[error(
        "service `{service}` was not started: a line of its log says once that it is ready, and \
         not that it still lives; ask that by `http`, `tcp` or `exec`"
    )]
    LiveByLog {
        /// The service.
        service: String,
    },
    /// The bus did not take an event of the service: it is closed, most likely. The service was
    /// killed.
    #[error("service `{service}` was killed: an event of it was not published to `{topic}`")]
    Unpublished {
        /// The service.
        service: String,
        /// The topic.
        topic: Arc<str>,
        /// Why not.
        source: Refusal,
    },
    /// The bus did not open a topic.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl ServiceError {
    /// Whether the same service, started again, would fail in the same way, so that it is not worth
    /// a restart: also of one that did not become ready, for it had its time.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Process(error) => error.is_permanent(),
            Self::NotReady { .. } | Self::LiveByLog { .. } => true,
            Self::Unpublished { source, .. } => matches!(source, Refusal::Closed),
            Self::Unhealthy { .. } | Self::Bus(_) => false,
        }
    }

    pub(super) fn unpublished<T>(service: &str, refused: Refused<T>) -> Self {
        Self::Unpublished {
            service: service.to_owned(),
            topic: refused.topic,
            source: refused.reason,
        }
    }
}

/// A check cannot be asked as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// This is no URL of a probe.
    #[cfg(feature = "http-probe")]
    #[error("`{url}` is no URL of the form `http://host[:port]/path`: {fault}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The URL asks for TLS.
    #[cfg(feature = "http-probe")]
    #[error(
        "`{url}` needs TLS, and a probe speaks plain HTTP: write `http://`, or ask by a command, \
         such as `curl -fsS {url}`"
    )]
    Https {
        /// The URL.
        url: String,
    },
    /// This is no address to connect to.
    #[error("`{address}` is no address of the form `host:port`: {fault}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// This is no regular expression.
    #[error("`{pattern}` is no regular expression: {fault}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        fault: String,
    },
}
