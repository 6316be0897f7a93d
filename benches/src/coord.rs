//! `coord run` beside `make`: many short jobs, and how soon the first one starts.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::beside;
use crate::report::{Report, Row};

const ROUNDS: usize = 15;
const JOBS: usize = 300;

fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = output.status().expect("it starts");
    let elapsed = start.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    elapsed
}

/// The same jobs for both: `needs` says what job `n` needs.
fn write(folder: &Path, name: &str, needs: fn(usize) -> Option<usize>) {
    let mut toml = String::new();
    let names: Vec<_> = (0..JOBS).map(|job| format!("s{job}")).collect();
    let mut make = format!(".PHONY: all {0}\nall: {0}\n", names.join(" "));
    for job in 0..JOBS {
        let _ = writeln!(toml, "[[step]]\nid = \"s{job}\"\nrun = \"/bin/true\"");
        let _ = write!(make, "s{job}:");
        if let Some(need) = needs(job) {
            let _ = writeln!(toml, "needs = [\"s{need}\"]");
            let _ = write!(make, " s{need}");
        }
        make.push_str("\n\t@/bin/true\n");
    }
    std::fs::write(folder.join(format!("{name}.toml")), toml).expect("a file can be written");
    std::fs::write(folder.join(format!("{name}.mk")), make).expect("a file can be written");
}

pub(crate) fn run() {
    let coord = beside("coord", "coord-cli");
    let folder = std::env::temp_dir().join(format!("coord-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    write(&folder, "independent", |_| None);
    write(&folder, "chain", |job| job.checked_sub(1));
    std::fs::write(
        folder.join("one.toml"),
        "[[step]]\nid = \"a\"\nrun = \"echo first\"\n",
    )
    .expect("a file can be written");

    let report = Report::new(
        "coord",
        "ms for 300 jobs of /bin/true, at most 8 at once",
        ["make -s -j8", "coord run --no-journal", "coord run"],
    );
    let journal = folder.join("journal");
    for name in ["independent", "chain"] {
        let mut row = Row::new(name.to_owned(), 3);
        for _ in 0..ROUNDS {
            let mut make = Command::new("make");
            make.args(["-s", "-j8", "-f", &format!("{name}.mk")])
                .current_dir(&folder);
            row.add(0, timed(&mut make).as_secs_f64() * 1e3);
            for column in [1, 2] {
                let mut run = Command::new(&coord);
                run.args(["run", "--concurrency", "8", &format!("{name}.toml")]);
                match column {
                    1 => run.arg("--no-journal"),
                    _ => run.arg("--journal").arg(&journal),
                };
                row.add(column, timed(run.current_dir(&folder)).as_secs_f64() * 1e3);
            }
        }
        report.row(&row);
    }

    let report = Report::new(
        "coord",
        "ms until the first line of the first process",
        ["sh -c 'echo first'", "coord run --no-journal", "coord run"],
    );
    let mut row = Row::new("one job".to_owned(), 3);
    for _ in 0..ROUNDS {
        let mut shell = Command::new("sh");
        row.add(0, first_byte(shell.args(["-c", "echo first"])));
        let run = || {
            let mut run = Command::new(&coord);
            run.args(["run", "one.toml"]).current_dir(&folder);
            run
        };
        row.add(1, first_byte(run().arg("--no-journal")));
        row.add(2, first_byte(run().arg("--journal").arg(&journal)));
    }
    report.row(&row);
    let _ = std::fs::remove_dir_all(&folder);
}

fn first_byte(command: &mut Command) -> f64 {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut out = child.stdout.take().expect("it has an output");
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("first") {
        out.read_exact(&mut byte).expect("it prints");
        text.push(char::from(byte[0]));
    }
    let elapsed = start.elapsed();
    child.wait().expect("it ends");
    elapsed.as_secs_f64() * 1e3
}
