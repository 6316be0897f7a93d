//! Runs tests of coord-bus under Miri, which needs a nightly toolchain.

use std::process::{Command, Stdio};

use crate::command::run as run_command;
use crate::workspace;

/// The tests of the log, of those in `tests/it`.
const MODULES: [&str; 5] = [
    "log_kinds::",
    "log_memory::",
    "log_stress::",
    "log_waiting::",
    "model::a_log_",
];

/// Runs the tests of the log.
pub(crate) fn run() -> Result<(), String> {
    let is_installed = nightly("miri --version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !is_installed {
        return Err(
            "Miri is not installed; `rustup toolchain install nightly --component miri,rust-src` \
             installs it beside the toolchain of this project"
                .to_owned(),
        );
    }
    let target = workspace::read()?.target_directory.join("miri");
    run_command(
        nightly("miri test --package coord-bus --test it --")
            .args(MODULES)
            .env("CARGO_TARGET_DIR", target)
            // Tests read the real clock, and the variables below.
            .env("MIRIFLAGS", "-Zmiri-disable-isolation")
            .env("PROPTEST_CASES", "2")
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true"),
    )
}

/// The nightly cargo, with a subcommand and its arguments split at spaces.
fn nightly(arguments: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]);
    command.args(arguments.split_whitespace());
    command
}
