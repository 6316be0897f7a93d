//! `coord schema`: what may stand in a workflow file, for editors.

use std::io::{self, Write};

use crate::exit_code::ExitCode;

/// The schema; a test of `file` compares it with what is read.
pub(crate) const SCHEMA: &str = include_str!("../workflow-file.schema.json");

/// Prints the schema.
pub(crate) fn schema() -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(SCHEMA.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::Done,
        Err(_) => ExitCode::OutputLost,
    }
}
