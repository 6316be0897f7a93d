//! The end of a run is waited for where it is not driven, with what its steps have put out.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{Instant, sleep, timeout};
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, RunId, RunState, Status, Step, StepError, Workflow,
    WorkflowError,
};

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// Doubles a number, which takes a minute.
fn double(name: &str) -> (Workflow<u32, Durable>, Step<u32>) {
    let mut workflow = Workflow::durable(name);
    let number = workflow.input();
    let step = workflow.step("double").input(number);
    let doubled = step.run(|number: Arc<u32>| async move {
        sleep(60 * SECOND).await;
        Ok::<u32, StepError>(*number * 2)
    });
    (workflow.build().unwrap(), doubled)
}

#[tokio::test(start_paused = true)]
async fn a_run_is_waited_for_with_its_outputs_by_the_handles_of_who_waits() {
    let machine = Machine::new();
    let process = machine.process();
    let (workflow, _) = double("double");
    process.start_durable(&workflow, id(), 21).await.unwrap();
    // As another process would.
    let (journal, (workflow, doubled)) = (machine.journal(), double("double"));
    let began = Instant::now();
    let r = id();
    let (ended, outcome) = tokio::join!(journal.ended(&r), journal.outcome(&workflow, &r));
    assert_eq!(ended.unwrap().state, RunState::Finished(Status::Completed));
    assert_eq!(outcome.unwrap().output(&doubled).as_deref(), Some(&42));
    assert_eq!(began.elapsed().as_secs(), 60);
    // And again, now that it has finished: at once.
    let began = Instant::now();
    assert_eq!(journal.ended(&id()).await.unwrap().done, 1);
    let outcome = journal.outcome(&workflow, &id()).await.unwrap();
    assert_eq!(outcome.output(&doubled).as_deref(), Some(&42));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_for_a_run_leaves_it_as_it_is_and_may_ask_again() {
    let machine = Machine::new();
    let process = machine.process();
    let (workflow, _) = double("double");
    let run = process.start_durable(&workflow, id(), 1).await.unwrap();
    let journal = machine.journal();
    for _ in 0..10 {
        assert!(timeout(SECOND, journal.ended(&id())).await.is_err());
        assert!(
            timeout(SECOND, journal.outcome(&workflow, &id()))
                .await
                .is_err()
        );
    }
    // One that is paused is driven, too.
    run.tell(Command::Pause).await.unwrap();
    assert!(timeout(SECOND, journal.ended(&id())).await.is_err());
    journal
        .tell(&id(), Command::Cancel { reason: None })
        .await
        .unwrap();
    let ended = journal.ended(&id()).await.unwrap();
    assert_eq!(ended.state, RunState::Finished(Status::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_when_nobody_drives_the_run_any_more_and_waits_on_once_somebody_does() {
    let machine = Machine::new();
    let process = machine.process();
    let (workflow, doubled) = double("double");
    process.start_durable(&workflow, id(), 4).await.unwrap();
    let journal = machine.journal();
    let killed = async {
        sleep(10 * SECOND).await;
        drop(process);
    };
    let r = id();
    let (ended, outcome, ()) =
        tokio::join!(journal.ended(&r), journal.outcome(&workflow, &r), killed);
    for ended in [ended.map(drop), outcome.map(drop)] {
        let is_told = matches!(&ended, Err(WorkflowError::NotDriven { run }) if run == "r");
        assert!(is_told, "{ended:?}");
    }
    sleep(DEFAULT_LEASE_TTL).await;
    let process = machine.process();
    process.resume_run(&workflow, &id()).await.unwrap();
    let outcome = journal.outcome(&workflow, &id()).await.unwrap();
    assert_eq!(outcome.output(&doubled).as_deref(), Some(&8));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_there_is_not_and_one_of_another_workflow_are_refused_at_once() {
    let machine = Machine::new();
    let process = machine.process();
    let (workflow, _) = double("double");
    let journal = machine.journal();
    for refused in [
        journal.ended(&id()).await.map(drop),
        journal.outcome(&workflow, &id()).await.map(drop),
    ] {
        let is_refused = matches!(refused, Err(WorkflowError::NoSuchRun { .. }));
        assert!(is_refused, "{refused:?}");
    }
    process.start_durable(&workflow, id(), 4).await.unwrap();
    let (other, _) = double("other");
    let refused = timeout(SECOND, journal.outcome(&other, &id()))
        .await
        .unwrap();
    let is_refused = matches!(refused, Err(WorkflowError::OtherWorkflow { .. }));
    assert!(is_refused, "{refused:?}");
}
