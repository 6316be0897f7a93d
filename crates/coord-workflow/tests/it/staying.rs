//! A run may stay for something once its steps are over; and it may fail for what is none of its steps.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::timeout;
use coord_bus::vocabulary::{Transition, WORKFLOW_EVENTS};
use coord_bus::{BusExt, CancellationToken, LocalBus, MemoryEventLog, MemoryLeases};
use coord_workflow::{
    Call, Command, Durable, HandlerCall, HookCall, Registry, RunId, RunJournal, RunState, Spec,
    Status, StepError, StepPhase, StepSpec, Workflow, WorkflowOrchestrator,
};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Stays until it is told that all is over, or that the run is to end.
fn registry(over: &CancellationToken) -> Registry {
    let over = over.clone();
    Registry::new()
        .handler("works", async |_: HandlerCall| Ok(json!(1)))
        .handler("hangs", async |_: HandlerCall| pending().await)
        .hook("up", move |call: HookCall| {
            let over = over.clone();
            async move {
                tokio::select! {
                    () = over.cancelled() => Ok(()),
                    () = call.token.cancelled() => Ok(()),
                }
            }
        })
        .hook("breaks", async |_: HookCall| {
            Err(StepError::message("it broke"))
        })
}

fn staying(over: &CancellationToken, stays_for: &str) -> Workflow<(), Durable> {
    let mut spec = Spec::new("dev")
        .step(StepSpec::new("build", "works").undo(Call::new("works", json!(0))))
        .stay(Call::new(stays_for, json!(null)));
    spec.timeout = Some(HOUR);
    registry(over).workflow_with_input(spec).unwrap()
}

fn journal() -> RunJournal {
    RunJournal::new(
        Arc::new(MemoryEventLog::new()),
        Arc::new(MemoryLeases::new()),
    )
}

fn orchestrator(bus: &LocalBus, journal: &RunJournal) -> WorkflowOrchestrator {
    let built = WorkflowOrchestrator::builder(bus).journal(journal.clone());
    built.build().unwrap()
}

