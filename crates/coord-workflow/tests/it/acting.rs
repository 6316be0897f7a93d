//! What the program that drives a run is to do with its steps.

use std::future::pending;
use std::time::Duration;

use coord_bus::time::timeout;
use coord_workflow::{
    Command, Durable, Run, RunId, StepAction, StepError, Workflow, WorkflowError,
    WorkflowOrchestrator,
};

use crate::durable::Machine;

fn id() -> RunId {
    RunId::named("a").unwrap()
}

/// A step that goes on for ever.
fn standing() -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("standing");
    let step = workflow.step("server");
    step.run(pending::<Result<(), StepError>>);
    workflow.build().unwrap()
}

fn act(action: impl Into<String>) -> Command {
    Command::Act(StepAction::new("server", action))
}

async fn started(process: &WorkflowOrchestrator) -> Run {
    process.start_durable(&standing(), id(), ()).await.unwrap()
}

/// The actions that are there to be asked for.
async fn told(run: &Run) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(action) = timeout(Duration::from_secs(1), run.next_action()).await {
        told.push(action.unwrap().action);
    }
    told
}

#[tokio::test(start_paused = true)]
async fn who_drives_a_run_learns_in_order_what_is_to_be_done_with_a_step() {
    let machine = Machine::new();
    let process = machine.process();
    let run = started(&process).await;
    machine.journal().tell(&id(), act("one")).await.unwrap();
    run.tell(act("two")).await.unwrap();
    assert_eq!(told(&run).await, ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_to_be_done_before_a_run_was_taken_up_is_not_done_then() {
    let machine = Machine::new();
    let process = machine.process();
    let run = started(&process).await;
    for action in ["followed", "told, and not followed"] {
        machine.journal().tell(&id(), act(action)).await.unwrap();
    }
    assert_eq!(run.next_action().await.unwrap().action, "followed");
    process.shutdown(Duration::from_secs(1)).await;
    assert_eq!(run.next_action().await, None);

    let process = machine.process();
    let run = process.resume_run(&standing(), &id()).await.unwrap();
    machine.journal().tell(&id(), act("new")).await.unwrap();
    assert_eq!(told(&run).await, ["new"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_to_be_done_with_a_step_that_is_not_there_or_of_a_run_that_nobody_drives() {
    let machine = Machine::new();
    let process = machine.process();
    let run = started(&process).await;
    let another = || Command::Act(StepAction::new("another", "restart"));
    let journal = machine.journal();
    for refused in [
        run.tell(another()).await,
        journal.tell(&id(), another()).await,
    ] {
        let is_unknown = matches!(refused, Err(WorkflowError::NoSuchStep { .. }));
        assert!(is_unknown, "{refused:?}");
    }
    process.shutdown(Duration::from_secs(1)).await;
    let refused = journal.tell(&id(), act("restart")).await;
    let is_undriven = matches!(refused, Err(WorkflowError::NotDriven { .. }));
    assert!(is_undriven, "{refused:?}");
    let kept = machine.kinds("a").await;
    assert!(kept.iter().all(|kind| kind != "command"), "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn of_more_actions_than_may_wait_the_oldest_are_forgotten() {
    let machine = Machine::new();
    let process = machine.process();
    let run = started(&process).await;
    for number in 0..70 {
        run.tell(act(number.to_string())).await.unwrap();
    }
    let waiting = told(&run).await;
    assert_eq!(waiting.len(), 64);
    assert_eq!((&*waiting[0], &*waiting[63]), ("6", "69"));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_something_to_do_hears_of_the_end() {
    let machine = Machine::new();
    let process = machine.process();
    let run = started(&process).await;
    let (none, _) = tokio::join!(
        run.next_action(),
        run.tell(Command::Cancel { reason: None })
    );
    assert_eq!(none, None);
}
