//! Runs the benchmarks, which list themselves when none is named.

use std::ffi::OsString;

use crate::command::{cargo, run as run_command};

pub(crate) fn run(benchmark: &[OsString]) -> Result<(), String> {
    run_command(cargo("run --release --package coord-benches --").args(benchmark))
}
