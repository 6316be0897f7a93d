//! Runs the benchmarks, which list themselves when none is named.

use std::ffi::OsString;

use crate::command::{cargo, run as run_command};
use crate::workspace;

pub(crate) fn run(benchmark: &[OsString]) -> Result<(), String> {
    // Some of them run another program, and look for it beside their own.
    let beside = match benchmark.first().and_then(|name| name.to_str()) {
        Some("coord" | "screen") => Some("coord-cli"),
        Some("bus") => Some("coord-benches"),
        _ => None,
    };
    if benchmark.first().is_some_and(|name| name == "durable") {
        // Workspaces of their own, beside whose programs ours are to be.
        let target = workspace::read()?.target_directory;
        for peer in ["durare", "restate"] {
            let mut build = cargo("build --release --manifest-path");
            build.arg(format!("benches/{peer}/Cargo.toml"));
            run_command(build.arg("--target-dir").arg(&target))?;
        }
    }
    if let Some(package) = beside {
        run_command(cargo("build --release --package").arg(package))?;
    }
    run_command(cargo("run --release --package coord-benches --").args(benchmark))
}
