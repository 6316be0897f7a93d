//! What a step of a workflow costs, and whether steps that burn processor time run side by side.

mod shape;
mod by_hand;
mod peers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use coord_bus::LocalBus;
use coord_workflow::{Step, StepError, Workflow, WorkflowOrchestrator};
use tokio::runtime::Runtime;

use crate::report::{Report, Row};
use crate::runtime;
use shape::{Shape, work};

const ROUNDS: usize = 9;
/// How often a contender runs a graph in its turn. The quickest is counted: before the first, others had the caches.
const RUNS: usize = 3;
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

/// A shape as a workflow, and its last step.
fn workflow_of(shape: &Shape) -> (Workflow, Step<u64>) {
    let mut workflow = Workflow::builder("shape");
    let mut steps: Vec<Step<u64>> = Vec::with_capacity(shape.steps());
    for (index, needs) in shape.needs.iter().enumerate() {
        let step = workflow.step(format!("s{index}"));
        let step = match needs[..] {
            [] => step.run(async || Ok::<u64, StepError>(work(&[]))),
            [need] => step
                .input(steps[need])
                .run(|input: Arc<u64>| async move { Ok::<u64, StepError>(work(&[*input])) }),
            [one, other, ..] => step.input((steps[one], steps[other])).run(
                |(one, other): (Arc<u64>, Arc<u64>)| async move {
                    Ok::<u64, StepError>(work(&[*one, *other]))
                },
            ),
        };
        steps.push(step);
    }
    let last = steps[steps.len() - 1];
    (workflow.build().expect("a workflow without faults"), last)
}

async fn execute(workflow: &Workflow, last: Option<Step<u64>>) -> (Duration, u64) {
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).expect("the topic opens");
    let start = Instant::now();
    let outcome = orchestrator.execute_workflow(workflow, ()).await;
    let elapsed = start.elapsed();
    let outcome = outcome.expect("the run ends");
    assert!(outcome.is_completed());
    let result = last.map(|last| *outcome.output(&last).expect("it is done"));
    (elapsed, result.unwrap_or_default())
}

async fn ours(shape: &Shape) -> (Duration, u64) {
    let (workflow, last) = workflow_of(shape);
    execute(&workflow, Some(last)).await
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
    let row = Row::rounds("burning".to_owned(), 2, ROUNDS, |contender| {
        let (elapsed, _) = runtime(2 - contender).block_on(execute(&workflow, None));
        elapsed.as_secs_f64() * 1e3
    });
    report.row(&row);
}

const CONTENDERS: [&str; 7] = [
    "coord-workflow",
    "FuturesUnordered by hand",
    "by hand, with times and panics",
    "JoinSet by hand",
    "async_dag",
    "dagx",
    "dagrs",
];

fn no_op() {
    let report = Report::new("workflow", "ns a step that does nothing", CONTENDERS);
    let shapes = [
        Shape::chain(1_000),
        Shape::fan_out(1_000),
        Shape::layered(10_000),
    ]
    .map(Arc::new);
    for workers in [1, 2] {
        // One for all rounds, so that its threads have their memory, as in a program that has gone on for a while.
        let runtime = runtime(workers);
        for shape in &shapes {
            let (expected, threads) = (
                shape.expected(),
                if workers == 1 { "worker" } else { "workers" },
            );
            let name = format!("{}, {workers} {threads}", shape.name);
            let rounds = ROUNDS * 30_000 / (10_000 + 2 * shape.steps());
            let row = Row::rounds(name, CONTENDERS.len(), rounds, |contender| {
                let runs = (0..RUNS).map(|_| {
                    let (elapsed, result) = measure(contender, shape, &runtime);
                    assert_eq!(result, expected, "{}", CONTENDERS[contender]);
                    elapsed.as_nanos() as f64 / shape.steps() as f64
                });
                runs.fold(f64::INFINITY, f64::min)
            });
            report.row(&row);
        }
    }
}

fn measure(contender: usize, shape: &Arc<Shape>, runtime: &Runtime) -> (Duration, u64) {
    let of_task = Arc::clone(shape);
    let on_a_worker = async move {
        let shape = &*of_task;
        match contender {
            0 => ours(shape).await,
            1 => by_hand::futures_unordered(shape).await,
            2 => by_hand::with_times_and_panics(shape).await,
            3 => by_hand::join_set(shape).await,
            5 => peers::dagx(shape).await,
            _ => peers::dagrs(shape).await,
        }
    };
    runtime.block_on(async {
        // So that the threads are there.
        let started = tokio::spawn(async {}).await;
        started.expect("it ends");
        match contender {
            // Its future is bound to a thread.
            4 => peers::async_dag(shape).await,
            _ => tokio::spawn(on_a_worker).await.expect("it ends"),
        }
    })
}
