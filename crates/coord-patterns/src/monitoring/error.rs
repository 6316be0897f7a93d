//! Why a process is not watched.

use super::MAX_WATCHED;

/// A process was not attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// As many are watched as may be.
    #[error("`{name}` is not watched: {MAX_WATCHED} processes that run are, the limit")]
    TooMany {
        /// What it was to be called.
        name: String,
    },
}
