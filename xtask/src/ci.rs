//! Every check that a change has to pass, and their summary.

use std::time::{Duration, Instant};

use crate::command::{cargo, run as run_command};
use crate::{docs, edges, features, loom, test, tidy};

type Check = (&'static str, fn() -> Result<(), String>);

/// The cheap ones first. All but loom share one profile, so that they share what it builds.
const CHECKS: [Check; 8] = [
    ("fmt", format),
    ("edges", edges::check),
    ("tidy", tidy::check),
    ("clippy", clippy),
    ("docs", docs::check),
    ("features", features::check),
    ("loom", loom::run),
    (TESTS, tests),
];

const TESTS: &str = "tests";

struct Report {
    name: &'static str,
    elapsed: Duration,
    passed: bool,
}

/// Runs the checks, each after a failed one too.
pub(crate) fn run(with_tests: bool) -> Result<(), String> {
    let mut reports = Vec::new();
    for (name, check) in CHECKS {
        if name == TESTS && !with_tests {
            continue;
        }
        println!("\n=== {name} ===");
        let start = Instant::now();
        let outcome = check();
        let elapsed = start.elapsed();
        if let Err(error) = &outcome {
            println!("{name}: {error}");
        }
        println!("=== {name}: {:.1} s ===", elapsed.as_secs_f64());
        reports.push(Report {
            name,
            elapsed,
            passed: outcome.is_ok(),
        });
    }
    println!("\n{}", table(&reports));
    verdict(&reports)
}

fn table(reports: &[Report]) -> String {
    let line = |report: &Report| {
        let word = if report.passed { "ok" } else { "FAILED" };
        format!(
            "{:<10}{word:<8}{:>7.1} s\n",
            report.name,
            report.elapsed.as_secs_f64()
        )
    };
    reports.iter().map(line).collect()
}

fn verdict(reports: &[Report]) -> Result<(), String> {
    let failed: Vec<_> = reports
        .iter()
        .filter(|report| !report.passed)
        .map(|report| report.name)
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} of {} checks failed: {}; what to do stands under each one's heading",
        failed.len(),
        reports.len(),
        failed.join(", ")
    ))
}

fn format() -> Result<(), String> {
    run_command(&mut cargo("fmt --all --check"))
        .map_err(|error| format!("{error}; `cargo fmt --all` puts it right"))
}

fn clippy() -> Result<(), String> {
    run_command(&mut cargo(
        "clippy --workspace --exclude coord-benches --all-targets --all-features --profile ci \
         -- -D warnings",
    ))
}

fn tests() -> Result<(), String> {
    test::run("ci", &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &'static str, passed: bool) -> Report {
        Report {
            name,
            elapsed: Duration::from_millis(1250),
            passed,
        }
    }

    #[test]
    fn each_check_has_its_line() {
        let table = table(&[report("fmt", true), report("clippy", false)]);
        assert_eq!(
            table,
            "fmt       ok          1.2 s\nclippy    FAILED      1.2 s\n"
        );
    }

    #[test]
    fn one_failed_check_fails_the_run() {
        assert_eq!(verdict(&[report("fmt", true)]), Ok(()));
        let error = verdict(&[report("fmt", true), report("tidy", false)]).unwrap_err();
        assert!(error.starts_with("1 of 2 checks failed: tidy;"), "{error}");
    }
}
