//! A build script outgrows its shell: two checks should run side by side, after one build, and
//! whoever watches should see what each of them prints without knowing who runs it.
//!
//! The processes know nothing of the workflow, the workflow nothing of the screen; all three meet
//! on the bus.
//!
//! Run it with `cargo run -p coordination --example build_and_check`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;

use coordination::bus::vocabulary::PROCESS_OUTPUT;
use coordination::bus::{Bus, BusExt, LocalBus};
use coordination::patterns::process::{ProcessRunner, ProcessSpec, Stop};
use coordination::workflow::{StepContext, StepError, Workflow, WorkflowOrchestrator};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = LocalBus::new();
    let mut output = bus.subscribe(&PROCESS_OUTPUT)?;
    let runner = Arc::new(ProcessRunner::new(&bus)?);
    let orchestrator = WorkflowOrchestrator::new(&bus)?;

    // A step's process stops when its step does.
    let shell = |line: &'static str| {
        let runner = Arc::clone(&runner);
        move |context: StepContext| {
            let runner = Arc::clone(&runner);
            async move {
                let stop = Stop {
                    graceful: context.token(),
                    ..Stop::default()
                };
                let process = ProcessSpec::shell(context.step(), line);
                match runner.run(&process, &stop).await? {
                    exit if exit.is_success() => Ok(()),
                    exit => Err(StepError::message(exit.to_string())),
                }
            }
        }
    };
    let mut workflow = Workflow::builder("check");
    let build = workflow
        .step("build")
        .run_with(shell("echo compiling; echo done"));
    workflow
        .step("test")
        .after(&build)
        .run_with(shell("echo 12 tests passed"));
    workflow
        .step("lint")
        .after(&build)
        .optional()
        .run_with(shell("echo 1 warning; exit 1"));
    let workflow = workflow.build()?;

    let screen = async {
        while let Some(line) = output.recv().await {
            println!("{:>6} | {}", line.process, line.line);
        }
    };
    let run = async {
        let outcome = orchestrator.execute_workflow(&workflow, ()).await;
        // Nothing more will come: the screen ends once it has shown everything.
        bus.close();
        outcome
    };
    let ((), outcome) = tokio::join!(screen, run);
    println!("{}: {}", workflow.name(), outcome?.status);
    Ok(())
}
