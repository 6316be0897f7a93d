//! Appends of 200 bytes, one by one and many at once.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coord_bus::{AppendTo, Durability, EventLog, Record};
use coord_journal::Journal;
use tokio::task::JoinSet;

use super::bare_file::BareFile;
use super::directory;
use crate::report::{Report, Row};
use crate::runtime;

const ROUNDS: usize = 15;
const BYTES: usize = 200;
/// How many records a run has, before its writer begins another one.
const RUN: usize = 25;

pub(crate) fn run() {
    let report = Report::new(
        "journal",
        "µs an append of 200 bytes, each acknowledged when it is on the disk",
        [
            "coord-journal",
            "bare file, group commit",
            "one fdatasync",
            "coord-journal, `Process`",
        ],
    );
    for (writers, each) in [(1, 500), (64, 150), (1_024, 30)] {
        let name = match writers {
            1 => "one by one".to_owned(),
            _ => format!("{writers} at once"),
        };
        let row = Row::rounds(name, 4, ROUNDS, |contender| {
            let elapsed = match contender {
                0 => journal(writers, each, Durability::Disk),
                1 => bare_file(writers, each),
                2 => return floor().as_secs_f64() * 1e6,
                _ => journal(writers, each, Durability::Process),
            };
            elapsed.as_secs_f64() * 1e6 / (writers * each) as f64
        });
        report.row(&row);
    }
}

/// Each writer has a stream of its own, run after run.
fn journal(writers: usize, each: usize, durability: Durability) -> Duration {
    let dir = directory();
    let journal = Arc::new(Journal::open(dir.path()).unwrap());
    side_by_side(writers, move |writer| {
        let journal = Arc::clone(&journal);
        async move {
            for number in 0..each {
                let record = Record::new("step-completed", vec![7; BYTES]);
                let run = format!("run-{writer}-{}", number / RUN);
                let mut append = AppendTo::stream(run).record(record).durably(durability);
                append.closes = number % RUN == RUN - 1;
                journal.append(append).await.unwrap();
            }
        }
    })
}

fn bare_file(writers: usize, each: usize) -> Duration {
    let dir = directory();
    let file = Arc::new(BareFile::create(&dir.path().join("file"), 0));
    side_by_side(writers, move |_| {
        let file = Arc::clone(&file);
        async move {
            for _ in 0..each {
                file.append(vec![7; BYTES]).await;
            }
        }
    })
}

fn side_by_side<F: Future<Output = ()> + Send + 'static>(
    writers: usize,
    write: impl Fn(usize) -> F,
) -> Duration {
    runtime(2).block_on(async {
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for writer in 0..writers {
            tasks.spawn(write(writer));
        }
        tasks.join_all().await;
        start.elapsed()
    })
}

/// The median of writing 200 bytes at the end of a file and syncing it, on this thread.
fn floor() -> Duration {
    let dir = directory();
    let mut file = File::create_new(dir.path().join("file")).unwrap();
    let mut took: Vec<Duration> = (0..101)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&[7; BYTES]).unwrap();
            file.sync_data().unwrap();
            start.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}
