//! Runs what of coord-bus loom tries in every order of its threads.

use crate::command::{cargo, run as run_command};
use crate::workspace;

/// Runs it with optimizations, as it is the number of orders that counts, and in a target folder of
/// its own: it is the same crates, built differently.
pub(crate) fn run() -> Result<(), String> {
    let target = workspace::read()?.target_directory.join("loom");
    run_command(
        cargo("test --package coord-bus --test loom --release")
            .env("RUSTFLAGS", "--cfg coord_loom")
            .env("CARGO_TARGET_DIR", target),
    )
}
