//! Ten steps in a row, kept in a journal: here, and in a process that is killed, or takes up what one
//! that was killed has left.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use coord_bus::LocalBus;
use coord_journal::JournalOptions;
use coord_workflow::{Durable, RunId, RunJournal, Step, StepError, Workflow, WorkflowOrchestrator};
use tokio::task::JoinSet;

use super::Runs;
use crate::runtime;

/// `halve` or `resume`, as the peers do: the arguments are the role, the directory, and how many runs; what else
/// the peers are told is for another role.
pub(crate) fn play(arguments: &[String]) {
    let [role, dir, runs, ..] = arguments else {
        panic!("durable-role ROLE DIR RUNS");
    };
    let (dir, runs) = (Path::new(dir), runs.parse().unwrap());
    match &**role {
        "halve" => halve(dir, runs),
        _ => resume(dir, runs),
    }
}

fn orchestrator(dir: &Path) -> WorkflowOrchestrator {
    // As `coord` does.
    let options = JournalOptions::new().commit_in_place();
    let journal = Arc::new(options.open(dir.join("journal")).unwrap());
    let bus = LocalBus::new();
    let orchestrator = WorkflowOrchestrator::builder(&bus).journal(RunJournal::of(journal));
    orchestrator.build().unwrap()
}

/// The sixth step waits for ever where it is to, and says so when it is the last of so many runs.
fn ten(halves: Option<usize>) -> (Workflow<u64, Durable>, Step<u64>) {
    let mut workflow = Workflow::durable("ten");
    let halved = Arc::new(AtomicUsize::new(0));
    let mut last = workflow.input();
    for step in 0..10 {
        let (halved, halves) = (Arc::clone(&halved), halves.filter(|_| step == 5));
        last = workflow
            .step(format!("step-{step}"))
            .input(last)
            .run(move |number: Arc<u64>| {
                let halved = Arc::clone(&halved);
                async move {
                    if let Some(runs) = halves {
                        if halved.fetch_add(1, Ordering::SeqCst) + 1 == runs {
                            println!("halved");
                        }
                        std::future::pending::<()>().await;
                    }
                    Ok::<u64, StepError>(*number + 1)
                }
            });
    }
    (workflow.build().unwrap(), last)
}

pub(super) fn to_their_ends(dir: &Path, runs: Runs) -> Duration {
    let runtime = runtime(2);
    runtime.block_on(async {
        let orchestrator = Arc::new(orchestrator(dir));
        take(&orchestrator, runs.before, runs.at_once).await;
        let elapsed = take(&orchestrator, runs.count, runs.at_once).await;
        orchestrator.shutdown(Duration::from_secs(5)).await;
        elapsed
    })
}

/// How long so many runs take.
async fn take(orchestrator: &Arc<WorkflowOrchestrator>, runs: usize, at_once: usize) -> Duration {
    let (workflow, last) = ten(None);
    let mut writers = JoinSet::new();
    let start = Instant::now();
    for writer in 0..at_once {
        let (orchestrator, workflow) = (Arc::clone(orchestrator), workflow.clone());
        writers.spawn(async move {
            for _ in (writer..runs).step_by(at_once) {
                let run = orchestrator
                    .start_durable(&workflow, RunId::unique(), 0)
                    .await;
                let outcome = run.unwrap().outcome().await.unwrap();
                assert_eq!(*outcome.output(&last).unwrap(), 10);
            }
        });
    }
    writers.join_all().await;
    start.elapsed()
}

fn halve(dir: &Path, runs: usize) {
    runtime(2).block_on(async {
        let orchestrator = Arc::new(orchestrator(dir));
        let (workflow, _) = ten(Some(runs));
        let mut starting = JoinSet::new();
        for run in 0..runs {
            let (orchestrator, workflow) = (Arc::clone(&orchestrator), workflow.clone());
            starting.spawn(async move {
                let id = RunId::named(format!("run-{run}")).unwrap();
                orchestrator.start_durable(&workflow, id, 0).await.unwrap();
            });
        }
        starting.join_all().await;
        std::future::pending::<()>().await;
    });
}

fn resume(dir: &Path, runs: usize) {
    runtime(2).block_on(async {
        let orchestrator = orchestrator(dir);
        let (workflow, last) = ten(None);
        let resumed = orchestrator.resume_runs(&workflow).await.unwrap();
        assert_eq!(resumed.runs.len(), runs, "{:?}", resumed.refused);
        for run in resumed.runs {
            let outcome = run.outcome().await.unwrap();
            assert_eq!(*outcome.output(&last).unwrap(), 10);
        }
    });
}