async fn is_up(bus: &LocalBus, start: impl AsyncFnOnce()) {
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    start().await;
    while !matches!(events.recv().await.unwrap().transition, Transition::RunUp) {}
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stays_has_not_ended_and_ends_well_when_it_is_cancelled() {
    let (journal, bus, id) = (journal(), LocalBus::new(), RunId::named("dev").unwrap());
    let orchestrator = orchestrator(&bus, &journal);
    let workflow = staying(&CancellationToken::new(), "up");
    let mut run = None;
    is_up(&bus, async || {
        let started = orchestrator.start_durable(&workflow, id.clone(), ());
        run = Some(started.await.unwrap());
    })
    .await;
    // Longer than the limit to its time.
    assert!(timeout(2 * HOUR, run.unwrap().outcome()).await.is_err());
    let view = journal.view(&id).await.unwrap();
    assert_eq!((view.state, view.is_up), (RunState::Running, true));
    let mut following = journal.follow(&id).await.unwrap();
    journal
        .tell(&id, Command::Cancel { reason: None })
        .await
        .unwrap();
    while following.next().await.unwrap().is_some() {}
    let view = journal.view(&id).await.unwrap();
    assert_eq!(view.state, RunState::Finished(Status::Completed));
    assert!(!view.is_up);
    assert_eq!(view.steps[0].phase, StepPhase::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_run_has_failed_when_what_it_stays_for_has_and_is_retried_from_there() {
    let (journal, bus, id) = (journal(), LocalBus::new(), RunId::named("dev").unwrap());
    let orchestrator = orchestrator(&bus, &journal);
    let over = CancellationToken::new();
    let broken = staying(&over, "breaks");
    let run = orchestrator
        .start_durable(&broken, id.clone(), ())
        .await
        .unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let view = journal.view(&id).await.unwrap();
    assert_eq!(view.state, RunState::Finished(Status::Failed));
    assert_eq!(view.error.as_deref(), Some("it broke"));
    // What was done stays done.
    assert_eq!(view.steps[0].phase, StepPhase::Completed);

    over.cancel();
    let well = staying(&over, "up");
    let run = orchestrator.retry_run(&well, &id, None).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Completed);
    let view = journal.view(&id).await.unwrap();
    assert_eq!(
        (view.state, view.error),
        (RunState::Finished(Status::Completed), None)
    );
    assert_eq!(view.steps[0].attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stays_is_left_where_it_is_and_stays_again_when_it_is_resumed() {
    let (journal, bus, id) = (journal(), LocalBus::new(), RunId::named("dev").unwrap());
    let over = CancellationToken::new();
    let workflow = staying(&over, "up");
    let first = orchestrator(&bus, &journal);
    is_up(&bus, async || {
        drop(
            first
                .start_durable(&workflow, id.clone(), ())
                .await
                .unwrap(),
        );
    })
    .await;
    first.shutdown(SECOND).await;
    let view = journal.view(&id).await.unwrap();
    assert_eq!((view.state, view.is_up), (RunState::Interrupted, true));

    let second = orchestrator(&bus, &journal);
    let mut run = None;
    is_up(&bus, async || {
        run = Some(second.resume_run(&workflow, &id).await.unwrap());
    })
    .await;
    over.cancel();
    let outcome = run.unwrap().outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_somebody_fails_has_failed_and_what_was_done_is_undone() {
    let (journal, bus, id) = (journal(), LocalBus::new(), RunId::named("dev").unwrap());
    let orchestrator = orchestrator(&bus, &journal);
    let spec = Spec::new("dev")
        .step(StepSpec::new("build", "works").undo(Call::new("works", json!(0))))
        .step(StepSpec::new("test", "hangs").needs(["build"]));
    let registry = registry(&CancellationToken::new());
    let workflow: Workflow<(), Durable> = registry.workflow_with_input(spec).unwrap();
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let run = orchestrator
        .start_durable(&workflow, id.clone(), ())
        .await
        .unwrap();
    while !matches!(
        &events.recv().await.unwrap().transition,
        Transition::StepStarted { step, .. } if step == "test"
    ) {}
    drop(events);
    run.fail("its server is gone");
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let view = journal.view(&id).await.unwrap();
    assert_eq!(view.state, RunState::Finished(Status::Failed));
    assert_eq!(view.error.as_deref(), Some("its server is gone"));
    assert_eq!(view.steps[0].phase, StepPhase::Undone);
    assert_eq!(view.steps[1].phase, StepPhase::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn why_a_run_was_failed_is_known_to_who_takes_it_up_before_its_end() {
    let (journal, bus, id) = (journal(), LocalBus::new(), RunId::named("dev").unwrap());
    let is_undone = CancellationToken::new();
    let spec = Spec::new("dev")
        .step(StepSpec::new("build", "works").undo(Call::new("undoes", json!(0))))
        .step(StepSpec::new("test", "hangs").needs(["build"]));
    let (undone, over) = (is_undone.clone(), CancellationToken::new());
    let registry = registry(&over).handler("undoes", move |_: HandlerCall| {
        let undone = undone.clone();
        async move {
            undone.cancelled().await;
            Ok(json!(0))
        }
    });
    let workflow: Workflow<(), Durable> = registry.workflow_with_input(spec).unwrap();
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let first = orchestrator(&bus, &journal);
    let run = first.start_durable(&workflow, id.clone(), ()).await;
    let run = run.unwrap();
    while !matches!(
        &events.recv().await.unwrap().transition,
        Transition::StepStarted { step, .. } if step == "test"
    ) {}
    run.fail("its server is gone");
    while !matches!(
        &events.recv().await.unwrap().transition,
        Transition::CompensationStarted { .. }
    ) {}
    drop((first, run, events));
    is_undone.cancel();

    let second = orchestrator(&bus, &journal);
    let run = second.resume_run(&workflow, &id).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Failed);
    let error = journal.view(&id).await.unwrap().error;
    assert_eq!(error.as_deref(), Some("its server is gone"));
}
