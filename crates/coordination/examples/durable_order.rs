//! An order that survives `kill -9`: start it, kill it whenever you like, and start it again.
//!
//! `cargo run -p coordination --example durable_order`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::LocalBus;
use coordination::bus::time::sleep;
use coordination::journal::Journal;
use coordination::workflow::{
    Durable, RunId, RunJournal, RunState, StepContext, StepError, Workflow, WorkflowOrchestrator,
};

/// Says what it does, takes its time, and says that it has done it.
async fn take_a_second(context: StepContext) -> Result<String, StepError> {
    let key = context.idempotency_key();
    println!("{key}: begins");
    sleep(Duration::from_secs(1)).await;
    println!("{key}: done");
    Ok(key)
}

fn order() -> Result<Workflow<(), Durable>, Box<dyn Error>> {
    let mut workflow = Workflow::durable("order");
    let reserve = workflow.step("reserve").run_with(take_a_second);
    let charge = workflow
        .step("charge")
        .after(&reserve)
        .run_with(take_a_second);
    let cool_off = workflow
        .step("cool-off")
        .after(&charge)
        .sleep(Duration::from_secs(3));
    workflow
        .step("ship")
        .after(&cool_off)
        .run_with(take_a_second);
    Ok(workflow.build()?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let journal = Journal::open(std::env::temp_dir().join("coordination-durable-order"))?;
    let journal = RunJournal::of(Arc::new(journal));
    let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
        .journal(journal.clone())
        .build()?;
    let workflow = order()?;

    // What was left half done goes on; otherwise there is a new order.
    let interrupted = orchestrator.resume_runs(&workflow).await?;
    let runs = match interrupted.runs.is_empty() {
        false => interrupted.runs,
        true => vec![
            orchestrator
                .start_durable(&workflow, RunId::unique(), ())
                .await?,
        ],
    };
    for run in runs {
        println!("{}: kill this program, and start it again", run.id());
        run.outcome().await?;
        let view = journal.view(run.id()).await?;
        assert!(matches!(view.state, RunState::Finished(_)));
        for step in &view.steps {
            println!(
                "  {:9} {} after {:.1?}",
                step.id,
                step.phase,
                step.ended.unwrap_or_default()
            );
        }
    }
    orchestrator.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
