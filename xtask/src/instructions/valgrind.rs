//! Valgrind, which runs a program and counts its instructions.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::command::{output, run};

/// Whether it is here, on a machine of the kind whose instructions are remembered.
pub(super) fn check() -> Result<(), String> {
    if (ARCH, OS) != ("x86_64", "linux") {
        return Err(format!(
            "the counts are those of x86_64 Linux, and this is {ARCH} {OS}"
        ));
    }
    if is_installed() {
        return Ok(());
    }
    Err("valgrind is not installed; `apt-get install valgrind` installs it".to_owned())
}

/// As [`check`], but installs it where it is missing and may be installed.
pub(crate) fn provide() -> Result<(), String> {
    let missing = check();
    if missing.is_err() && is_root() && !is_installed() {
        // Where lists of packages are left out, as in images of containers, they are fetched first.
        let install =
            || run(apt_get().args(["install", "--yes", "--no-install-recommends", "valgrind"]));
        let installed =
            install().or_else(|_| run(apt_get().arg("update")).and_then(|()| install()));
        return installed.and_then(|()| check());
    }
    missing
}

fn is_installed() -> bool {
    let mut valgrind = Command::new("valgrind");
    let version = valgrind.arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

/// Not for long where there is no network.
fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-qq", "-o", "Acquire::Retries=0"])
        .args(["-o", "Acquire::http::Timeout=10"]);
    command
}

/// How many instructions the program takes for a case that is run so often.
pub(super) fn count(program: &Path, case: &str, times: u64) -> Result<u64, String> {
    let log = output(
        Command::new("valgrind")
            // Counts, and simulates no cache: the cheapest of its tools that counts.
            .args(["--tool=cachegrind", "--cache-sim=no"])
            .args(["--cachegrind-out-file=/dev/null", "--log-fd=1"])
            .arg(program)
            .args([case, &times.to_string()]),
    )?;
    instructions(&String::from_utf8_lossy(&log))
}

/// Finds the count in what cachegrind says at its end.
fn instructions(log: &str) -> Result<u64, String> {
    let count = log.lines().find_map(|line| {
        let (_, count) = line.split_once("I ")?.1.split_once("refs:")?;
        count.trim().replace(',', "").parse().ok()
    });
    count.ok_or_else(|| format!("valgrind told no count of instructions:\n{log}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_cachegrind_says() {
        let log = "==11== Cachegrind, a cache and branch-prediction profiler\n==11== \n\
                   ==11== I   refs:      1,567,288\n";
        assert_eq!(instructions(log), Ok(1_567_288));
        assert_eq!(instructions("==11== I refs:        42"), Ok(42));
    }

    #[test]
    fn a_log_without_a_count_is_shown() {
        let error = instructions("==11== no such program").unwrap_err();
        assert!(error.ends_with("==11== no such program"), "{error}");
    }
}
