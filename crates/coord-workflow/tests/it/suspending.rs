//! What is told of durable runs whose orchestrator is shut down.

use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::vocabulary::WORKFLOW_EVENTS;
use coord_bus::{BusExt, LocalBus};
use coord_workflow::{Durable, RunId, StepContext, StepError, Workflow};
use tokio::sync::mpsc;

use crate::durable::Machine;
use crate::events::name;

#[tokio::test(start_paused = true)]
async fn a_run_that_is_shut_down_is_told_to_be_suspended_and_none_of_its_steps_to_be_cancelled() {
    let (machine, bus) = (Machine::new(), LocalBus::new());
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let (begins, mut begun) = mpsc::channel(8);
    let mut workflow = Workflow::durable("held");
    // One is dropped where it awaits, one is told and has a grace, one waits for the others.
    let dropped = begins.clone();
    let dropped = workflow.step("dropped").run(move || {
        let dropped = dropped.clone();
        async move {
            dropped.send(()).await?;
            sleep(Duration::from_secs(3600)).await;
            Ok::<_, StepError>(())
        }
    });
    let told = workflow.step("told").run_with(move |context: StepContext| {
        let begins = begins.clone();
        async move {
            begins.send(()).await?;
            context.token().cancelled().await;
            Err::<(), _>(StepError::message("stopped"))
        }
    });
    workflow
        .step("after")
        .after(&dropped)
        .after(&told)
        .run(async || Ok::<_, StepError>(()));
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let process = machine.process_on(&bus);
    let id = RunId::named("a").unwrap();
    process.start_durable(&workflow, id, ()).await.unwrap();
    begun.recv().await.unwrap();
    begun.recv().await.unwrap();
    process.shutdown(Duration::from_secs(60)).await;
    let mut story = Vec::new();
    while let Ok(event) = events.try_recv() {
        story.push(name(&event.transition));
    }
    let expected = [
        "run-started",
        "step-started dropped",
        "step-started told",
        "run-suspended",
    ];
    assert_eq!(story, expected);
}
