//! What a million finished streams, each of one record, cost those who do not ask for them.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use coord_bus::{AppendTo, Durability, EventLog, Record, StreamQuery};
use coord_journal::{Journal, Retention};
use tokio::task::JoinSet;

use super::directory;
use crate::report::{Report, Row};
use crate::runtime;

const ROUNDS: usize = 51;
const FINISHED: usize = 1_000_000;
const OPEN: usize = 100;
const OTHERS: u64 = 10;

pub(crate) fn run() {
    let (small, large) = (directory(), directory());
    for (dir, finished) in [(&small, 0), (&large, FINISHED)] {
        fill(dir.path(), finished);
    }
    let report = Report::new(
        "journal",
        "µs, with 100 open streams",
        ["and none finished", "and 1,000,000 finished"],
    );
    let dirs = [small.path(), large.path()];
    let row = |name: &str, measure: &dyn Fn(&Path) -> f64| {
        let row = Row::rounds(name.to_owned(), 2, ROUNDS, |contender| {
            measure(dirs[contender])
        });
        report.row(&row);
    };
    row("open the journal", &|dir| {
        let start = Instant::now();
        let journal = Journal::open(dir).unwrap();
        let took = start.elapsed();
        drop(journal);
        took.as_secs_f64() * 1e6
    });
    row("list the open streams", &|dir| {
        list(dir, &StreamQuery::by_name().open(), OPEN)
    });
    row("list the newest 20", &|dir| {
        list(dir, &StreamQuery::newest_first().limit(20), 20)
    });
    row("begin a stream", &begin);
    row("retain all, where that is what is kept", &|dir| {
        retain(dir, &Retention::all().keep_newest(2 * FINISHED as u64), 0)
    });
    row("forget one of eleven of another name", &|dir| {
        retain(dir, &Retention::of("other-").keep_newest(OTHERS), 1)
    });
}

/// With one more of the others, which has finished.
fn retain(dir: &Path, retention: &Retention, goes: u64) -> f64 {
    let journal = Journal::open(dir).unwrap();
    runtime(1).block_on(async {
        if goes > 0 {
            finish_other(&journal).await;
        }
        // The first read opens its connection.
        journal
            .streams(&StreamQuery::by_name().limit(1))
            .await
            .unwrap();
        let start = Instant::now();
        let gone = journal.retain(retention.clone()).await.unwrap();
        let took = start.elapsed();
        assert_eq!(gone, goes);
        took.as_secs_f64() * 1e6
    })
}

async fn finish_other(journal: &Journal) {
    let append = AppendTo::stream(format!("other-{}", fastrand::u64(..)));
    let append = append.record(Record::new("began", "{}")).closing();
    journal.append(append).await.unwrap();
}

fn list(dir: &Path, query: &StreamQuery, there: usize) -> f64 {
    let journal = Journal::open(dir).unwrap();
    runtime(1).block_on(async {
        // The first read opens its connection.
        journal.streams(query).await.unwrap();
        let start = Instant::now();
        let streams = journal.streams(query).await.unwrap();
        let took = start.elapsed();
        assert_eq!(streams.len(), there);
        took.as_secs_f64() * 1e6
    })
}

fn begin(dir: &Path) -> f64 {
    let journal = Journal::open(dir).unwrap();
    runtime(1).block_on(async {
        let append = AppendTo::stream("begun").record(Record::new("began", "{}"));
        let start = Instant::now();
        journal.append(append.closing()).await.unwrap();
        let took = start.elapsed();
        journal.forget("begun").await.unwrap();
        took.as_secs_f64() * 1e6
    })
}

fn fill(dir: &Path, finished: usize) {
    const AT_ONCE: usize = 1_000;
    let journal = Arc::new(Journal::open(dir).unwrap());
    runtime(2).block_on(async {
        let mut tasks = JoinSet::new();
        for writer in 0..AT_ONCE {
            let journal = Arc::clone(&journal);
            tasks.spawn(async move {
                for number in (writer..finished).step_by(AT_ONCE) {
                    let record = Record::new("step-completed", vec![7; 200]);
                    let append = AppendTo::stream(format!("run-{number:07}")).record(record);
                    let append = append.durably(Durability::Process).closing();
                    journal.append(append).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        for number in 0..OPEN {
            let append = AppendTo::stream(format!("open-{number}"));
            let append = append.record(Record::new("began", "{}"));
            journal.append(append).await.unwrap();
        }
        for _ in 0..OTHERS {
            finish_other(&journal).await;
        }
    });
}
