//! What a step of a workflow costs, and whether steps that burn processor time run side by side.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coord_bus::LocalBus;
use coord_workflow::{Step, StepError, Workflow, WorkflowOrchestrator};
use tokio::task::JoinSet;

use crate::report::{Report, Row};
use crate::runtime;

const ROUNDS: usize = 9;
const STEPS: usize = 1_000;
const BURNING_STEPS: usize = 200;
const BURN: Duration = Duration::from_millis(1);

/// Holds its thread for a millisecond, without sleeping.
fn burn() {
    let start = Instant::now();
    while start.elapsed() < BURN {
        std::hint::spin_loop();
    }
}

fn burning() -> Workflow {
    let mut workflow = Workflow::builder("burning");
    for step in 0..BURNING_STEPS {
        workflow.step(format!("s{step}")).run(async || {
            burn();
            Ok::<_, StepError>(())
        });
    }
    workflow.build().expect("a workflow without faults")
}

fn chain() -> Workflow {
    let mut workflow = Workflow::builder("chain");
    let mut last = workflow.step("s0").run(async || Ok::<u64, StepError>(0));
    for step in 1..STEPS {
        last = workflow
            .step(format!("s{step}"))
            .input(last)
            .run(|before: Arc<u64>| async move { Ok::<u64, StepError>(*before + 1) });
    }
    workflow.build().expect("a workflow without faults")
}

fn fan() -> Workflow {
    let mut workflow = Workflow::builder("fan");
    let first = workflow.step("first").run(async || Ok::<u64, StepError>(1));
    let all: Vec<Step<u64>> = (0..STEPS)
        .map(|step| {
            workflow
                .step(format!("s{step}"))
                .input(first)
                .run(|one: Arc<u64>| async move { Ok::<u64, StepError>(*one) })
        })
        .collect();
    workflow
        .step("sum")
        .input(all)
        .run(|all: Vec<Arc<u64>>| async move {
            Ok::<u64, StepError>(all.iter().map(|each| **each).sum())
        });
    workflow.build().expect("a workflow without faults")
}

async fn execute(workflow: &Workflow) -> Duration {
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).expect("the topic opens");
    let start = Instant::now();
    let outcome = orchestrator.execute_workflow(workflow, ()).await;
    let elapsed = start.elapsed();
    assert!(outcome.expect("the run ends").is_completed());
    elapsed
}

async fn chain_by_hand() -> Duration {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    let mut last = 0;
    for _ in 0..STEPS {
        tasks.spawn(async move { last + 1 });
        last = tasks.join_next().await.expect("a task").expect("it ends");
    }
    assert_eq!(last, STEPS as u64);
    start.elapsed()
}

async fn fan_by_hand() -> Duration {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..STEPS {
        tasks.spawn(async { 1 });
    }
    let mut sum = 0;
    while let Some(one) = tasks.join_next().await {
        sum += one.expect("it ends");
    }
    assert_eq!(sum, STEPS);
    start.elapsed()
}

pub(crate) fn run() {
    side_by_side();
    no_op();
}

fn side_by_side() {
    let report = Report::new(
        "workflow",
        "ms for 200 independent steps that burn 1 ms each",
        ["two workers", "one worker"],
    );
    let workflow = burning();
    let mut row = Row::new("burning".to_owned(), 2);
    for _ in 0..ROUNDS {
        for (contender, workers) in [2, 1].into_iter().enumerate() {
            let workflow = workflow.clone();
            let elapsed = runtime(workers).block_on(async move {
                let execution = tokio::spawn(async move { execute(&workflow).await });
                execution.await.expect("it ends")
            });
            row.add(contender, elapsed.as_secs_f64() * 1e3);
        }
    }
    report.row(&row);
}

fn no_op() {
    let report = Report::new(
        "workflow",
        "ns a step that does nothing",
        ["coord-workflow", "tokio JoinSet by hand"],
    );
    for workers in [1, 2] {
        for shape in ["chain of 1,000", "fan of 1,000"] {
            let mut row = Row::new(
                format!(
                    "{shape}, {} worker{}",
                    workers,
                    if workers == 1 { "" } else { "s" }
                ),
                2,
            );
            let workflow = if shape.starts_with("chain") {
                chain()
            } else {
                fan()
            };
            for _ in 0..ROUNDS * 3 {
                let ours = runtime(workers).block_on({
                    let workflow = workflow.clone();
                    async move { tokio::spawn(async move { execute(&workflow).await }).await }
                });
                row.add(0, ours.expect("it ends").as_nanos() as f64 / STEPS as f64);
                let by_hand = runtime(workers).block_on(async {
                    match shape.starts_with("chain") {
                        true => tokio::spawn(chain_by_hand()).await,
                        false => tokio::spawn(fan_by_hand()).await,
                    }
                });
                row.add(
                    1,
                    by_hand.expect("it ends").as_nanos() as f64 / STEPS as f64,
                );
            }
            report.row(&row);
        }
    }
}
