//! Runs every test: with cargo-nextest where it is installed, else with `cargo test`. Those that could not do what they
//! are for, as this user may not mount file systems, say, are named at the end.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::{env, fs, process};

use crate::command::{cargo, run as run_command};

/// Runs the tests of the default members with all features. The documentation tests come
/// first, so that the last lines of a run sum up the many; arguments for the runner narrow a
/// run, and leave them out.
pub(crate) fn run(profile: &str, runner_arguments: &[OsString]) -> Result<(), String> {
    let list = env::temp_dir().join(format!("coord-tests-skipped-{}", process::id()));
    let tests = tests(profile, runner_arguments, &list);
    // None was skipped where there is no list.
    if let Ok(skipped) = fs::read_to_string(&list) {
        println!("passed, but could not do here what they are for:");
        print!("{skipped}");
        let _ = fs::remove_file(&list);
    }
    tests
}

/// Tests that are skipped add themselves to a list.
fn tests(profile: &str, runner_arguments: &[OsString], skipped: &Path) -> Result<(), String> {
    const SKIPPED: &str = "TESTS_SKIPPED";
    if !nextest_is_installed() {
        println!("test runner: cargo test (cargo-nextest is not installed)");
        return run_command(
            cargo("test --all-features --no-fail-fast --profile")
                .arg(profile)
                .args(runner_arguments)
                .env(SKIPPED, skipped),
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
            .args(runner_arguments)
            .env(SKIPPED, skipped),
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
