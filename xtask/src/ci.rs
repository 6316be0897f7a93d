//! Every check that a change has to pass, and their summary.

use std::time::{Duration, Instant};

use crate::command::{cargo, run as run_command};
use crate::{brought, docs, edges, features, instructions, links, loom, map, outside, test, tidy};

struct Check {
    name: &'static str,
    /// Says why it cannot be run on this machine, if it cannot.
    can_run: fn() -> Result<(), String>,
    run: fn() -> Result<(), String>,
}

/// The cheap ones first. All but the instructions, which are those of a release, and loom share one
/// profile, so that they share what it builds.
const CHECKS: [Check; 14] = [
    check("fmt", format),
    check("edges", edges::check),
    check("tidy", tidy::check),
    check("links", links::check),
    check("map", map::check),
    check("brought", brought::check),
    check("clippy", clippy),
    check("docs", docs::check),
    Check {
        can_run: docs::provide_book,
        ..check("book", docs::book)
    },
    check("features", features::check),
    check("outside", outside::check),
    Check {
        can_run: instructions::provide,
        ..check("instructions", || instructions::run(false))
    },
    check("loom", loom::run),
    check(TESTS, tests),
];

const fn check(name: &'static str, run: fn() -> Result<(), String>) -> Check {
    Check {
        name,
        can_run: || Ok(()),
        run,
    }
}

const TESTS: &str = "tests";
const WITHOUT_A_BUILD: [&str; 6] = ["fmt", "edges", "tidy", "links", "map", "brought"];

struct Report {
    name: &'static str,
    elapsed: Duration,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Passed,
    Skipped,
    Failed,
}

/// Runs the checks, each after a failed one too.
pub(crate) fn run(with_tests: bool) -> Result<(), String> {
    run_those(|check| check.name != TESTS || with_tests)
}

/// Runs those that are done in a few seconds.
pub(crate) fn without_a_build() -> Result<(), String> {
    run_those(|check| WITHOUT_A_BUILD.contains(&check.name))
}

fn run_those(is_meant: impl Fn(&Check) -> bool) -> Result<(), String> {
    let mut reports = Vec::new();
    for check in CHECKS {
        if is_meant(&check) {
            reports.push(check.report());
        }
    }
    println!("\n{}", table(&reports));
    verdict(&reports)
}

impl Check {
    fn report(&self) -> Report {
        let name = self.name;
        println!("\n=== {name} ===");
        let start = Instant::now();
        let outcome = match (self.can_run)().map(|()| (self.run)()) {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(error)) => {
                println!("{name}: {error}");
                Outcome::Failed
            }
            Err(obstacle) => {
                println!("{name}: skipped: {obstacle}");
                Outcome::Skipped
            }
        };
        let elapsed = start.elapsed();
        println!("=== {name}: {:.1} s ===", elapsed.as_secs_f64());
        Report {
            name,
            elapsed,
            outcome,
        }
    }
}

fn table(reports: &[Report]) -> String {
    let line = |report: &Report| {
        let word = match report.outcome {
            Outcome::Passed => "ok",
            Outcome::Skipped => "skipped",
            Outcome::Failed => "FAILED",
        };
        format!(
            "{:<14}{word:<8}{:>7.1} s\n",
            report.name,
            report.elapsed.as_secs_f64()
        )
    };
    reports.iter().map(line).collect()
}

fn verdict(reports: &[Report]) -> Result<(), String> {
    let failed: Vec<_> = reports
        .iter()
        .filter(|report| report.outcome == Outcome::Failed)
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

    fn report(name: &'static str, outcome: Outcome) -> Report {
        Report {
            name,
            elapsed: Duration::from_millis(1250),
            outcome,
        }
    }

    #[test]
    fn each_check_has_its_line() {
        let table = table(&[
            report("fmt", Outcome::Passed),
            report("clippy", Outcome::Failed),
            report("instructions", Outcome::Skipped),
        ]);
        assert_eq!(
            table,
            "fmt           ok          1.2 s\n\
             clippy        FAILED      1.2 s\n\
             instructions  skipped     1.2 s\n"
        );
    }

    #[test]
    fn one_failed_check_fails_the_run() {
        let passed = || report("fmt", Outcome::Passed);
        assert_eq!(verdict(&[passed()]), Ok(()));
        let error = verdict(&[passed(), report("tidy", Outcome::Failed)]).unwrap_err();
        assert!(error.starts_with("1 of 2 checks failed: tidy;"), "{error}");
    }

    #[test]
    fn a_check_that_cannot_be_run_here_is_skipped_and_fails_nothing() {
        let check = Check {
            can_run: || Err("there is no such tool".to_owned()),
            ..check("instructions", || Err("it ran".to_owned()))
        };
        let report = check.report();
        assert!(report.outcome == Outcome::Skipped);
        assert_eq!(verdict(&[report]), Ok(()));
    }
}
