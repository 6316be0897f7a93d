//! `coord` beside those who run jobs, too: many short ones, how soon the first one starts, and what it takes
//! to say something.

mod list;
mod peers;

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::beside;
use crate::report::{Report, Row};
use peers::{CONTENDERS, Programs, write};

const ROUNDS: usize = 15;

fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = output.status().expect("it starts");
    let elapsed = start.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    elapsed
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

    let programs = Programs::new(coord);
    let coord = &programs.coord;
    let unit = "ms for 300 jobs of /bin/true, at most 8 at once";
    let report = Report::new("coord", unit, CONTENDERS);
    let journal = folder.join("journal");
    for name in ["independent", "chain"] {
        let row = Row::rounds(name.to_owned(), CONTENDERS.len(), ROUNDS, |contender| {
            let mut command = programs.command(contender, &folder, name);
            timed(command.stderr(Stdio::null())).as_secs_f64() * 1e3
        });
        report.row(&row);
    }

    let report = Report::new(
        "coord",
        "ms to say something",
        ["/bin/true", "coord --version"],
    );
    let row = Row::rounds("a word".to_owned(), 2, 10 * ROUNDS, |contender| {
        let mut version = Command::new(coord);
        let mut nothing = Command::new("/bin/true");
        let said = match contender {
            0 => &mut nothing,
            _ => version.arg("--version"),
        };
        timed(said).as_secs_f64() * 1e3
    });
    report.row(&row);
    list::run(coord, &folder);

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
            let mut run = Command::new(coord);
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
