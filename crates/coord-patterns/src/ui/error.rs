//! Why settings could not be read.

use std::io;
use std::path::PathBuf;

/// Settings could not be read, or are not of the kind that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UiError {
    /// The file could not be read.
    #[error("the settings in {} could not be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not TOML, or not JSON.
    #[error("{}:{line}:{column}: {message}; correct that, and the settings are read", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// In which line, from 1.
        line: usize,
        /// In which column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// It is larger than a file of settings may be.
    #[error("the settings in {} are larger than {limit} bytes, the limit", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The directory of the file cannot be watched.
    #[error("the directory {} cannot be watched: make it first", directory.display())]
    Unwatched {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: notify::Error,
    },
    /// A setting is of another kind.
    #[error("the setting `{setting}` is not of the kind that is needed")]
    Setting {
        /// The setting.
        setting: String,
        /// Why.
        source: serde_json::Error,
    },
}
