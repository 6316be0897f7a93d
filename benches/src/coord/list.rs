//! `coord list` over a journal of very many runs, and of some that have many records each.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use coord_bus::LocalBus;
use coord_journal::Journal;
use coord_workflow::{Durable, RunId, RunJournal, StepError, Workflow, WorkflowOrchestrator};
use tokio::task::JoinSet;

use super::{Bench, ROUNDS, timed};
use crate::report::{Report, Row};
use crate::runtime;

const RUNS: usize = 100_000;
const AT_ONCE: usize = 256;

/// How many runs are listed.
const LISTED: usize = 20;
/// Of a long run.
const STEPS: usize = 5;
const ITEMS: u32 = 1_000;

pub(super) fn run(bench: &Bench) {
    let filled = [
        ("short", LISTED, short as fn() -> _),
        ("many", RUNS, short),
        ("long", LISTED, long),
    ];
    let dirs = filled.map(|(name, runs, workflow)| {
        let dir = bench.folder.join(name);
        runtime(1).block_on(fill(&dir, runs, workflow()));
        dir
    });
    let report = Report::new(
        "coord",
        "ms for `coord list`, with so many runs in the journal",
        ["20", "100,000", "20 of 5,000 records"],
    );
    let row = Row::rounds("the newest 20".to_owned(), 3, ROUNDS, |contender| {
        let mut list = Command::new(&bench.coord);
        list.arg("list").arg("--journal").arg(&dirs[contender]);
        timed(&mut list).as_secs_f64() * 1e3
    });
    report.row(&row);
}

/// One step.
fn short() -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("short");
    workflow.step("step").run(async || Ok::<_, StepError>(()));
    workflow.build().expect("it is sound")
}

/// Steps that each go through a list.
fn long() -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("long");
    let list = workflow.step("list");
    let mut list = list.run(async || Ok::<_, StepError>((0..ITEMS).collect::<Vec<_>>()));
    for step in 0..STEPS {
        let each = workflow.step(format!("each-{step}")).for_each(list);
        list = each.run(|item: u32| async move { Ok::<_, StepError>(item) });
    }
    workflow.build().expect("it is sound")
}

/// Runs that have finished.
async fn fill(dir: &Path, runs: usize, workflow: Workflow<(), Durable>) {
    let journal = Arc::new(Journal::open(dir).expect("a journal can be made"));
    let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
        .journal(RunJournal::of(journal))
        .build()
        .expect("its topics are free");
    let workflow = Arc::new(workflow);
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
