//! A release, of steps whose work is more than one call: one runs another workflow, one does the same
//! for each item of a list, and one repeats until it has seen what it waits for.
//!
//! Run it with `cargo run -p coord-workflow --example shapes`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use coord_bus::LocalBus;
use coord_workflow::{Repeat, Round, Step, StepError, Workflow, WorkflowOrchestrator};

type Targets = Vec<String>;
type Packages = Vec<String>;

/// Another workflow, which could be run by itself: it is started with targets and leaves packages.
fn build() -> Result<(Workflow<Targets>, Step<Packages>), Box<dyn Error>> {
    let mut workflow = Workflow::builder("build");
    let targets = workflow.input();
    let packages = workflow
        .step("compile")
        .for_each(targets)
        .run(|target: String| async move {
            println!("compiling for {target}");
            Ok::<_, StepError>(format!("app-{target}.tar.gz"))
        });
    Ok((workflow.build()?, packages))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (build, packages) = build()?;
    let mut workflow = Workflow::builder("release");
    let targets = workflow.input();
    let packages = workflow
        .step("build")
        .input(targets)
        .workflow(&build, packages);
    let sizes = workflow
        .step("upload")
        .for_each(packages)
        .run(|package: String| async move {
            println!("uploading {package}");
            Ok::<_, StepError>(package.len())
        });
    // A mirror shows one package more each time that it is asked.
    let asked = workflow
        .step("mirrored")
        .input(sizes)
        .repeat(Repeat::at_most(20).every(Duration::from_millis(10)))
        .run(|round: Round<usize>, sizes: Arc<Vec<usize>>| async move {
            let seen = round.last.as_deref().map_or(0, |seen| *seen) + 1;
            println!("the mirror has {seen} of {}", sizes.len());
            Ok::<_, StepError>(match seen == sizes.len() {
                true => Break(round.number()),
                false => Continue(seen),
            })
        });
    let workflow = workflow.build()?;

    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    let targets = ["x86_64", "arm64", "riscv64"].map(str::to_owned);
    let outcome = orchestrator
        .execute_workflow(&workflow, targets.to_vec())
        .await?;
    let asked = outcome.output(&asked).ok_or("the release is not there")?;
    println!(
        "{} {}, asked {asked} times",
        outcome.workflow, outcome.status
    );
    Ok(())
}
