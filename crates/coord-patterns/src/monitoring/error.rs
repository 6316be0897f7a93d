//! Why a process is not watched, or none is.

use super::MAX_WATCHED;

/// A process was not attached, or the pattern not started.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MonitoringError {
    /// There is no such process, or it has ended.
    #[error("`{name}` is not watched: there is no process {pid}, or it has ended")]
    NoSuchProcess {
        /// What it was to be called.
        name: String,
        /// Its id.
        pid: u32,
    },
    /// Something that runs is watched under that name.
    #[error(
        "process {pid} is not watched: `{name}` is process {other}, which runs; use another name"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The process that was to be attached.
        pid: u32,
        /// The one that is watched.
        other: u32,
    },
    /// No value is above what is no number.
    #[error("the threshold `{threshold}.{bound}` is {value}, and has to be a finite number")]
    NotFinite {
        /// Of what it is.
        threshold: &'static str,
        /// Where it opens, `above`, or closes, `until`.
        bound: &'static str,
        /// What it is.
        value: f64,
    },
    /// As many are watched as may be.
    #[error("`{name}` is not watched: {MAX_WATCHED} processes that run are, the limit")]
    TooMany {
        /// What it was to be called.
        name: String,
    },
}
