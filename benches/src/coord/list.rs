//! `coord list` over a journal of very many runs.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use coord_bus::LocalBus;
use coord_journal::Journal;
use coord_workflow::{RunId, RunJournal, StepError, Workflow, WorkflowOrchestrator};
use tokio::task::JoinSet;

use super::{Bench, ROUNDS, timed};
use crate::report::{Report, Row};
use crate::runtime;

const RUNS: usize = 100_000;
const AT_ONCE: usize = 256;

pub(super) fn run(bench: &Bench) {
    let dirs = [20, RUNS].map(|runs| {
        let dir = bench.folder.join(format!("journal-{runs}"));
        runtime(1).block_on(fill(&dir, runs));
        dir
    });
    let report = Report::new(
        "coord",
        "ms for `coord list`, with so many runs in the journal",
        ["20", "100,000"],
    );
    let row = Row::rounds("the newest 20".to_owned(), 2, ROUNDS, |contender| {
        let mut list = Command::new(&bench.coord);
        list.arg("list").arg("--journal").arg(&dirs[contender]);
        timed(&mut list).as_secs_f64() * 1e3
    });
    report.row(&row);
}

/// Runs of one step that have finished.
async fn fill(dir: &Path, runs: usize) {
    let journal = Arc::new(Journal::open(dir).expect("a journal can be made"));
    let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
        .journal(RunJournal::of(journal))
        .build()
        .expect("its topics are free");
    let mut workflow = Workflow::durable("bench");
    workflow.step("step").run(async || Ok::<_, StepError>(()));
    let workflow = Arc::new(workflow.build().expect("it is sound"));
    let orchestrator = Arc::new(orchestrator);
    let mut going_on = JoinSet::new();
    for _ in 0..runs {
        if going_on.len() == AT_ONCE {
            going_on.join_next().await;
        }
        let (orchestrator, workflow) = (Arc::clone(&orchestrator), Arc::clone(&workflow));
        going_on.spawn(async move {
            let run = orchestrator.start_durable(&workflow, RunId::unique(), ());
            let run = run.await.expect("the journal takes it");
            run.outcome().await.expect("it has an end");
        });
    }
    going_on.join_all().await;
}
