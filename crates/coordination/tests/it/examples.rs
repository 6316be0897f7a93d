//! The examples of this crate, run as programs: what they print is what they are to print.
//!
//! Where an example tells what several processes do at once, its lines are sorted; times and process ids are
//! replaced. With `UPDATE_GOLDEN` set, what is printed becomes what is expected.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex_lite::Regex;

/// Cargo builds the examples of a package with its tests, and puts them beside them.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples").join(name);
    assert!(
        program.exists(),
        "{} is not built: `cargo build --examples --all-features` builds it",
        program.display()
    );
    Command::new(program)
}

/// What an example prints, once it has succeeded.
fn printed(example: &mut Command) -> String {
    let output = example.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn assert_golden(name: &str, printed: &str) {
    // As it is where the test runs: what was built in another copy of the sources may be run here.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let golden = PathBuf::from(package).join("tests/it/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, printed).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap();
    assert_eq!(printed, expected, "`{name}` prints something else");
}

/// Puts a word where what is printed differs from run to run.
fn replace(printed: &str, pattern: &str, word: &str) -> String {
    let pattern = Regex::new(pattern).unwrap();
    pattern.replace_all(printed, word).into_owned()
}

#[test]
fn a_release_is_built_checked_and_deployed() {
    let printed = printed(&mut example("build_and_deploy"));
    assert_golden("build_and_deploy.txt", &printed);
}

#[test]
fn a_release_that_does_not_stand_up_is_rolled_back() {
    let printed = printed(example("build_and_deploy").arg("--broken"));
    assert_golden("build_and_deploy_broken.txt", &printed);
}

#[test]
fn a_log_viewer_draws_each_answer_as_it_comes_and_the_last_lines_and_has_counted_all() {
    let printed = printed(&mut example("log_viewer"));
    assert_golden("log_viewer.txt", &printed);
}

#[test]
fn a_payment_that_was_killed_halfway_is_not_made_twice() {
    let directory = tempfile::tempdir().unwrap();
    let mut saga = example("payment_saga");
    saga.arg("order-17").arg(directory.path());

    let mut child = saga.stdout(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut before = String::new();
    for line in stdout.lines() {
        let line = line.unwrap();
        before.push_str(&line);
        before.push('\n');
        // The bank has the money, and nobody has written down that it has.
        if line.starts_with("charge:") {
            child.kill().unwrap();
            break;
        }
    }
    child.wait().unwrap();

    let after = printed(&mut saga);
    let told = format!("{before}(killed)\n{after}");
    // It is another one each time, and the same before and after the kill.
    let (_, mark) = told.split_once("order-17-").unwrap();
    let told = told.replace(&mark[..11], "(mark)/");
    assert_golden("payment_saga.txt", &told);
}

#[test]
fn a_dev_environment_comes_up_is_tested_and_goes_down() {
    let printed = printed(&mut example("dev_environment"));
    let printed = replace(&printed, "process [0-9]+", "process ID");
    let printed = replace(&printed, "after [0-9.]+ ms", "after TIME");
    let mut lines: Vec<_> = printed.lines().collect();
    // Several tell at once: what is said is decided, whose line comes first is not.
    lines.sort_unstable();
    assert_golden("dev_environment.txt", &(lines.join("\n") + "\n"));
}

#[cfg(feature = "audit-trail")]
#[test]
fn an_audit_trail_names_the_entry_that_was_changed() {
    let printed = printed(&mut example("audit_trail"));
    assert_golden("audit_trail.txt", &printed);
}
