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
    for (name, runs) in [
        ("one at a time, a new store", Runs::new(50, 1)),
        ("one at a time, a store in use", Runs::new(50, 1).in_use()),
        ("64 at once", Runs::new(1_024, 64)),
    ] {
        let row = Row::rounds(name.to_owned(), 4, ROUNDS, |contender| {
            let dir = directory();
            let elapsed = match contender {
                0 => role::to_their_ends(dir.path(), runs),
                1 => floor::syncs(dir.path(), runs),
                2 => told(peers::durare(), dir.path(), runs),
                _ => told(peers::restate(), dir.path(), runs),
            };
            elapsed.as_secs_f64() * 1e6 / runs.count as f64
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

/// How many runs, and how they are made.
#[derive(Clone, Copy)]
pub(crate) struct Runs {
    count: usize,
    at_once: usize,
    /// How many there were before, in the same process, which are not counted.
    before: usize,
}

impl Runs {
    fn new(count: usize, at_once: usize) -> Self {
        Self {
            count,
            at_once,
            before: 0,
        }
    }

    /// So many before that the journal's log is as long as it gets, and overwrites itself from then on: 8 MiB.
    /// durare's is so after 4 MiB.
    fn in_use(self) -> Self {
        Self {
            before: 100,
            ..self
        }
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("there is room for a directory")
}

fn ours() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.arg("durable-role");
    command
}

fn in_role(mut program: Command, role: &str, dir: &Path, runs: Runs) -> Command {
    let Runs {
        count,
        at_once,
        before,
    } = runs;
    program
        .arg(role)
        .arg(dir)
        .args([count, at_once, before].map(|number| number.to_string()));
    program.stdout(Stdio::piped());
    program
}

/// What a peer says it took to run them to their ends.
fn told(peer: Command, dir: &Path, runs: Runs) -> Duration {
    let output = in_role(peer, "run", dir, runs).output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    Duration::from_secs_f64(said.trim().parse().unwrap())
}

/// From the start of a process to its end, which is that of all runs that another one has half done
/// and was killed.
fn resumed(program: fn() -> Command, dir: &Path, runs: usize) -> Duration {
    let runs = Runs::new(runs, runs);
    let mut halving = in_role(program(), "halve", dir, runs);
    let mut halving = halving.env("HALVES", "1").spawn().unwrap();
    let mut lines = BufReader::new(halving.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "halved\n");
    halving.kill().unwrap();
    halving.wait().unwrap();
    let start = Instant::now();
    let status = in_role(program(), "resume", dir, runs).status().unwrap();
    assert!(status.success());
    start.elapsed()
}
