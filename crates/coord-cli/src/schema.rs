//! `coord schema`: what may stand in a workflow file, for editors.

use crate::exit_code::ExitCode;
use crate::reference::print_plain;

/// The schema; a test of `file` compares it with what is read.
pub(crate) const SCHEMA: &str = include_str!("../workflow-file.schema.json");

/// Prints the schema.
pub(crate) fn schema() -> ExitCode {
    print_plain(SCHEMA.as_bytes())
}
