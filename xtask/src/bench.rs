//! Runs the benchmarks, which list themselves when none is named.

use std::ffi::OsString;

use crate::command::{cargo, run as run_command};

pub(crate) fn run(benchmark: &[OsString]) -> Result<(), String> {
    // Two of them time the program itself, and look for it beside their own.
    if benchmark
        .first()
        .is_some_and(|name| name == "coord" || name == "screen")
    {
        run_command(&mut cargo("build --release --package coord-cli"))?;
    }
    run_command(cargo("run --release --package coord-benches --").args(benchmark))
}
