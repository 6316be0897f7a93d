//! What may come next in a command line, beside the engine of `clap_complete`.

use std::ffi::OsString;
use std::hint::black_box;
use std::time::Instant;

use clap::{Arg, Command};
use clap_complete::engine;
use coord_patterns::cli::{InteractiveCli, InteractiveCliConfig};

use crate::report::{Report, Row};

const ROUNDS: usize = 15;
const TIMES: u32 = 200;
const SUBCOMMANDS: usize = 200;
const CONTENDERS: [&str; 2] = ["coord-patterns", "clap_complete's engine"];

/// A program of 200 commands, each with two options and a value out of three.
fn command() -> Command {
    let subcommands = (0..SUBCOMMANDS).map(|number| {
        Command::new(format!("task-{number:03}"))
            .about("Does one of many things")
            .arg(
                Arg::new("force")
                    .long("force")
                    .num_args(0)
                    .help("Whatever there is"),
            )
            .arg(Arg::new("folder").long("folder").help("Where"))
            .arg(Arg::new("where").value_parser(["staging", "production", "local"]))
    });
    Command::new("app").subcommands(subcommands)
}

pub(crate) fn run() {
    let report = Report::new("patterns", "µs a completion among 200 commands", CONTENDERS);
    let cases = [
        ("all commands: `task-`", "task-", SUBCOMMANDS),
        ("one command: `task-117`", "task-117", 1),
        ("an option: `task-117 --f`", "task-117 --f", 2),
        ("a value: `task-117 p`", "task-117 p", 1),
    ];
    for (name, line, expected) in cases {
        let row = Row::rounds(
            name.to_owned(),
            CONTENDERS.len(),
            ROUNDS,
            |contender| match contender {
                0 => ours(line, expected),
                _ => theirs(line, expected),
            },
        );
        report.row(&row);
    }
}

fn timed(expected: usize, mut complete: impl FnMut() -> usize) -> f64 {
    assert_eq!(complete(), expected);
    let begun = Instant::now();
    for _ in 0..TIMES {
        black_box(complete());
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES)
}

fn ours(line: &str, expected: usize) -> f64 {
    let mut config = InteractiveCliConfig::default();
    config.remember = false;
    let cli = InteractiveCli::new(command(), config).unwrap();
    timed(expected, || cli.complete(line, line.len()).candidates.len())
}

/// It is given words, and builds a command that has not been built: so it is given one that has.
fn theirs(line: &str, expected: usize) -> f64 {
    let mut command = command();
    command.build();
    timed(expected, || {
        let words = std::iter::once("app").chain(line.split(' '));
        let words: Vec<_> = words.map(OsString::from).collect();
        let last = words.len() - 1;
        let candidates = engine::complete(&mut command, words, last, None);
        candidates.unwrap().len()
    })
}
