//! A run is cancelled for a reason, which whoever looks at it later is told.

use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{AppendTo, LocalBus, Record};
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, RunId, RunState, Status, StepError, Workflow,
    WorkflowOrchestrator,
};

use crate::durable::Machine;

const WHY: &str = "the customer has changed her mind";

fn id() -> RunId {
    RunId::named("r").unwrap()
}

fn cancel(reason: &str) -> Command {
    let reason = Some(reason.to_owned());
    Command::Cancel { reason }
}

/// A step that takes an hour, and what undoes the one before it takes a minute.
fn slow() -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("slow");
    let first = workflow
        .step("first")
        .compensate(|_| async {
            sleep(Duration::from_secs(60)).await;
            Ok::<_, StepError>(())
        })
        .run(async || Ok::<_, StepError>(()));
    let slow = workflow.step("slow").after(&first);
    slow.run(async || {
        sleep(Duration::from_secs(3600)).await;
        Ok::<_, StepError>(())
    });
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn why_a_run_was_cancelled_is_in_its_outcome_its_view_and_its_summary() {
    let machine = Machine::new();
    let (process, journal) = (machine.process(), machine.journal());
    let run = process.start_durable(&slow(), id(), ()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    journal.tell(&id(), cancel(WHY)).await.unwrap();
    // Once is enough: what it is cancelled for stays.
    journal.tell(&id(), cancel("another")).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    // While it is undone, too, wherever one looks.
    for view in [run.view().unwrap(), journal.view(&id()).await.unwrap()] {
        assert_eq!(view.ending, Some(Status::Cancelled));
        assert_eq!(view.error.as_deref(), Some(WHY));
    }
    let outcome = run.outcome().await.unwrap();
    assert_eq!(
        (outcome.status, outcome.error()),
        (Status::Cancelled, Some(WHY))
    );
    assert_eq!(outcome.view().error.as_deref(), Some(WHY));
    let view = journal.view(&id()).await.unwrap();
    assert_eq!(view.state, RunState::Finished(Status::Cancelled));
    assert_eq!(view.error.as_deref(), Some(WHY));
    let summary = journal.summary(&id()).await.unwrap();
    assert_eq!(summary.error.as_deref(), Some(WHY));
    // Tried again, that is over.
    let again = process.retry_run(&slow(), &id(), None).await.unwrap();
    let failed = Some("step `slow` failed: it was not done after 300s, its timeout");
    assert_eq!(again.outcome().await.unwrap().error(), failed);
    let summary = journal.summary(&id()).await.unwrap();
    assert_eq!(summary.error.as_deref(), failed);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_drove_is_cancelled_for_its_reason_once_it_is_taken_up() {
    let machine = Machine::new();
    let process = machine.process();
    process.start_durable(&slow(), id(), ()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    machine.journal().tell(&id(), cancel(WHY)).await.unwrap();
    let process = machine.process();
    let run = process.resume_run(&slow(), &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(
        (outcome.status, outcome.error()),
        (Status::Cancelled, Some(WHY))
    );
}

/// Before, that was all that was kept.
#[tokio::test(start_paused = true)]
async fn a_cancel_without_a_reason_is_followed_as_earlier_versions_wrote_it() {
    let machine = Machine::new();
    let process = machine.process();
    process.start_durable(&slow(), id(), ()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    let earlier = Record::new("command", r#"{"command":"cancel"}"#);
    let told = AppendTo::stream("run.r").record(earlier);
    machine.log.append(told).await.unwrap();
    let process = machine.process();
    let run = process.resume_run(&slow(), &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!((outcome.status, outcome.error()), (Status::Cancelled, None));
    assert_eq!(machine.journal().summary(&id()).await.unwrap().error, None);
}

#[tokio::test(start_paused = true)]
async fn a_run_within_another_is_cancelled_for_the_same_reason() {
    let machine = Machine::new();
    let (process, journal) = (machine.process(), machine.journal());
    let mut inner = Workflow::<(), _>::durable("inner");
    let never = inner.step("wait").signal::<u32>("never");
    let inner = inner.build().unwrap();
    let mut workflow = Workflow::<(), _>::durable("around");
    let input = workflow.input();
    workflow.step("inner").input(input).workflow(&inner, never);
    let workflow = workflow.build().unwrap();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let child = run.view().unwrap().step("inner").unwrap().child.clone();
    run.tell(cancel(WHY)).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().error(), Some(WHY));
    let summary = journal.summary(&child.unwrap()).await.unwrap();
    assert_eq!(summary.error.as_deref(), Some(WHY));
}

#[tokio::test(start_paused = true)]
async fn a_run_in_memory_is_cancelled_for_a_reason_and_one_that_failed_did_not_for_that() {
    let process = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let run = process.start_workflow(&slow(), ()).unwrap();
    sleep(Duration::from_secs(1)).await;
    run.cancel_for(WHY);
    run.cancel_for("another");
    run.fail("or another");
    let outcome = run.outcome().await.unwrap();
    assert_eq!(
        (outcome.status, outcome.error()),
        (Status::Cancelled, Some(WHY))
    );

    let mut workflow = Workflow::<()>::builder("fails");
    let first = workflow.step("first").compensate(|_| async {
        sleep(Duration::from_secs(60)).await;
        Ok::<_, StepError>(())
    });
    let first = first.run(async || Ok::<_, StepError>(()));
    let second = workflow.step("second").after(&first);
    second.run(async || Err::<(), _>(StepError::message("no").permanent()));
    let run = process
        .start_workflow(&workflow.build().unwrap(), ())
        .unwrap();
    sleep(Duration::from_secs(1)).await;
    run.cancel_for(WHY);
    let outcome = run.outcome().await.unwrap();
    let error = Some("step `second` failed: no");
    assert_eq!((outcome.status, outcome.error()), (Status::Failed, error));
}
