//! Why a line was not run, or did not succeed.

use std::fmt;
use std::path::PathBuf;

use coord_bus::Failure;
use coord_bus::vocabulary::CliFault;

use crate::pattern::PatternError;

/// A line was not run, or did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// It is no command, or not a whole one.
    #[error("{}", told(line, faults))]
    Faults {
        /// The line.
        line: String,
        /// What is wrong with it.
        faults: Vec<CliFault>,
    },
    /// The pattern is not enabled.
    #[error("pattern `{pattern}` is not enabled: enable it, then run commands")]
    NotEnabled {
        /// The pattern.
        pattern: String,
    },
    /// It was cancelled.
    #[error("`{line}` was cancelled")]
    Cancelled {
        /// The line.
        line: String,
    },
    /// It failed.
    #[error("`{line}` failed: {failure}")]
    Failed {
        /// The line.
        line: String,
        /// Why.
        failure: Failure,
    },
    /// The history cannot be read.
    #[error("the history in {} cannot be read; mend the file, or remove it", file.display())]
    History {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The pattern was not registered.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// The line, with a mark under what is wrong, and what was meant.
fn told(line: &str, faults: &[CliFault]) -> impl fmt::Display {
    let mut text = String::new();
    for fault in faults {
        let count = |text: &str| text.chars().count();
        let before = count(line.get(..fault.start).unwrap_or(line));
        let length = count(line.get(fault.start..fault.end).unwrap_or("")).max(1);
        text.push_str(&fault.message);
        text.push_str(&format!(
            "\n  {line}\n  {}{}",
            " ".repeat(before),
            "^".repeat(length)
        ));
        if let Some(suggestion) = fault.suggestions.first() {
            text.push_str(&format!("\n  did you mean `{suggestion}`?"));
        }
    }
    text
}
