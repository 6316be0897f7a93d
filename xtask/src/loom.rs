//! Runs what of coord-bus loom tries in every order of its threads.

use crate::command::{cargo, run as run_command};
use crate::{test, workspace};

/// Runs it in a profile and a target folder of its own, as it is the same crates, built differently. Each test
/// is a process: loom maps and unmaps memory for each order, for which threads of one process wait in turn.
pub(crate) fn run() -> Result<(), String> {
    let target = workspace::read()?.target_directory.join("loom");
    let mut command = if test::nextest_is_installed() {
        cargo("nextest run --package coord-bus --test loom --cargo-profile loom")
    } else {
        cargo("test --package coord-bus --test loom --profile loom -- --test-threads 1")
    };
    run_command(
        command
            .env("RUSTFLAGS", "--cfg coord_loom")
            .env("CARGO_TARGET_DIR", target),
    )
}
