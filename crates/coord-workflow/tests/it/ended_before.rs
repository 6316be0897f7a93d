//! Runs that are to end, or to be left, before anything of them has begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, Outcome, RunId, Status, StepError, StepPhase, Workflow,
    WorkflowError, WorkflowOrchestrator,
};

use crate::durable::Machine;

const MINUTE: Duration = Duration::from_secs(60);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// `a`, then `b`, which count that they began.
fn counting(begun: &Arc<AtomicUsize>) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("counting").timeout(MINUTE);
    let step = || {
        let begun = Arc::clone(begun);
        move || {
            begun.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok::<_, StepError>(()))
        }
    };
    let a = workflow.step("a").run(step());
    workflow.step("b").after(&a).run(step());
    workflow.build().unwrap()
}

fn nothing_began(outcome: &Outcome, status: Status, begun: &AtomicUsize) {
    assert_eq!(outcome.status, status);
    assert_eq!(begun.load(Ordering::SeqCst), 0);
    let steps = outcome.view().steps;
    assert!(
        steps.iter().all(|step| step.phase == StepPhase::Cancelled),
        "{steps:?}"
    );
}

/// A run of which the process ended before it did anything.
async fn left(machine: &Machine, workflow: &Workflow<(), Durable>) {
    let killed = machine.process();
    killed.start_durable(workflow, id(), ()).await.unwrap();
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_told_to_end_while_nobody_drove_it_begins_no_step_when_it_is_resumed() {
    let (machine, begun) = (Machine::new(), Arc::default());
    let workflow = counting(&begun);
    left(&machine, &workflow).await;
    let journal = machine.journal();
    journal
        .tell(&id(), Command::Cancel { reason: None })
        .await
        .unwrap();
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    nothing_began(&outcome, Status::Cancelled, &begun);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_time_is_over_when_it_is_resumed_begins_no_step() {
    let (machine, begun) = (Machine::new(), Arc::default());
    let workflow = counting(&begun);
    left(&machine, &workflow).await;
    sleep(MINUTE).await;
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    nothing_began(&outcome, Status::TimedOut, &begun);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_as_soon_as_it_is_started_begins_no_step() {
    let begun = Arc::default();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let run = orchestrator.start_workflow(&counting(&begun), ()).unwrap();
    run.cancel();
    let outcome = run.outcome().await.unwrap();
    nothing_began(&outcome, Status::Cancelled, &begun);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_orchestrator_is_shut_down_as_soon_as_it_is_started_begins_no_step() {
    let (machine, begun) = (Machine::new(), Arc::default());
    let workflow = counting(&begun);
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    process.shutdown(MINUTE).await;
    let left = run.outcome().await;
    assert!(
        matches!(left, Err(WorkflowError::Suspended { .. })),
        "{left:?}"
    );
    assert_eq!(begun.load(Ordering::SeqCst), 0);
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}
