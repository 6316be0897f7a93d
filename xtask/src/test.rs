//! Runs every test: with cargo-nextest where it is installed, else with `cargo test`.

use std::ffi::OsString;
use std::process::Stdio;

use crate::command::{cargo, run as run_command};

/// Runs the tests of the default members with all features. The documentation tests come
/// first, so that the last lines of a run sum up the many; arguments for the runner narrow a
/// run, and leave them out.
pub(crate) fn run(profile: &str, runner_arguments: &[OsString]) -> Result<(), String> {
    if !nextest_is_installed() {
        println!("test runner: cargo test (cargo-nextest is not installed)");
        return run_command(
            cargo("test --all-features --no-fail-fast --profile")
                .arg(profile)
                .args(runner_arguments),
        );
    }
    println!("test runner: cargo nextest");
    let documentation = if runner_arguments.is_empty() {
        run_command(cargo("test --doc --all-features --no-fail-fast --profile").arg(profile))
    } else {
        println!("the documentation tests are left out, as arguments narrow this run");
        Ok(())
    };
    let tests = run_command(
        cargo("nextest run --all-features --no-fail-fast --cargo-profile")
            .arg(profile)
            .args(runner_arguments),
    );
    documentation.and(tests)
}

/// Where it is, each test is a process.
pub(crate) fn nextest_is_installed() -> bool {
    cargo("nextest --version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
