//! Lines of a real process, and the start and the end of one.

use std::hint::black_box;
use std::process::Stdio;
use std::time::Instant;

use coord_bus::vocabulary::PROCESS_OUTPUT;
use coord_bus::{Bus, BusExt, LocalBus};
use coord_patterns::process::{ProcessRunner, ProcessSpec, Stop};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc::channel;

use crate::report::{Report, Row};
use crate::runtime;

const ROUNDS: usize = 15;
const LINES: usize = 300_000;
const PROCESSES: usize = 200;
/// Where nothing else is said, a topic has room for so much, and so the channel by hand has it.
const CAPACITY: usize = 1024;

const READERS: [&str; 3] = [
    "coord-patterns, to a subscriber",
    "`BufReader::lines`, to a channel",
    "`BufReader::lines` alone",
];
const STARTERS: [&str; 3] = [
    "coord-patterns, with its events",
    "tokio, with two pipes read to their end",
    "tokio, without pipes",
];

pub(crate) fn run() {
    let report = Report::new("patterns", "ns a line that a process prints", READERS);
    let cases = [
        ("6 characters", "yes 123456"),
        ("80 characters", "yes $(printf %080d 1)"),
        (
            "80, and a colour",
            r#"yes "$(printf '\033[32mok\033[0m %078d' 1)""#,
        ),
    ];
    for (name, yes) in cases {
        let line = format!("{yes} | head -n {LINES}");
        for (workers, on) in [(1, ""), (2, ", two workers")] {
            let row = Row::rounds(format!("{name}{on}"), READERS.len(), ROUNDS, |contender| {
                lines(contender, workers, &line)
            });
            report.row(&row);
        }
    }
    let report = Report::new(
        "patterns",
        "µs for `/bin/true`, from start to end",
        STARTERS,
    );
    let row = Row::rounds(
        "one after the other".to_owned(),
        STARTERS.len(),
        ROUNDS,
        starts,
    );
    report.row(&row);
}

/// Nanoseconds a line.
fn lines(contender: usize, workers: usize, line: &str) -> f64 {
    runtime(workers).block_on(async {
        let begun = Instant::now();
        let read = match contender {
            0 => through_the_runner(line).await,
            1 => to_a_channel(line).await,
            _ => alone(line).await,
        };
        let elapsed = begun.elapsed();
        assert_eq!(read, LINES, "no line is lost, and none is made up");
        elapsed.as_nanos() as f64 / LINES as f64
    })
}

async fn through_the_runner(line: &str) -> usize {
    let bus = LocalBus::new();
    let mut output = bus.subscribe(&PROCESS_OUTPUT).unwrap();
    let runner = ProcessRunner::new(&bus).unwrap();
    let spec = ProcessSpec::shell("yes", line);
    let run = tokio::spawn(async move {
        let exit = runner.run(&spec, &Stop::default()).await;
        bus.close();
        exit
    });
    let mut read = 0;
    while let Some(output) = output.recv().await {
        black_box(output.line.len());
        read += 1;
    }
    assert!(run.await.unwrap().unwrap().is_success());
    read
}

async fn to_a_channel(line: &str) -> usize {
    let (sender, mut receiver) = channel::<String>(CAPACITY);
    let mut child = shell(line).spawn().unwrap();
    let out = child.stdout.take().unwrap();
    let run = tokio::spawn(async move {
        let mut lines = BufReader::new(out).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            sender.send(line).await.unwrap();
        }
        child.wait().await
    });
    let mut read = 0;
    while let Some(line) = receiver.recv().await {
        black_box(line.len());
        read += 1;
    }
    assert!(run.await.unwrap().unwrap().success());
    read
}

async fn alone(line: &str) -> usize {
    let mut child = shell(line).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut read = 0;
    while let Some(line) = lines.next_line().await.unwrap() {
        black_box(line.len());
        read += 1;
    }
    assert!(child.wait().await.unwrap().success());
    read
}

fn shell(line: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", line]).stdin(Stdio::null());
    shell.stdout(Stdio::piped());
    shell
}

/// Microseconds a process.
fn starts(contender: usize) -> f64 {
    runtime(1).block_on(async {
        let bus = LocalBus::new();
        let runner = ProcessRunner::new(&bus).unwrap();
        let spec = ProcessSpec::program("true", "/bin/true");
        let begun = Instant::now();
        for _ in 0..PROCESSES {
            let mut by_hand = Command::new("/bin/true");
            by_hand.stdin(Stdio::null());
            let is_success = match contender {
                0 => runner
                    .run(&spec, &Stop::default())
                    .await
                    .unwrap()
                    .is_success(),
                1 => by_hand.output().await.unwrap().status.success(),
                _ => by_hand.status().await.unwrap().success(),
            };
            assert!(is_success);
        }
        begun.elapsed().as_secs_f64() * 1e6 / PROCESSES as f64
    })
}
