//! What it costs to keep a run: ten steps in a row that do nothing, each on the disk before the next
//! begins.

mod floor;
mod peers;
mod role;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::report::{Report, Row};

pub(crate) use role::play;

const ROUNDS: usize = 9;

pub(crate) fn run() {
    let report = Report::new(
        "durable",
        "µs a run of ten steps",
        [
            "coord-workflow",
            "the syncs alone",
            "durare (syncs no step)",
            "Restate",
        ],
    );
    for (at_once, runs) in [(1, 50), (64, 1_024)] {
        let name = match at_once {
            1 => "one at a time".to_owned(),
            _ => format!("{at_once} at once"),
        };
        let row = Row::rounds(name, 4, ROUNDS, |contender| {
            let dir = directory();
            let elapsed = match contender {
                0 => role::to_their_ends(dir.path(), runs, at_once),
                1 => floor::syncs(dir.path(), runs, at_once),
                2 => told(peers::durare(), dir.path(), runs, at_once),
                _ => told(peers::restate(), dir.path(), runs, at_once),
            };
            elapsed.as_secs_f64() * 1e6 / runs as f64
        });
        report.row(&row);
    }
    let report = Report::new(
        "durable",
        "ms from the start of a process until all half-done runs are done",
        ["coord-workflow", "durare (syncs no step)", "Restate"],
    );
    let row = Row::rounds("100 half-done runs".to_owned(), 3, ROUNDS, |contender| {
        let dir = directory();
        let resumed = match contender {
            0 => resumed(ours, dir.path(), 100),
            1 => resumed(peers::durare, dir.path(), 100),
            _ => resumed(peers::restate, dir.path(), 100),
        };
        resumed.as_secs_f64() * 1e3
    });
    report.row(&row);
    let report = Report::new("durable", "the same, of many more", ["coord-workflow"]);
    let row = Row::rounds("10,000 half-done runs".to_owned(), 1, 3, |_| {
        resumed(ours, directory().path(), 10_000).as_secs_f64() * 1e3
    });
    report.row(&row);
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("there is room for a directory")
}

fn ours() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.arg("durable-role");
    command
}

fn in_role(mut program: Command, role: &str, dir: &Path, runs: usize, at_once: usize) -> Command {
    program
        .arg(role)
        .arg(dir)
        .args([runs.to_string(), at_once.to_string()]);
    program.stdout(Stdio::piped());
    program
}

/// What a peer says it took to run them to their ends.
fn told(peer: Command, dir: &Path, runs: usize, at_once: usize) -> Duration {
    let output = in_role(peer, "run", dir, runs, at_once).output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    Duration::from_secs_f64(said.trim().parse().unwrap())
}

/// From the start of a process to its end, which is that of all runs that another one has half done
/// and was killed.
fn resumed(program: fn() -> Command, dir: &Path, runs: usize) -> Duration {
    let mut halving = in_role(program(), "halve", dir, runs, runs);
    let mut halving = halving.env("HALVES", "1").spawn().unwrap();
    let mut lines = BufReader::new(halving.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "halved\n");
    halving.kill().unwrap();
    halving.wait().unwrap();
    let start = Instant::now();
    let status = in_role(program(), "resume", dir, runs, runs)
        .status()
        .unwrap();
    assert!(status.success());
    start.elapsed()
}
