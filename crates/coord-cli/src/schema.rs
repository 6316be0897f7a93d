//! `coord schema`: what may stand in a workflow file, for editors.

use crate::exit_code::ExitCode;
use crate::screen;

/// The schema; a test of `file` compares it with what is read.
pub(crate) const SCHEMA: &str = include_str!("../workflow-file.schema.json");

/// Prints the schema.
pub(crate) fn schema() -> ExitCode {
    screen::print_whole(SCHEMA.as_bytes())
}
