//! A workflow that is built anew for each request: who has a run that another build started finds its outputs.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{Durable, RunId, Step, StepError, Workflow, WorkflowOrchestrator};

use crate::durable::Machine;

type Built = (Workflow<u64, Durable>, Step<String>);

/// A step that takes a second, and one beside it: before it, or after it.
fn order(other_first: bool) -> Built {
    let mut workflow = Workflow::durable("order");
    let input = workflow.input();
    let other = |workflow: &mut coord_workflow::WorkflowBuilder<u64, Durable>| {
        let other = workflow.step("note");
        other.run(|| async { Ok::<_, StepError>("noted".to_owned()) });
    };
    if other_first {
        other(&mut workflow);
    }
    let charge = workflow
        .step("charge")
        .input(input)
        .run(|number: Arc<u64>| async move {
            sleep(Duration::from_secs(1)).await;
            Ok::<_, StepError>(format!("{number} paid"))
        });
    if !other_first {
        other(&mut workflow);
    }
    (workflow.build().unwrap(), charge)
}

async fn request(process: &WorkflowOrchestrator, id: &RunId, (workflow, charge): Built) -> String {
    let run = process.start_durable(&workflow, id.clone(), 5).await;
    let outcome = run.unwrap().outcome().await.unwrap();
    (*outcome.output(&charge).unwrap()).clone()
}

#[tokio::test(start_paused = true)]
async fn a_start_that_finds_the_run_going_on_has_its_outputs_by_its_own_handles() {
    let process = Machine::new().process();
    let id = RunId::named("r").unwrap();
    let first = request(&process, &id, order(false));
    let meanwhile = async {
        sleep(Duration::from_millis(100)).await;
        tokio::join!(
            request(&process, &id, order(false)),
            request(&process, &id, order(true)),
        )
    };
    let (first, (same, otherwise)) = tokio::join!(first, meanwhile);
    assert_eq!(
        [first, same, otherwise],
        ["5 paid", "5 paid", "5 paid"].map(String::from)
    );
    assert_eq!(request(&process, &id, order(true)).await, "5 paid");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_resumed_while_it_goes_on_has_outputs_by_the_handles_of_who_resumed_it() {
    let process = Machine::new().process();
    let id = RunId::named("r").unwrap();
    let (workflow, charge) = order(false);
    let started = process.start_durable(&workflow, id.clone(), 5).await;
    let (again, charge_again) = order(true);
    let resumed = process.resume_run(&again, &id).await.unwrap();
    let outcome = resumed.outcome().await.unwrap();
    assert_eq!(outcome.output(&charge_again).unwrap().as_str(), "5 paid");
    // A handle says which build it is of.
    assert!(outcome.output(&charge).is_none());
    let outcome = started.unwrap().outcome().await.unwrap();
    assert_eq!(outcome.output(&charge).unwrap().as_str(), "5 paid");
}
