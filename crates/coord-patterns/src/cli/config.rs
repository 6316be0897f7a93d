//! How an interactive command line is set up.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How an interactive command line is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct InteractiveCliConfig {
    /// What the pattern is called; `interactive-cli` by default.
    pub name: String,
    /// Whether lines are remembered at all; they are by default.
    pub remember: bool,
    /// The file in which they are kept; without one, as by default, in memory. Its directory is made, if it is
    /// not there.
    pub history_file: Option<PathBuf>,
    /// How many lines are remembered at most; 1,000 by default.
    pub history_limit: usize,
    /// Where relative paths are looked for; where the program is, by default.
    pub directory: Option<PathBuf>,
}

impl Default for InteractiveCliConfig {
    fn default() -> Self {
        Self {
            name: "interactive-cli".to_owned(),
            remember: true,
            history_file: None,
            history_limit: 1_000,
            directory: None,
        }
    }
}
