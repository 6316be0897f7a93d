//! Runs the benchmarks, which list themselves when none is named.

use std::ffi::OsString;

use crate::command::{cargo, run as run_command};

pub(crate) fn run(benchmark: &[OsString]) -> Result<(), String> {
    // One of them times the program itself, and looks for it beside its own.
    if benchmark.first().is_some_and(|name| name == "coord") {
        run_command(&mut cargo("build --release --package coord-cli"))?;
    }
    run_command(cargo("run --release --package coord-benches --").args(benchmark))
}
