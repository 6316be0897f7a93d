//! A deployment script outgrows its shell: checks should run side by side, a host that does not answer
//! should be asked again, and when the new version does not stand up, the old one should be back before
//! anybody has read the log.
//!
//! Each step is a real process. The processes know nothing of the workflow, the workflow nothing of who
//! shows what they print: all meet on the bus.
//!
//! Run it with `cargo run -p coordination --example build_and_deploy`, or with `… -- --broken`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::vocabulary::PROCESS_OUTPUT;
use coordination::bus::{Bus, BusExt, LocalBus};
use coordination::patterns::process::{ProcessRunner, ProcessSpec, Stop};
use coordination::workflow::{Retry, StepContext, StepError, Workflow, WorkflowOrchestrator};

/// Runs a line of shell as the process of a step; it stops when its step does.
async fn shell(runner: &ProcessRunner, name: &str, line: &str) -> Result<(), StepError> {
    match runner
        .run(&ProcessSpec::shell(name, line), &Stop::default())
        .await?
    {
        exit if exit.is_success() => Ok(()),
        exit => Err(StepError::message(exit.to_string())),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let health: fn(u32) -> &'static str = match std::env::args().nth(1).as_deref() {
        Some("--broken") => |_| "echo GET /health: 503; exit 22",
        _ => |_| "echo GET /health: 200",
    };
    let bus = LocalBus::new();
    let mut output = bus.subscribe(&PROCESS_OUTPUT)?;
    let runner = Arc::new(ProcessRunner::new(&bus)?);

    // What a step runs may depend on how often it was tried.
    let runs = |line: fn(u32) -> &'static str| {
        let runner = runner.clone();
        move |context: StepContext| {
            let runner = runner.clone();
            async move { shell(&runner, context.step(), line(context.attempt())).await }
        }
    };
    let mut workflow = Workflow::builder("release");
    let build = workflow
        .step("build")
        .run_with(runs(|_| "echo compiled 214 crates"));
    let test = workflow
        .step("test")
        .after(&build)
        .run_with(runs(|_| "echo 12 passed"));
    workflow
        .step("lint")
        .after(&build)
        .optional()
        .run_with(runs(|_| "echo 1 warning; exit 1"));
    let undo = runner.clone();
    let deploy = workflow
        .step("deploy")
        .after(&test)
        .retry(Retry::constant(Duration::from_millis(20)))
        .compensate(move |_: Arc<()>| {
            let runner = undo.clone();
            async move { shell(&runner, "deploy", "echo version 1 is back").await }
        })
        .run_with(runs(|attempt| match attempt {
            1 => "echo the host does not answer; exit 7",
            _ => "echo version 2 is there",
        }));
    workflow
        .step("smoke-test")
        .after(&deploy)
        .run_with(runs(health));
    let workflow = workflow.build()?;

    let listen = async {
        let mut printed: BTreeMap<String, Vec<String>> = BTreeMap::new();
        while let Some(line) = output.recv().await {
            printed
                .entry(line.process.to_string())
                .or_default()
                .push(line.line.to_string());
        }
        printed
    };
    let run = async {
        let outcome = WorkflowOrchestrator::new(&bus)?
            .execute_workflow(&workflow, ())
            .await;
        // Nothing more will come: who listens ends once everything was heard.
        bus.close();
        Ok::<_, Box<dyn Error>>(outcome?)
    };
    let (printed, outcome) = tokio::join!(listen, run);
    let outcome = outcome?;
    println!("{} has {}", outcome.workflow, outcome.status);
    for step in outcome.steps() {
        println!(
            "{:<10}  {}, attempts: {}",
            step.id,
            step.state.name(),
            step.attempts
        );
        for line in printed.get(step.id).into_iter().flatten() {
            println!("            | {line}");
        }
    }
    Ok(())
}
