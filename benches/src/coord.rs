//! `coord` beside those who run jobs, too: many short ones, how soon the first one starts, and what it takes
//! to say something. In parts that can be run one by one.

mod list;
mod peers;
mod pueue;

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::beside;
use crate::report::{Report, Row};
use peers::{CONTENDERS, IN_USE, Programs, write};

const ROUNDS: usize = 15;

/// A part, and how to run it.
type Part = (&'static str, fn(&Bench));

/// In the order of `docs/benchmarks.md`.
const PARTS: [Part; 5] = [
    ("jobs", jobs),
    ("pueue", pueue::run),
    ("word", word),
    ("list", list::run),
    ("first", first),
];

/// The program, and a folder with the jobs, which is removed in the end.
struct Bench {
    coord: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("coord-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        write(&folder, "independent", |_| None);
        write(&folder, "chain", |job| job.checked_sub(1));
        let coord = beside("coord", "coord-cli");
        Self { coord, folder }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs one part, or all of them.
pub(crate) fn run(part: Option<&str>) {
    let mut chosen = PARTS
        .iter()
        .filter(|(name, _)| part.is_none_or(|part| part == *name))
        .peekable();
    if chosen.peek().is_none() {
        let names = PARTS.map(|(name, _)| name).join(", ");
        println!("usage: cargo xtask bench coord [PART], where PART is one of: {names}");
        return;
    }
    let bench = Bench::new();
    chosen.for_each(|(_, run)| run(&bench));
}

fn jobs(bench: &Bench) {
    let programs = Programs::new(&bench.coord);
    let unit = "ms for 300 jobs of /bin/true, at most 8 at once";
    // Until its log is as long as it gets, and overwrites itself: of those who use it all day.
    for _ in 0..3 {
        timed(
            programs
                .command(IN_USE, &bench.folder, "chain")
                .stderr(Stdio::null()),
        );
    }
    let report = Report::new("coord", unit, CONTENDERS);
    for name in ["independent", "chain"] {
        let row = Row::rounds(name.to_owned(), CONTENDERS.len(), ROUNDS, |contender| {
            let mut command = programs.command(contender, &bench.folder, name);
            timed(command.stderr(Stdio::null())).as_secs_f64() * 1e3
        });
        report.row(&row);
    }
}

fn word(bench: &Bench) {
    let contenders = ["/bin/true", "coord --version"];
    let report = Report::new("coord", "ms to say something", contenders);
    let row = Row::rounds("a word".to_owned(), 2, 10 * ROUNDS, |contender| {
        let mut version = Command::new(&bench.coord);
        let mut nothing = Command::new("/bin/true");
        let said = match contender {
            0 => &mut nothing,
            _ => version.arg("--version"),
        };
        timed(said).as_secs_f64() * 1e3
    });
    report.row(&row);
}

fn first(bench: &Bench) {
    let Bench { coord, folder } = bench;
    std::fs::write(
        folder.join("one.toml"),
        "[[step]]\nid = \"a\"\nrun = \"echo first\"\n",
    )
    .expect("a file can be written");
    let journal = folder.join("journal");
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
            run.args(["run", "one.toml"]).current_dir(folder);
            run
        };
        row.add(1, first_byte(run().arg("--no-journal")));
        row.add(2, first_byte(run().arg("--journal").arg(&journal)));
    }
    report.row(&row);
}

fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = output.status().expect("it starts");
    let elapsed = start.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    elapsed
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
